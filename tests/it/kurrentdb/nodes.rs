//! Several nodes on one `KurrentDB`.

use bytes::Bytes;
use rollcall::eventlog::{Idempotency, Item, NewEvent, Outcome};

use super::{Double, STREAM, all, connect};
use crate::eventlog_contract::{
    append, appends_to_a_contended_stream, event, refuses_what_rests_on_a_refused_item, runtime,
};

#[test]
fn two_nodes_that_append_to_one_stream_lose_nothing_and_see_the_same() {
    let (double, dir) = (Double::start(), tempfile::tempdir().unwrap());
    runtime().block_on(async {
        let one = connect(&double.url(), STREAM, &dir.path().join("one.db")).await;
        let two = connect(&double.url(), STREAM, &dir.path().join("two.db")).await;
        let appenders: Vec<_> = (0..4)
            .map(|task| if task % 2 == 0 { (one.clone(), task) } else { (two.clone(), task) })
            .map(|(log, task)| tokio::spawn(appends_to_a_contended_stream(log, task)))
            .collect();
        for appender in appenders {
            assert_eq!(appender.await.unwrap(), 25);
        }
        for log in [&one, &two] {
            log.watch().wait_for(|head| *head == 200).await.unwrap();
        }
        let events = all(one.as_ref()).await;
        assert_eq!(events, all(two.as_ref()).await);
        assert!(events.iter().map(|event| event.position).eq(1..=200));
        assert_eq!(one.read_stream("shared", 0, 1_000).await.unwrap().len(), 100);
        assert_eq!(double.state().len(STREAM), 200);
    });
}

#[test]
fn a_node_that_appends_nothing_sees_what_another_appends_and_forgets() {
    let (double, dir) = (Double::start(), tempfile::tempdir().unwrap());
    runtime().block_on(async {
        let one = connect(&double.url(), STREAM, &dir.path().join("one.db")).await;
        let two = connect(&double.url(), STREAM, &dir.path().join("two.db")).await;
        one.append(vec![append("a", 0, vec![event(1, Some(3)), event(2, Some(4))])]).await.unwrap();
        two.watch().wait_for(|head| *head == 2).await.unwrap();
        assert_eq!(one.detach(vec![(1, None), (7, None)]).await.unwrap(), 1);
        one.append(vec![append("b", 0, vec![event(3, None)])]).await.unwrap();
        two.watch().wait_for(|head| *head == 3).await.unwrap();
        let events = all(two.as_ref()).await;
        assert_eq!(events.iter().map(|event| event.blobs.is_some()).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!(events, all(one.as_ref()).await);
    });
}

#[test]
fn a_key_that_one_node_used_is_replayed_by_another_that_did_not_hear_of_it() {
    let (double, dir) = (Double::start(), tempfile::tempdir().unwrap());
    runtime().block_on(async {
        let one = connect(&double.url(), STREAM, &dir.path().join("one.db")).await;
        let two = connect(&double.url(), STREAM, &dir.path().join("two.db")).await;
        let guard = Idempotency {
            key: [1; 32],
            fingerprint: [2; 32],
            outcome: vec![3],
            recorded_at: event(1, None).recorded_at,
        };
        // Without an event: nothing but the marker says it.
        let item = Item { idempotency: Some(guard), ..Item::default() };
        assert_eq!(one.append(vec![item.clone()]).await.unwrap(), [Outcome::Appended { first: 1, last: 0 }]);
        let replayed = Outcome::Replayed { fingerprint: [2; 32], outcome: vec![3] };
        assert_eq!(two.append(vec![item]).await.unwrap(), [replayed]);
        // And a stream that grew elsewhere is a conflict with what it is, not with what it was here.
        one.append(vec![append("a", 0, vec![event(5, None)])]).await.unwrap();
        let conflict = Outcome::Conflict { stream: "a".into(), current: 1 };
        assert_eq!(two.append(vec![append("a", 4, vec![event(6, None)])]).await.unwrap(), [conflict]);
    });
}

#[test]
fn what_rests_on_a_refused_item_is_refused_by_the_log_in_kurrentdb_also_where_a_batch_is_cut_between_them() {
    let (double, dir) = (Double::start(), tempfile::tempdir().unwrap());
    runtime().block_on(async {
        let one = connect(&double.url(), STREAM, &dir.path().join("one.db")).await;
        let two = connect(&double.url(), STREAM, &dir.path().join("two.db")).await;
        refuses_what_rests_on_a_refused_item(one.as_ref(), two.as_ref()).await;

        two.append(vec![append("large", 0, vec![event(20, None)])]).await.unwrap();
        // Two of them do not fit into one append to the server.
        let large = |number: u64| NewEvent { blobs: Some(Bytes::from(vec![0; 500 * 1024])), ..event(number, None) };
        let batch = vec![append("large", 0, vec![large(21)]), append("large", 1, vec![large(22)])];
        let conflict = Outcome::Conflict { stream: "large".into(), current: 1 };
        assert_eq!(one.append(batch).await.unwrap(), [conflict.clone(), conflict]);
    });
}
