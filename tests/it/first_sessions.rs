//! The first sessions of the documents work as they stand there, in every language that is installed.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use crate::sdk::{PACKAGES, said};
use crate::support::{App, Service};

const APP: App = App::PRODUCTION;

/// The first program under a heading, pointed at a service.
fn program(page: &str, heading: &str, service: &Service) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page);
    let text = fs::read_to_string(path).unwrap();
    let section = text.split(&format!("### {heading}\n")).nth(1).unwrap_or_else(|| panic!("{page} has no {heading}"));
    let code = section.split("```").nth(1).unwrap().split_once('\n').unwrap().1;
    code.replace("127.0.0.1:8080", &service.address.to_string()).replace("demo", APP.key).replace("s3cret", APP.secret)
}

fn run(service: &Service, page: &str, heading: &str, file: &str, command: &mut Command) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(file);
    fs::write(&path, program(page, heading, service)).unwrap();
    let output = command.arg(&path).output().unwrap();
    assert!(output.status.success(), "{page}, {heading}: {}", said(&output));
    output
}

fn python(environment: &str) -> Command {
    Command::new(PACKAGES.join(environment).join("bin/python"))
}

fn node() -> Command {
    let mut node = Command::new("node");
    node.env("NODE_PATH", PACKAGES.join("node/node_modules"));
    node
}

#[test]
fn the_first_sessions_of_the_server_apis_register_somebody() {
    let service = Service::start(&[APP]);
    let page = "server-api-v1.md";
    let output = run(&service, page, "Shell", "v1.sh", &mut Command::new("bash"));
    assert!(said(&output).contains("\"token\":") && said(&output).contains("Ada Lovelace"), "{}", said(&output));
    let output = run(&service, page, "Node", "v1.js", &mut node());
    assert!(said(&output).contains("token"), "{}", said(&output));
    let output = run(&service, page, "Python", "v1.py", &mut python("rc-server-sdk"));
    assert!(said(&output).contains("token"), "{}", said(&output));

    let page = "server-api-v4.md";
    let output = run(&service, page, "Shell", "v4.sh", &mut Command::new("bash"));
    assert!(said(&output).contains("accessToken") && said(&output).contains("banExpiresAt"), "{}", said(&output));
    for (heading, file, mut command) in [("Python", "v4.py", python("ncsdk")), ("Node", "v4.js", Command::new("node"))]
    {
        let output = run(&service, page, heading, file, &mut command);
        assert!(said(&output).trim().len() > 40, "{heading}: {}", said(&output));
    }
    of_languages_that_are_there(&service, page, "V4.java", "accessToken");
}

/// Runs the first sessions in the languages that `./test.sh` does not install; each is to print a word.
fn of_languages_that_are_there(service: &Service, page: &str, java: &str, word: &str) {
    for (heading, file, program, args) in
        [("Java", java, "java", &[][..]), ("Go", "session.go", "go", &["run"]), ("PHP", "session.php", "php", &[])]
    {
        if is_installed(program) {
            let output = run(service, page, heading, file, Command::new(program).args(args));
            assert!(said(&output).contains(word), "{page}, {heading}: {}", said(&output));
        }
    }
}

/// Whether a program is there that tells its version.
pub(crate) fn is_installed(program: &str) -> bool {
    let ask = if program == "go" { "version" } else { "--version" };
    Command::new(program).arg(ask).output().is_ok_and(|output| output.status.success())
}

#[test]
fn the_first_session_of_rest_registers_somebody_in_every_language() {
    let (service, page) = (Service::start(&[APP]), "rest.md");
    let output = run(&service, page, "Shell", "rest.sh", &mut Command::new("bash"));
    let told = said(&output);
    assert!(told.contains("sender_banned") && told.contains("Bob") && !told.contains("/problems/"), "{told}");
    for (heading, file, mut command) in
        [("Node", "rest.js", Command::new("node")), ("Python", "rest.py", Command::new("python3"))]
    {
        assert!(said(&run(&service, page, heading, file, &mut command)).trim().len() > 40, "{heading}");
    }
    of_languages_that_are_there(&service, page, "Rest.java", "token");
}
