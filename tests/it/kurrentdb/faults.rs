//! What goes wrong between the log and `KurrentDB`.

use std::time::Duration;

use bytes::Bytes;
use rollcall::eventlog::embedded::Embedded;
use rollcall::eventlog::kurrentdb::Kurrent;
use rollcall::eventlog::{Error, EventLog, NewEvent, Outcome};

use super::double::Fault;
use super::{Double, STREAM, all, connect, delete};
use crate::eventlog_contract::{append, event, runtime};

const APPENDED: fn(u64, u64) -> Vec<Outcome> = |first, last| vec![Outcome::Appended { first, last }];

/// Appends once with a fault; whatever it is, it is kept once.
fn is_settled(faults: &[Fault]) {
    for forgets_ids in [false, true] {
        is_settled_by(faults, forgets_ids);
    }
}

fn is_settled_by(faults: &[Fault], forgets_ids: bool) {
    let (double, dir) = (Double::start(), tempfile::tempdir().unwrap());
    double.state().forgets_ids = forgets_ids;
    runtime().block_on(async {
        let log = connect(&double.url(), STREAM, &dir.path().join("replica.db")).await;
        log.append(vec![append("a", 0, vec![event(1, None)])]).await.unwrap();
        double.state().faults.extend(faults);
        let item = append("a", 1, vec![event(2, Some(3)), event(3, None)]);
        assert_eq!(log.append(vec![item]).await.unwrap(), APPENDED(2, 3));
        assert_eq!(log.append(vec![append("a", 3, vec![event(4, None)])]).await.unwrap(), APPENDED(4, 4));
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(double.state().len(STREAM), 4, "{faults:?}");
        assert!(double.state().appends >= 3 + faults.len());
        assert!(all(log.as_ref()).await.iter().map(|event| event.position).eq(1..=4));
    });
}

#[test]
fn an_append_whose_answer_is_lost_is_kept_once() {
    is_settled(&[Fault::AnswerLost]);
    is_settled(&[Fault::AnswerLost, Fault::AnswerLost]);
}

#[test]
fn an_append_that_failed_is_kept_once() {
    is_settled(&[Fault::NotKept]);
}

#[test]
fn an_append_that_arrives_late_is_kept_once() {
    is_settled(&[Fault::KeptLater(Duration::from_millis(50))]);
    is_settled(&[Fault::KeptLater(Duration::from_millis(300))]);
}

#[test]
fn an_append_that_is_never_answered_is_kept_once() {
    is_settled(&[Fault::Silence]);
}

#[test]
fn an_append_whose_answer_is_lost_for_long_is_ambiguous_and_seen_later() {
    let (double, dir) = (Double::start(), tempfile::tempdir().unwrap());
    runtime().block_on(async {
        let log = connect(&double.url(), STREAM, &dir.path().join("replica.db")).await;
        double.state().faults.extend([Fault::AnswerLost; 1_000]);
        let ambiguous = log.append(vec![append("a", 0, vec![event(1, None)])]).await;
        assert!(matches!(ambiguous, Err(Error::Ambiguous(_))), "{ambiguous:?}");
        double.state().faults.clear();
        let conflict = vec![Outcome::Conflict { stream: "a".into(), current: 1 }];
        assert_eq!(log.append(vec![append("a", 0, vec![event(2, None)])]).await.unwrap(), conflict);
        assert_eq!(all(log.as_ref()).await.len(), 1);
        assert_eq!(double.state().len(STREAM), 1);
    });
}

#[test]
fn an_append_that_another_node_forestalled_while_its_fate_was_unknown_is_decided_again() {
    let (double, dir) = (Double::start(), tempfile::tempdir().unwrap());
    runtime().block_on(async {
        let one = connect(&double.url(), STREAM, &dir.path().join("one.db")).await;
        let two = connect(&double.url(), STREAM, &dir.path().join("two.db")).await;
        double.state().faults.push_back(Fault::NotKept);
        let first = tokio::spawn({
            let one = one.clone();
            async move { one.append(vec![append("a", 0, vec![event(1, None)])]).await }
        });
        // Only once the first has failed.
        while !double.state().faults.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(two.append(vec![append("a", 0, vec![event(2, None)])]).await.unwrap(), APPENDED(1, 1));
        let conflict = vec![Outcome::Conflict { stream: "a".into(), current: 1 }];
        assert_eq!(first.await.unwrap().unwrap(), conflict);
        assert_eq!(double.state().len(STREAM), 1);
    });
}

