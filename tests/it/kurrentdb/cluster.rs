//! Three nodes of one KurrentDB, of which the leader freezes: its connections stay open, and it answers nothing.

use std::time::Duration;

use rollcall::eventlog::Outcome;

use super::double::Fault;
use super::{Double, STREAM, all, connect};
use crate::eventlog_contract::{append, event, runtime};

const APPENDED: fn(u64, u64) -> Vec<Outcome> = |first, last| vec![Outcome::Appended { first, last }];
/// How long a cluster takes to notice that its leader is gone, and to elect another one.
const ELECTION: Duration = Duration::from_secs(3);

#[test]
fn a_frozen_leader_is_left_for_the_next_one_and_nothing_is_in_doubt() {
    let (mut double, dir) = (Double::cluster(3), tempfile::tempdir().unwrap());
    runtime().block_on(async {
        let log = connect(&double.url(), STREAM, &dir.path().join("replica.db")).await;
        assert_eq!(log.append(vec![append("a", 0, vec![event(1, None)])]).await.unwrap(), APPENDED(1, 1));
        double.freeze(0);
        let waiting = tokio::spawn({
            let log = log.clone();
            async move { log.append(vec![append("a", 1, vec![event(2, None)])]).await }
        });
        tokio::time::sleep(ELECTION).await;
        double.elect(1, 0);
        // An append that is not settled in 15 s is ambiguous.
        assert_eq!(waiting.await.unwrap().unwrap(), APPENDED(2, 2));
        assert_eq!(log.append(vec![append("a", 2, vec![event(3, None)])]).await.unwrap(), APPENDED(3, 3));
        // What the old leader had received before it froze, it refuses now that it leads no more.
        double.thaw(0);
        assert_eq!(log.append(vec![append("a", 3, vec![event(4, None)])]).await.unwrap(), APPENDED(4, 4));
        assert_eq!(double.state().len(STREAM), 4);
        assert!(all(log.as_ref()).await.iter().map(|event| event.position).eq(1..=4));
    });
}

#[test]
fn a_node_finds_the_leader_where_the_first_host_of_the_address_is_frozen_and_where_none_is() {
    let (mut double, dir) = (Double::cluster(3), tempfile::tempdir().unwrap());
    double.elect(2, 0);
    double.freeze(0);
    runtime().block_on(async {
        let log = connect(&double.url(), STREAM, &dir.path().join("replica.db")).await;
        assert_eq!(log.append(vec![append("a", 0, vec![event(1, None)])]).await.unwrap(), APPENDED(1, 1));
        // Another one is elected while all of them are well: the old leader names it.
        double.elect(1, 0);
        assert_eq!(log.append(vec![append("a", 1, vec![event(2, None)])]).await.unwrap(), APPENDED(2, 2));
    });
}

#[test]
fn what_a_process_had_on_its_way_when_it_died_cannot_land_once_the_next_one_has_started() {
    let (double, dir) = (Double::start(), tempfile::tempdir().unwrap());
    let replica = dir.path().join("replica.db");
    let process = runtime();
    process.block_on(async {
        let log = connect(&double.url(), STREAM, &replica).await;
        log.append(vec![append("a", 0, vec![event(1, None)])]).await.unwrap();
        double.state().faults.push_back(Fault::HeldBack);
        tokio::spawn(async move { log.append(vec![append("b", 0, vec![event(2, None)])]).await });
        while double.state().held.is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    process.shutdown_background();
    runtime().block_on(async {
        let next = connect(&double.url(), STREAM, &replica).await;
        assert_eq!(next.fence().await.unwrap(), 1);
        assert_eq!(double.state().release(), 0, "it landed behind what the next process has read");
        assert_eq!(next.latest().await.unwrap(), 1);
        assert_eq!(next.append(vec![append("b", 0, vec![event(3, None)])]).await.unwrap(), APPENDED(2, 2));
    });
}

#[test]
fn what_a_process_had_on_its_way_and_landed_before_the_next_one_fenced_is_read_by_it() {
    let (double, dir) = (Double::start(), tempfile::tempdir().unwrap());
    runtime().block_on(async {
        let log = connect(&double.url(), STREAM, &dir.path().join("one.db")).await;
        let other = connect(&double.url(), STREAM, &dir.path().join("two.db")).await;
        log.append(vec![append("a", 0, vec![event(1, None)])]).await.unwrap();
        assert_eq!(other.fence().await.unwrap(), 1);
        // A fence is no event: whoever appends next takes it over and goes on.
        assert_eq!(log.append(vec![append("a", 1, vec![event(2, None)])]).await.unwrap(), APPENDED(2, 2));
        assert_eq!(double.state().types(STREAM)[1], "rollcall.fence");
    });
}
