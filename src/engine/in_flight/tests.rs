//! What a command that failed takes along, and what it does not.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::stream::Stream;
use uuid::Uuid;

use super::{Belief, Dependencies, InFlight, beliefs_of};

fn user(number: u128) -> Stream {
    Stream::User(SubjectRef(Uuid::from_u128(number)))
}

fn changes(number: u128) -> Vec<Belief> {
    beliefs_of(&user(number)).collect()
}

fn begin(in_flight: &InFlight, writes: u128, reads: &[u128]) -> Dependencies {
    in_flight.begin(changes(writes), reads.iter().copied().flat_map(changes).collect())
}

#[test]
fn only_what_was_decided_on_a_failed_command_is_invalid_until_the_decider_begins_anew() {
    let in_flight = InFlight::default();
    let before = begin(&in_flight, 1, &[]);
    let failed = begin(&in_flight, 1, &[9]);
    let (on_it, beside) = (begin(&in_flight, 2, &[1]), begin(&in_flight, 3, &[9]));
    in_flight.fail(&failed, []);
    let checked = [&before, &on_it, &beside].map(|of| in_flight.is_invalid(of));
    assert_eq!(checked, [false, true, false], "what it only looked at is as it was");
    // What was decided on that one, too, and not before it is known to have failed.
    let on_that = begin(&in_flight, 4, &[2]);
    assert!(!in_flight.is_invalid(&on_that));
    in_flight.fail(&on_it, []);
    assert!(in_flight.is_invalid(&on_that));
    in_flight.fail(&on_that, []);
    let dropped: std::collections::HashSet<_> = in_flight.take_dropped().into_iter().collect();
    assert_eq!(dropped, [1, 2, 4].into_iter().flat_map(changes).collect());
    assert!(in_flight.take_dropped().is_empty());
    let again = begin(&in_flight, 1, &[2, 4]);
    assert!(!in_flight.is_invalid(&again));
    assert!(in_flight.is_invalid(&on_it), "it may still be on its way");
    in_flight.passed(again.number);
    assert!(in_flight.inner().invalid.is_empty(), "nobody is left who could be");
}

#[test]
fn a_stream_that_was_not_as_believed_is_dropped_with_what_would_have_changed() {
    let in_flight = InFlight::default();
    let (failed, on_the_same) = (begin(&in_flight, 1, &[9]), begin(&in_flight, 2, &[9]));
    in_flight.fail(&failed, changes(9));
    assert!(in_flight.is_invalid(&on_the_same));
    let pair = rollcall_schemas::ids::Pair::of(SubjectRef(Uuid::from_u128(1)), SubjectRef(Uuid::from_u128(2)));
    assert_eq!(beliefs_of(&Stream::Friendship(pair.unwrap())).count(), 3, "two numbers of friends change with it");
}

#[tokio::test]
async fn who_loads_waits_for_what_is_on_its_way_and_for_nothing_else() {
    let in_flight = Arc::new(InFlight::default());
    let (one, two) = (begin(&in_flight, 1, &[]), begin(&in_flight, 1, &[]));
    in_flight.settled(&changes(2)).await;
    let waits = tokio::spawn({
        let in_flight = in_flight.clone();
        async move { in_flight.settled(&changes(1)).await }
    });
    tokio::task::yield_now().await;
    in_flight.succeed(&one);
    tokio::task::yield_now().await;
    assert!(!waits.is_finished());
    in_flight.fail(&two, []);
    waits.await.unwrap();
}
