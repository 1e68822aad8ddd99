//! What can be proven: the log was not changed, and an erasure was done.

use std::path::Path;
use std::process::Output;

use crate::support::{App, Service, copy_dir, rollcall};

mod log;
mod reports;
mod several_subjects;
mod signing;

const APP: App = App::PRODUCTION;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A stopped service over a directory of its own, with some history.
fn with_history(users: usize) -> Service {
    let mut service = Service::start(&[APP]);
    let names: Vec<_> = (0..users).map(|number| format!("user-{number}")).collect();
    service.register(APP, &names.iter().map(String::as_str).collect::<Vec<_>>());
    service.stop();
    service
}

#[track_caller]
fn succeeds(args: &[&str], data: &Path) -> String {
    let output = rollcall(args, data);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[track_caller]
fn refused(output: &Output, says: &[&str]) {
    let said = text(&output.stderr);
    assert!(!output.status.success(), "{}", text(&output.stdout));
    says.iter().for_each(|part| assert!(said.contains(part), "{part:?} is not in {said}"));
}