#[test]
fn a_server_that_goes_away_keeps_nothing_meanwhile_and_is_found_again() {
    let (mut double, dir) = (Double::start(), tempfile::tempdir().unwrap());
    runtime().block_on(async {
        let log = connect(&double.url(), STREAM, &dir.path().join("replica.db")).await;
        log.append(vec![append("a", 0, vec![event(1, None)])]).await.unwrap();
        double.stop();
        // For longer than it is tried. The first append may have been on its way when the server went.
        let refused = log.append(vec![append("a", 1, vec![event(2, None)])]).await;
        assert!(matches!(refused, Err(Error::Unavailable(_) | Error::Ambiguous(_))), "{refused:?}");
        // Of the second it is known that nothing was kept; and what is known can still be read.
        let refused = log.append(vec![append("a", 1, vec![event(2, None)])]).await;
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
        assert_eq!(all(log.as_ref()).await.len(), 1);
        double.start_again();
        assert_eq!(log.append(vec![append("a", 1, vec![event(3, None)])]).await.unwrap(), APPENDED(2, 2));
        // For shorter: nobody notices.
        double.stop();
        let waiting = tokio::spawn({
            let log = log.clone();
            async move { log.append(vec![append("a", 2, vec![event(4, None)])]).await }
        });
        tokio::time::sleep(Duration::from_millis(500)).await;
        double.start_again();
        assert_eq!(waiting.await.unwrap().unwrap(), APPENDED(3, 3));
        assert_eq!(double.state().len(STREAM), 3);
    });
}

#[test]
fn a_server_that_is_not_there_at_the_start_is_waited_for() {
    let (mut double, dir) = (Double::start(), tempfile::tempdir().unwrap());
    double.stop();
    runtime().block_on(async {
        let (url, replica) = (double.url(), dir.path().join("replica.db"));
        let connecting = tokio::spawn(async move { Kurrent::connect(&url, STREAM, &replica).await });
        tokio::time::sleep(Duration::from_millis(700)).await;
        double.start_again();
        let log = connecting.await.unwrap().unwrap();
        assert_eq!(log.append(vec![append("a", 0, vec![event(1, None)])]).await.unwrap(), APPENDED(1, 1));
    });
}

fn is_rewound<T>(result: Result<T, Error>) -> bool {
    matches!(result.err(), Some(Error::Corrupt { position: 3, reason }) if reason.contains("rollcall recover"))
}

#[test]
fn a_log_whose_end_the_server_lost_is_not_opened() {
    let (double, dir) = (Double::start(), tempfile::tempdir().unwrap());
    let replica = dir.path().join("replica.db");
    runtime().block_on(async {
        let log = connect(&double.url(), STREAM, &replica).await;
        log.append(vec![append("a", 0, (1..=3).map(|n| event(n, None)).collect())]).await.unwrap();
        drop(log);
        double.state().truncate(STREAM, 1);
        assert!(is_rewound(Kurrent::connect(&double.url(), STREAM, &replica).await), "shorter");
        // Another node wrote there meanwhile.
        let other = connect(&double.url(), STREAM, &dir.path().join("other.db")).await;
        assert_eq!(other.head(), 0, "half an item was taken over");
        drop(other);
        double.state().truncate(STREAM, 2);
        let other = connect(&double.url(), STREAM, &dir.path().join("other.db")).await;
        other.append(vec![append("b", 0, (4..=9).map(|n| event(n, None)).collect())]).await.unwrap();
        assert!(is_rewound(Kurrent::connect(&double.url(), STREAM, &replica).await), "another entry");
        delete(&replica);
        let log = connect(&double.url(), STREAM, &replica).await;
        assert_eq!(all(log.as_ref()).await, all(other.as_ref()).await);
    });
}

#[test]
fn a_log_whose_end_the_server_loses_while_it_is_open_stops() {
    let (double, dir) = (Double::start(), tempfile::tempdir().unwrap());
    runtime().block_on(async {
        let log = connect(&double.url(), STREAM, &dir.path().join("replica.db")).await;
        log.append(vec![append("a", 0, (1..=3).map(|n| event(n, None)).collect())]).await.unwrap();
        double.state().truncate(STREAM, 2);
        assert!(is_rewound(log.append(vec![append("b", 0, vec![event(4, None)])]).await));
        assert!(is_rewound(log.read_all(0, 10).await));
    });
}

