//! The programs of `docs/webhooks.md` tell what is genuine. Those of languages that `./test.sh` does not install are run where
//! the language is there.

use std::io::Write as _;
use std::process::{Command, Stdio};

use super::*;
use crate::first_sessions::is_installed;

/// The program under a heading.
fn program(language: &str) -> String {
    let page = include_str!("../../../docs/webhooks.md");
    let section = page.split(&format!("### {language}\n")).nth(1).unwrap_or_else(|| panic!("no {language}"));
    let code = section.split("```").nth(1).unwrap();
    code.split_once('\n').unwrap().1.to_owned()
}

/// Whether the program lets a delivery pass.
fn passes(command: &[&str], secret: &str, received: &Received, timestamp: &str, body: &[u8]) -> bool {
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .env("WEBHOOK_SECRET", secret)
        .env("WEBHOOK_ID", received.header("webhook-id"))
        .env("WEBHOOK_TIMESTAMP", timestamp)
        .env("WEBHOOK_SIGNATURE", received.header("webhook-signature"))
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses early reads nothing.
    let _ = child.stdin.take().unwrap().write_all(body);
    child.wait().unwrap().success()
}

#[test]
fn the_programs_of_the_documentation_let_a_genuine_delivery_pass_and_no_other() {
    let (started, receiver) = (Started::new(), Receiver::start());
    let (_, registered) = started.webhook(&receiver.url(), &["rollcall.user.*"], "standard");
    started.register(&["ada"]);
    started.service.eventually("it is told", |_| !receiver.acknowledged().is_empty());
    let (received, secret) = (receiver.acknowledged().remove(0), registered["secret"].as_str().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let languages: [(&str, &str, &[&str], bool); 5] = [
        ("Shell", "verify.sh", &["sh"], true),
        ("Node", "verify.js", &["node"], true),
        ("Python", "verify.py", &["python3"], true),
        ("Go", "verify.go", &["go", "run"], false),
        ("Java", "Verify.java", &["java"], false),
    ];
    for (language, file, command, must_be_there) in languages {
        let (path, program) = (dir.path().join(file), program(language));
        std::fs::write(&path, program).unwrap();
        if !must_be_there && !is_installed(command[0]) {
            continue;
        }
        let command: Vec<&str> = command.iter().copied().chain([path.to_str().unwrap()]).collect();
        let timestamp = received.header("webhook-timestamp");
        let passes = |secret: &str, timestamp: &str, body: &[u8]| passes(&command, secret, &received, timestamp, body);
        assert!(passes(secret, timestamp, &received.body), "{language}");
        assert!(!passes(secret, timestamp, &[&received.body[..], b" "].concat()), "{language}: another body");
        assert!(!passes(secret, "1795420824", &received.body), "{language}: another time");
        let other = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        assert!(!passes(other, timestamp, &received.body), "{language}: another secret");
    }
}
