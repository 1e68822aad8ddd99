//! The first minute with the binary.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};

use super::{path, rollcall};

/// Starts the service, lets the caller use it while it runs, stops it with a signal; answers what it wrote to both
/// streams.
fn session(data: &Path, signal: &str, meanwhile: impl FnOnce(&[String])) -> String {
    let serve = ["serve", "--listen", "127.0.0.1:0", "--drain-seconds", "0", "--data-dir", path(data)];
    let mut child = rollcall(&serve).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut printed = vec![];
    for line in lines.by_ref() {
        let listens = line.starts_with("listening on ");
        printed.push(line);
        if listens {
            break;
        }
    }
    meanwhile(&printed);
    Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
    printed.extend(lines);
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert!(child.wait().unwrap().success(), "{errors}");
    printed.join("\n") + &errors
}

fn after<'l>(lines: &'l [String], label: &str) -> &'l str {
    let line = lines.iter().find(|line| line.trim().starts_with(label));
    line.unwrap_or_else(|| panic!("no {label} in {lines:?}")).trim().strip_prefix(label).unwrap().trim()
}

#[test]
fn the_first_start_shows_an_app_whose_line_to_try_registers_a_user_and_later_starts_show_no_secret() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let (mut secret, mut key) = (String::new(), String::new());
    let first = session(&data, "-TERM", |lines| {
        key = after(lines, "App-Key:").to_owned();
        secret = after(lines, "App-Secret:").to_owned();
        let attempt = lines.iter().find(|line| line.contains("curl")).expect("a line to try").trim();
        let output = Command::new("bash").args(["-c", attempt]).output().unwrap();
        let answer = String::from_utf8(output.stdout).unwrap();
        let json: serde_json::Value = serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{e}: {answer}"));
        assert_eq!((json["code"].as_i64(), json["userId"].as_str()), (Some(200), Some("ada")), "{answer}");
        assert!(!json["token"].as_str().unwrap().is_empty());
    });
    assert!(secret.len() >= 16 && !key.is_empty());
    // Once to read, once in the line to try.
    assert_eq!(first.matches(&secret).count(), 2, "{first}");
    let second = session(&data, "-TERM", |_| {});
    assert!(!second.contains(&secret) && !second.contains("App-Secret") && !second.contains("created"), "{second}");
}

#[test]
fn a_data_directory_is_closed_to_other_users_of_the_machine() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    session(&data, "-TERM", |_| {});
    assert_eq!(data.metadata().unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_signal_that_comes_as_soon_as_it_listens_ends_it_well() {
    let dir = tempfile::tempdir().unwrap();
    for signal in ["-TERM", "-INT"].repeat(5) {
        session(&dir.path().join("data"), signal, |_| {});
    }
}