#[test]
fn a_node_never_appends_after_an_entry_that_took_the_place_of_another() {
    let (mut double, dir) = (Double::start(), tempfile::tempdir().unwrap());
    runtime().block_on(async {
        let log = connect(&double.url(), STREAM, &dir.path().join("replica.db")).await;
        log.append(vec![append("a", 0, (1..=2).map(|n| event(n, None)).collect())]).await.unwrap();
        log.append(vec![append("a", 2, vec![event(3, None)])]).await.unwrap();
        double.stop();
        let refused = log.append(vec![append("a", 3, vec![event(4, None)])]).await;
        assert!(matches!(refused, Err(Error::Unavailable(_) | Error::Ambiguous(_))), "{refused:?}");
        // The last entry was not copied to the new leader, and another node was faster there.
        double.state().truncate(STREAM, 1);
        double.start_again();
        let other = connect(&double.url(), STREAM, &dir.path().join("other.db")).await;
        assert_eq!(other.append(vec![append("b", 0, vec![event(5, None)])]).await.unwrap(), APPENDED(3, 3));
        assert!(is_rewound(log.append(vec![append("a", 3, vec![event(6, None)])]).await));
        assert_eq!(double.state().len(STREAM), 3);
        assert_eq!(other.append(vec![append("b", 1, vec![event(7, None)])]).await.unwrap(), APPENDED(4, 4));
    });
}

#[test]
fn a_replica_that_was_deleted_is_made_again_from_the_stream() {
    let (double, dir) = (Double::start(), tempfile::tempdir().unwrap());
    let replica = dir.path().join("replica.db");
    runtime().block_on(async {
        let log = connect(&double.url(), STREAM, &replica).await;
        // More than one page.
        let items =
            (0..1_500).map(|n| append(&format!("s-{n}"), 0, vec![event(2 * n, Some(3)), event(2 * n + 1, None)]));
        log.append(items.collect()).await.unwrap();
        log.detach((1..100).map(|at| (at, None)).collect()).await.unwrap();
        let before = all(log.as_ref()).await;
        drop(log);
        delete(&replica);
        let log = connect(&double.url(), STREAM, &replica).await;
        assert_eq!(all(log.as_ref()).await, before);
    });
}

#[test]
fn a_batch_above_the_limit_of_an_append_is_cut_between_items() {
    let (double, dir) = (Double::start(), tempfile::tempdir().unwrap());
    runtime().block_on(async {
        let log = connect(&double.url(), STREAM, &dir.path().join("replica.db")).await;
        let large = |n: u64, bytes: usize| NewEvent {
            core: Bytes::from(vec![1; bytes / 2]),
            blobs: Some(Bytes::from(vec![2; bytes / 2])),
            ..event(n, None)
        };
        let items = (0..40).map(|n| append(&format!("s-{n}"), 0, vec![large(n, 100 * 1024)])).collect();
        assert_eq!(log.append(items).await.unwrap().len(), 40);
        assert_eq!(log.head(), 40);
        assert!(double.state().appends <= 7);
        assert!((500 * 1024..1024 * 1024).contains(&double.state().largest));
        // One item that no append can hold is turned away, and keeps nothing else from going on.
        let refused = log.append(vec![append("large", 0, vec![large(50, 1024 * 1024)])]).await;
        assert!(matches!(&refused, Err(Error::Unavailable(reason)) if reason.contains("Append Size")), "{refused:?}");
        assert_eq!(log.append(vec![append("s-1", 1, vec![event(51, None)])]).await.unwrap(), APPENDED(41, 41));
    });
}

#[test]
fn a_file_that_is_no_replica_of_the_stream_is_left_alone() {
    let (double, dir) = (Double::start(), tempfile::tempdir().unwrap());
    runtime().block_on(async {
        let own = dir.path().join("events.db");
        let embedded = Embedded::open(&own).unwrap();
        embedded.append(vec![append("a", 0, vec![event(1, None)])]).await.unwrap();
        drop(embedded);
        let refused = Kurrent::connect(&double.url(), STREAM, &own).await.err().unwrap();
        assert!(refused.to_string().contains("a log of its own"), "{refused}");

        let replica = dir.path().join("replica.db");
        let log = connect(&double.url(), STREAM, &replica).await;
        log.append(vec![append("a", 0, vec![event(1, None)])]).await.unwrap();
        drop(log);
        let refused = Kurrent::connect(&double.url(), "another", &replica).await.err().unwrap();
        assert!(refused.to_string().contains("a replica of the stream rollcall-log"), "{refused}");
    });
}

#[test]
fn an_address_that_is_none_is_not_repeated() {
    runtime().block_on(async {
        let refused = Kurrent::connect("kurrent//admin:secret@", STREAM, "/nowhere".as_ref()).await.err().unwrap();
        assert!(!refused.to_string().contains("secret"), "{refused}");
    });
}
