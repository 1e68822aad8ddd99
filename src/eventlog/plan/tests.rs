//! Whatever another node appends unseen, and whichever items are refused: an item is kept exactly where its streams hold
//! the events that it was decided on.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use uuid::Uuid;

use super::Plan;
use crate::eventlog::{Append, Assert, Idempotency, Item, NewEvent, Outcome};

/// The events of a stream, by their numbers.
type History = Vec<u128>;

const KEY: [u8; 32] = [7; 32];

fn event(number: u128) -> NewEvent {
    NewEvent {
        id: Uuid::from_u128(number),
        name: "user.modified",
        version: 1,
        recorded_at: chrono::DateTime::UNIX_EPOCH,
        core: Bytes::new(),
        blobs: None,
    }
}

/// An item decided on these histories: it appends to the first stream and asserts the others.
fn decided(number: u128, streams: &[u8], believed: &BTreeMap<u8, History>, repeats: bool) -> Item {
    let expected = |stream: &u8| believed.get(stream).map_or(0, Vec::len) as u64;
    let (first, rest) = streams.split_first().map_or((0, &[][..]), |(first, rest)| (*first, rest));
    let append = Append { stream: first.to_string(), expected: expected(&first), events: vec![event(number)] };
    let asserts = rest.iter().map(|of| Assert { stream: of.to_string(), expected: expected(of) }).collect();
    let idempotency = repeats.then(|| Idempotency {
        key: KEY,
        fingerprint: KEY,
        outcome: vec![],
        recorded_at: chrono::DateTime::UNIX_EPOCH,
    });
    Item { appends: vec![append], asserts, idempotency }
}

proptest! {
    #[test]
    fn an_item_is_kept_exactly_where_its_streams_hold_what_it_was_decided_on(
        known in vec(0..4_u8, 0..6),
        foreign in vec(0..4_u8, 0..5),
        items in vec((btree_set(0..4_u8, 1..4), any::<prop::sample::Index>(), prop::bool::weighted(0.1)), 1..16),
    ) {
        let mut log = BTreeMap::<u8, History>::new();
        for (number, stream) in (1..).zip(known) {
            log.entry(stream).or_default().push(number);
        }
        let mut believed = log.clone();
        for (number, stream) in (1_000..).zip(foreign) {
            log.entry(stream).or_default().push(number);
        }
        let revisions = log.iter().map(|(stream, events)| (stream.to_string().into(), events.len() as u64)).collect();
        let mut plan = Plan { revisions, ..Plan::default() };
        plan.outcomes.insert(KEY, (KEY, vec![]));
        for (number, (streams, first, repeats)) in (100..).zip(items) {
            let mut streams: Vec<_> = streams.into_iter().collect();
            let first = first.index(streams.len());
            streams.swap(0, first);
            let item = decided(number, &streams, &believed, repeats);
            let is_right = streams.iter().all(|stream| believed.get(stream) == log.get(stream));
            believed.entry(streams[0]).or_default().push(number);
            let is_kept = matches!(plan.add(&item), Outcome::Appended { .. });
            prop_assert_eq!(is_kept, is_right && !repeats, "item {} over {:?}", number, streams);
            if is_kept {
                log.entry(streams[0]).or_default().push(number);
            }
        }
    }
}
