//! A log that is broken: it is said, it outlives the node that saw it, and there is a way out.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{App, Service};

mod doctor;
mod embedded;
#[cfg(feature = "kurrentdb")]
mod kurrentdb;
mod postgres;

const APP: App = App::PRODUCTION;

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The steps below a heading of `docs/broken-log.md`, word by word.
fn steps(heading: &str) -> String {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/broken-log.md")).unwrap();
    let section = document.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let steps: String = section.split("```sh\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(steps.contains("rollcall "), "{heading} has no steps");
    steps
}

/// Has a shell do the documented steps, with settings as an operator has them.
#[track_caller]
fn walk(heading: &str, data: &Path, settings: &[(&str, &str)]) -> Output {
    let binary = Path::new(env!("CARGO_BIN_EXE_rollcall"));
    let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap());
    Command::new("sh")
        .args(["-e", "-c", &steps(heading)])
        .env("PATH", path)
        .env("ROLLCALL_DATA_DIR", data)
        .env("ROLLCALL_LOG", "warn")
        .envs(settings.iter().copied())
        .output()
        .unwrap()
}

fn health(service: &Service) -> (u16, Value) {
    let reply = service.request("GET", "/health/ready", &[], b"");
    (reply.status, reply.json())
}

/// Waits until the service says that its log is broken, and sees that it answers nothing and writes little about that.
#[track_caller]
fn says_that_it_is_broken(service: &Service, reason: &str, position: u64) {
    service.eventually("it says that the log is broken", |service| health(service).1["status"] == "log broken");
    let (status, body) = health(service);
    assert_eq!((status, &body["reason"], &body["position"]), (503, &reason.into(), &position.into()), "{body}");
    assert!(body["message"].as_str().unwrap().contains("rollcall"), "{body}");
    for number in 0..30 {
        let user = format!("refused-{number}");
        let command = service.post(APP, "/user/getToken.json", &[("userId", &user), ("name", "x")]).refused(503, 1050);
        let query = service.post(APP, "/user/info.json", &[("userId", "ada")]).refused(503, 1050);
        for reply in [command, query] {
            assert!(reply.json()["errorMessage"].as_str().unwrap().contains("log is broken"), "{}", reply.text);
        }
    }
    let bearer = [("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    let problem = service.request("GET", "/api/v1/compliance/estate", &bearer, b"").json();
    assert_eq!(problem["type"], "urn:rollcall:problem:log-broken", "{problem}");
    let told = service.errors();
    assert_eq!(told.matches("the log is broken and is not used any more").count(), 1, "{told}");
    assert!(told.lines().count() < 12, "a line for each refused call: {told}");
    assert!(service.data().join("incident.json").is_file());
}

/// Sees that the service does not start, and that it says which incident keeps it from that.
#[track_caller]
fn is_refused(data: &Path, args: &[&str], says: &[&str]) {
    let refused = Service::try_start_with(data, &[APP], args).err().expect("it must not start");
    says.iter().for_each(|part| assert!(refused.contains(part), "{part:?} is not in {refused}"));
}

/// Which of these users are registered.
fn known<'u>(service: &Service, users: &[&'u str]) -> Vec<&'u str> {
    let is_known = |user: &&&str| service.post(APP, "/user/info.json", &[("userId", user)]).status == 200;
    users.iter().filter(is_known).copied().collect()
}
