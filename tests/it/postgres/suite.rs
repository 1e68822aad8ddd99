//! The tests of the faces and of the past once more, with log and read models on a server instead of in files.

use std::process::Command;

use crate::support::Cluster;
use crate::support::service::{SERVER, TWO_NODES};
use crate::support::transit::{TOKEN, Transit};

const FACES: &[&str] = &["http::", "sdk::"];

/// What is about files of the data directory, or runs as long as all the others.
const OF_FILES: &[&str] = &[
    "http::callback::an_app_is_told",
    "http::callback::an_app_whose_server",
    "http::callback::an_erasure_that_an_app",
    "http::callback::a_redirect",
    "http::rest::a_key_may_do_what_its_scopes_say_until_it_is_retired",
    "http::rest_operating::a_parked_stream",
    "http::rest_operations::an_operation_whose_process_dies",
];

/// What is about one process: the bytes of its connections, which a proxy changes, and what it counts.
const OF_ONE_PROCESS: &[&str] =
    &["http::hostile_connections", "http::hostile_memory", "http::metrics", "http::rest_operating::an_operator_sees"];

/// Runs tests again with these settings; at least so many must run.
pub(super) fn again(tests: &[&str], settings: &[(&str, &str)], skipped: &[&str], least: usize) {
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(tests).envs(settings.iter().copied()).env("RUST_BACKTRACE", "0");
    for test in skipped {
        again.args(["--skip", test]);
    }
    let output = again.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let failed: Vec<_> = said.lines().filter(|line| line.ends_with("FAILED") || line.contains("panicked")).collect();
    assert!(output.status.success(), "{failed:#?}\n{said}");
    let ran = said.lines().filter(|line| line.ends_with(" ... ok")).count();
    assert!(ran >= least, "only {ran} tests ran");
}

#[test]
fn what_holds_with_files_holds_with_a_server() {
    let cluster = Cluster::start_with("max_connections=400");
    again(FACES, &[(SERVER, &cluster.path(""))], OF_FILES, 100);
}

#[test]
fn what_holds_with_one_node_holds_with_two_behind_a_proxy() {
    let (cluster, transit) = (Cluster::start_with("max_connections=800"), Transit::start());
    let settings =
        [(SERVER, &*cluster.path("")), (TWO_NODES, "1"), ("VAULT_ADDR", &transit.address), ("VAULT_TOKEN", TOKEN)];
    again(FACES, &settings, &[OF_FILES, OF_ONE_PROCESS].concat(), 100);
}
