//! The log in KurrentDB.

use std::path::Path;

use super::{APP, is_refused, known, said, says_that_it_is_broken, walk};
use crate::cli::rollcall;
use crate::kurrentdb::server::Double;
use crate::support::Service;

const STREAM: &str = "rollcall-log";
const USERS: [&str; 3] = ["ada", "bob", "eve"];

fn start(data: &Path, url: &str) -> Service {
    Service::try_start_with(data, &[APP], &["--kurrentdb", url]).unwrap()
}

/// Breaks the stream under a running service, and sees what that and doctor say, and that a restart is refused.
fn broken(data: &Path, double: &Double, reason: &str, position: impl FnOnce(u64) -> u64, harm: impl FnOnce(&Double)) {
    let url = double.url();
    let mut service = start(data, &url);
    service.register(APP, &USERS);
    let head = double.state().head(STREAM);
    harm(double);
    says_that_it_is_broken(&service, reason, position(head));
    service.kill();
    is_refused(data, &["--kurrentdb", &url], &[&format!("at position {}", position_of(data)), "rollcall copy"]);
    let doctor = rollcall(&["doctor", "--data-dir", data.to_str().unwrap(), "--kurrentdb", &url]).output().unwrap();
    assert_eq!(doctor.status.code(), Some(1));
    for part in ["BAD   incident: at ".to_owned(), format!("BAD   stream: {reason} at position")] {
        assert!(said(&doctor).contains(&part), "{part:?} is not in {}", said(&doctor));
    }
}

fn position_of(data: &Path) -> u64 {
    let incident = std::fs::read(data.join("incident.json")).unwrap();
    serde_json::from_slice::<serde_json::Value>(&incident).unwrap()["position"].as_u64().unwrap()
}

/// Copies what the node has to another stream, as it is documented, and goes on there with everything.
fn is_whole_elsewhere(data: &Path, double: &Double) {
    let (url, elsewhere) = (double.url(), double.url() + "&stream=rollcall-log-2");
    let copied = walk(
        "Copy what this node has to another place",
        data,
        &[("ROLLCALL_KURRENTDB", &url), ("NEW_LOG", &elsewhere)],
    );
    assert!(copied.status.success(), "{}", said(&copied));
    let mut service = start(data, &elsewhere);
    assert_eq!(known(&service, &USERS), USERS);
    assert!(service.errors().contains("the incident is over"), "{}", service.errors());
    service.register(APP, &["dora"]);
    service.stop();
    is_refused(data, &["--kurrentdb", &url], &["rollcall"]);
    assert_eq!(known(&start(data, &elsewhere), &["dora"]), ["dora"]);
}

#[test]
fn an_entry_of_a_stranger_is_left_behind_by_the_documented_steps_and_nothing_else_is() {
    let (double, dir) = (Double::start(), tempfile::tempdir().unwrap());
    broken(dir.path(), &double, "foreign-entry", |head| head + 1, |double| double.state().intrude(STREAM));
    is_whole_elsewhere(dir.path(), &double);
}

#[test]
fn a_stream_that_was_deleted_is_had_from_the_replica_by_the_documented_steps() {
    let (double, dir) = (Double::start(), tempfile::tempdir().unwrap());
    broken(
        dir.path(),
        &double,
        "deleted",
        |head| head,
        |double| {
            let all = double.state().len(STREAM);
            double.state().truncate(STREAM, all);
        },
    );
    let recover = rollcall(&["recover", "--data-dir", dir.path().to_str().unwrap(), "--kurrentdb", &double.url()]);
    let refused = { recover }.output().unwrap();
    assert!(!refused.status.success() && said(&refused).contains("rollcall copy"), "{}", said(&refused));
    is_whole_elsewhere(dir.path(), &double);
}

#[test]
fn an_end_that_the_server_lost_is_had_from_the_replica_by_the_documented_steps() {
    let (double, dir) = (Double::start(), tempfile::tempdir().unwrap());
    broken(dir.path(), &double, "rewound", |head| head, |double| double.state().lose_item(STREAM));
    is_whole_elsewhere(dir.path(), &double);
}

#[test]
fn an_end_that_the_server_lost_is_given_up_by_the_documented_steps_and_by_nothing_less() {
    let (double, dir) = (Double::start(), tempfile::tempdir().unwrap());
    let (data, url) = (dir.path(), double.url());
    broken(data, &double, "rewound", |head| head, |double| double.state().lose_item(STREAM));
    let seen = position_of(data);
    // What only the running node saw is not forgotten with its replica.
    for file in ["replica.db", "replica.db-wal", "replica.db-shm"] {
        std::fs::rename(data.join(file), data.join(format!("kept-{file}"))).unwrap_or_default();
    }
    is_refused(data, &["--kurrentdb", &url], &[&format!("rewound at position {seen}"), "docs/broken-log.md"]);
    for file in ["replica.db", "replica.db-wal", "replica.db-shm"] {
        let _ = std::fs::remove_file(data.join(file));
        std::fs::rename(data.join(format!("kept-{file}")), data.join(file)).unwrap_or_default();
    }
    let kept = double.state().head(STREAM);
    let recovered = walk("Go on without the lost end", data, &[("ROLLCALL_KURRENTDB", &url)]);
    let lost = format!("lost: the {} events at the positions {} to {seen}", seen - kept, kept + 1);
    assert!(recovered.status.success() && said(&recovered).contains(&lost), "{lost:?}: {}", said(&recovered));
    let service = start(data, &url);
    assert!(known(&service, &USERS).contains(&"ada"));
    service.register(APP, &["dora"]);
}
