//! The process dies at every labelled point of an erasure and of a rotation: afterwards the erasure comes to its end,
//! once, nothing of it comes back, and nobody else loses anything.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Mutex;

use rollcall::crash_point::LABELS;

use crate::support::soundness::{log_is_gapless, recorded, verified};
use crate::support::{App, Service, copy_dir, rollcall};

const APP: App = App::PRODUCTION;
const KEY: &str = "testkey";
const LEAVERS: [&str; 3] = ["leaver-0", "leaver-1", "leaver-2"];

/// Runs a command that dies at a label, unless it never comes there.
fn dies_at(label: &str, args: &[&str], data: &Path) -> bool {
    let binary = env!("CARGO_BIN_EXE_rollcall");
    let mut command = Command::new(binary);
    command.args(args).arg("--data-dir").arg(data).env("ROLLCALL_LOG", "error").env("ROLLCALL_CRASH_AT", label);
    let output = command.output().unwrap();
    assert!(output.status.success() || output.status.code().is_none(), "{label}: {}", said(&output));
    output.status.code().is_none()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A stopped data directory: leavers and stayers who know each other, and so many erasures that have not begun.
fn prepared(waiting: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let mut service = Service::start_in(dir.path(), &[APP]);
    service.register(APP, &[&LEAVERS[..], &["stayer-0", "stayer-1"]].concat());
    for leaver in LEAVERS {
        service.post(APP, "/friend/add.json", &[("userId", leaver), ("targetId", "stayer-0"), ("optType", "2")]).ok();
        service.post(APP, "/user/blacklist/add.json", &[("userId", "stayer-1"), ("blackUserId", leaver)]).ok();
    }
    service.stop();
    drop(service);
    for leaver in &LEAVERS[..waiting] {
        assert!(dies_at("erase.due", &["erasure", "request", KEY, leaver], dir.path()));
    }
    dir
}

/// Whatever happened: the erasures come to their end, once, and everything else is whole.
fn comes_to_its_end(label: &str, data: &Path, leavers: &[&str]) {
    let mut service = Service::start_in(data, &[APP]);
    for leaver in leavers {
        // What was not acknowledged may be lost; asking again does no harm to what was not.
        service.post(APP, "/user/deactivate.json", &[("userId", leaver)]).ok();
    }
    let erasures = leavers.len() as u64;
    service.eventually(label, |service| recorded(service.data(), "erasure.finalised") == erasures);
    for event in ["requested", "begun", "relations_ended", "scrubbed", "verified", "report_issued", "finalised"] {
        assert_eq!(recorded(data, &format!("erasure.{event}")), erasures, "{event} after {label}");
    }
    for leaver in leavers {
        service.post(APP, "/user/info.json", &[("userId", leaver)]).refused(400, 400);
        service.post(APP, "/user/getToken.json", &[("userId", leaver), ("name", "again")]).refused(403, 31029);
    }
    let info = |who: &str| service.post(APP, "/user/info.json", &[("userId", who)]).ok().json();
    for who in LEAVERS.iter().filter(|who| !leavers.contains(who)).chain(&["stayer-0", "stayer-1"]) {
        assert_eq!(info(who)["userName"], format!("Name of {who}"), "after {label}");
    }
    service.stop();
    log_is_gapless(data);
    verified(&service);
    let walked = rollcall(&["audit", "verify"], data);
    assert!(walked.status.success(), "after {label}: {}", said(&walked));
    let keys = rollcall(&["audit", "keys"], data);
    std::fs::write(data.join("keys"), keys.stdout).unwrap();
    let listed = String::from_utf8(rollcall(&["erasure", "list", KEY], data).stdout).unwrap();
    assert_eq!(listed.lines().count(), leavers.len(), "{listed}");
    for erasure in listed.lines().map(|line| line.split('\t').next().unwrap()) {
        let report = rollcall(&["erasure", "report", KEY, erasure], data);
        std::fs::write(data.join("report"), report.stdout).unwrap();
        let mut verify = Command::new(env!("CARGO_BIN_EXE_rollcall"));
        verify.args(["erasure", "verify"]).arg(data.join("report")).arg("--key").arg(data.join("keys"));
        assert_eq!(verify.output().unwrap().status.code(), Some(0), "the report after {label}");
    }
}

/// Does it for every case, on a few threads.
fn for_each<T: Sync>(cases: &[T], check: impl Fn(&T) + Sync) {
    let next = Mutex::new(cases.iter());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(case) = { next.lock().unwrap().next() } {
                    check(case);
                }
            });
        }
    });
}

fn copied(template: &tempfile::TempDir) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy_dir(template.path(), dir.path());
    dir
}

#[test]
fn an_erasure_that_dies_at_any_point_comes_to_its_end_once() {
    assert!(LABELS.len() >= 40);
    let template = prepared(0);
    for_each(LABELS, |label| {
        let dir = copied(&template);
        let died = dies_at(label, &["erasure", "request", KEY, LEAVERS[0]], dir.path());
        assert!(died, "{label} is not on the way of an erasure");
        comes_to_its_end(label, dir.path(), &LEAVERS[..1]);
    });
}

#[test]
fn several_erasures_that_die_together_come_to_their_ends_once() {
    let template = prepared(2);
    let died = Mutex::new(0);
    for_each(LABELS, |label| {
        let dir = copied(&template);
        // Later on the way: with three erasures most points are passed more than once.
        let at = format!("{label}:2");
        if dies_at(&at, &["erasure", "request", KEY, LEAVERS[2]], dir.path()) {
            *died.lock().unwrap() += 1;
            comes_to_its_end(&at, dir.path(), &LEAVERS);
        }
    });
    assert!(*died.lock().unwrap() >= 20, "most points are passed twice");
}

#[test]
fn a_rotation_of_the_keys_that_dies_at_any_point_loses_nobody() {
    let template = prepared(0);
    let on_the_way: Vec<_> =
        LABELS.iter().filter(|label| label.starts_with("rotate.") || label.starts_with("cell.")).collect();
    for_each(&on_the_way, |label| {
        let dir = copied(&template);
        assert!(dies_at(label, &["keys", "rotate"], dir.path()), "{label} is not on the way of a rotation");
        let rotated = rollcall(&["keys", "rotate"], dir.path());
        assert!(rotated.status.success(), "after {label}: {}", said(&rotated));
        comes_to_its_end(label, dir.path(), &[]);
    });
}
