//! Killed where it does something else than serve: while it starts, while it builds read models, while it stops.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::{APP, Sent, THREADS, check, load, random};
use crate::support::Service;
use crate::support::soundness::{log_is_gapless, verified};

/// Starts a command over data nobody uses and kills it after a moment that the seed names.
fn interrupt(data: &Path, args: &[&str], seed: u64, within_ms: u64) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rollcall"))
        .args(args)
        .arg("--data-dir")
        .arg(data)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(random(seed) % within_ms));
    child.kill().unwrap();
    child.wait().unwrap();
}

/// A service that was loaded for a moment and then asked to stop, and what was sent to it.
fn stopped_under_load() -> (Service, Vec<Sent>) {
    let mut service = Service::start(&[APP]);
    let (address, stop) = (service.address, AtomicBool::new(false));
    let sent = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let stop = &stop;
                scope.spawn(move || load(address, &format!("t{thread}"), stop))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(400));
        service.stop();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(sent.iter().any(|sent| sent.acknowledged), "nothing happened");
    (service, sent)
}

#[test]
fn a_stop_under_load_keeps_what_was_acknowledged() {
    let (mut service, sent) = stopped_under_load();
    assert!(!service.errors().contains("panicked"), "{}", service.errors());
    service.restart();
    check(&service, &sent);
    service.stop();
    log_is_gapless(service.data());
    verified(&service);
}

#[test]
fn a_first_start_that_is_killed_leaves_nothing_that_prevents_the_next() {
    for seed in 0..12 {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        interrupt(&data, &["serve", "--listen", "127.0.0.1:0", "--app", &APP.flag()], seed, 40);
        let again = Service::start_in(&data, &[APP]);
        again.register(APP, &["ada"]);
    }
}

#[test]
fn starts_and_rebuilds_that_are_killed_lose_nothing() {
    let (mut service, sent) = stopped_under_load();
    for seed in 0..8 {
        interrupt(service.data(), &["serve", "--listen", "127.0.0.1:0"], seed, 60);
        interrupt(service.data(), &["rebuild", "all"], seed + 100, 80);
        interrupt(service.data(), &["verify"], seed + 200, 80);
    }
    // A rebuild that broke off is taken up by the next start, not by hand.
    service.restart();
    check(&service, &sent);
    service.stop();
    log_is_gapless(service.data());
    verified(&service);
}
