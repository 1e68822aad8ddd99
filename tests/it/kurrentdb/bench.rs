//! How fast the log is over KurrentDB, against its bare client.

use std::time::{Duration, Instant};

use super::{Double, STREAM, connect};
use crate::cli::{path, rollcall, text};
use crate::eventlog_contract::{append, event, runtime};

/// How long one append takes a server with a disk: 1.9 ms were measured of the bare client on EventStoreDB 23.10.7, of which
/// the double needs some by itself.
const APPEND_TAKES: Duration = Duration::from_millis(1);

/// How long so many appends one after the other take, with the client as it is.
async fn bare(double: &Double, appends: usize) -> Duration {
    let client = eventstore::Client::new(double.url().parse().unwrap()).unwrap();
    let began = Instant::now();
    for _ in 0..appends {
        let event = eventstore::EventData::binary("test", bytes::Bytes::from_static(b"x"));
        client.append_to_stream("bare", &eventstore::AppendToStreamOptions::default(), event).await.unwrap();
    }
    began.elapsed()
}

#[test]
fn a_small_append_does_not_wait_for_an_acknowledgement_of_tcp() {
    let (ours, theirs, dir) = (Double::start(), Double::start(), tempfile::tempdir().unwrap());
    runtime().block_on(async {
        let log = connect(&ours.url(), STREAM, &dir.path().join("replica.db")).await;
        // Its connection is found a moment after its first call.
        tokio::time::sleep(Duration::from_millis(300)).await;
        let mut ratios = Vec::new();
        for round in 0..3 {
            let began = Instant::now();
            for number in 0..25 {
                let event = event(round * 25 + number + 1, None);
                log.append(vec![append(&format!("{round}-{number}"), 0, vec![event])]).await.unwrap();
            }
            let took = began.elapsed();
            ratios.push(bare(&theirs, 25).await.as_secs_f64() / took.as_secs_f64());
        }
        assert!(ratios.iter().any(|ratio| *ratio > 2.0), "times faster than with Nagle's algorithm: {ratios:?}");
    });
}

#[test]
fn the_bench_prints_our_log_beside_the_bare_client_of_kurrentdb() {
    let (double, dir) = (Double::start(), tempfile::tempdir().unwrap());
    double.state().appends_take = APPEND_TAKES;
    let (url, scratch) = (double.url(), dir.path().join("bench"));
    let output = rollcall(&["bench", "--kurrentdb", &url, "--seconds", "1", "--dir", path(&scratch)]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    println!("{said}");
    for callers in [1, 16, 64, 128] {
        let line = said.lines().find(|line| line.trim_start().starts_with(&format!("{callers} ")));
        let line = line.unwrap_or_else(|| panic!("{said}"));
        assert_eq!(line.matches("/s").count(), 2, "{line}");
        assert!(line.contains(" × "), "{line}");
    }
    assert!(!scratch.exists() && double.state().len(STREAM) == 0, "it measures in streams of its own");
    assert_eq!(double.state().streams(), 0, "they are deleted at the end");
}
