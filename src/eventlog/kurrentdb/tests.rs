//! What stands in the stream reads back as what was recorded, or not at all.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use chrono::DateTime;
use uuid::Uuid;

use super::draft;
use super::entry::{Assembler, Encoder, Entry};
use crate::eventlog::embedded::step::Step;
use crate::eventlog::{Append, Error, Idempotency, Item, NewEvent, RawEvent};

fn raw(position: u64, blobs: Option<&'static [u8]>) -> RawEvent {
    RawEvent {
        position,
        stream: "a \"stream\"".into(),
        revision: position,
        id: Uuid::from_u128(position.into()),
        name: "user.registered".into(),
        version: 2,
        recorded_at: DateTime::from_timestamp_millis(1_700_000_000_123).unwrap(),
        core: Bytes::from_static(&[0, 255, 7]),
        blobs: blobs.map(Bytes::from_static),
    }
}

fn guard() -> Idempotency {
    let recorded_at = raw(1, None).recorded_at;
    Idempotency { key: [1; 32], fingerprint: [255; 32], outcome: vec![0, 200], recorded_at }
}

fn steps() -> Vec<Step> {
    vec![
        Step::Append { events: vec![raw(1, Some(&[1, 2])), raw(2, None), raw(3, Some(&[]))], kept: Some(guard()) },
        Step::Append { events: vec![], kept: Some(guard()) },
        Step::Detach(vec![(1, None), (3, Some(Bytes::from_static(&[9])))]),
        Step::Own(Uuid::from_u128(9)),
        Step::Append { events: vec![raw(4, None)], kept: None },
        Step::Fence,
        Step::Expire(guard().recorded_at),
    ]
}

fn encoded(steps: &[Step]) -> Vec<Entry> {
    let mut encoder = Encoder::new(None, 0);
    steps.iter().for_each(|step| encoder.add(step).unwrap());
    encoder.finish()
}

fn assembled(entries: &[Entry]) -> Result<Vec<Step>, Error> {
    let mut assembler = Assembler::new(None, 0);
    entries.iter().filter_map(|entry| assembler.take(entry).transpose()).collect()
}

#[test]
fn what_was_recorded_reads_back_the_same() {
    assert_eq!(assembled(&encoded(&steps())).unwrap(), steps());
}

#[test]
fn an_item_is_taken_over_whole_or_not_at_all() {
    let entries = encoded(&steps());
    assert_eq!(assembled(&entries[..2]).unwrap(), []);
    assert_eq!(assembled(&entries[..3]).unwrap(), steps()[..1]);
}

#[test]
fn whatever_is_missing_exchanged_or_of_another_is_noticed() {
    let entries = encoded(&steps());
    for missing in 0..entries.len() - 1 {
        let mut entries = entries.clone();
        entries.remove(missing);
        assert!(matches!(assembled(&entries), Err(Error::Corrupt { .. })), "without {missing}");
        let mut entries = encoded(&steps());
        entries.swap(missing, missing + 1);
        assert!(matches!(assembled(&entries), Err(Error::Corrupt { .. })), "exchanged {missing}");
        let mut entries = encoded(&steps());
        entries[missing].id = Uuid::from_u128(77);
        assert!(matches!(assembled(&entries), Err(Error::Corrupt { .. })), "another {missing}");
        let mut entries = encoded(&steps());
        entries[missing].metadata = Bytes::from_static(b"{}");
        assert!(matches!(assembled(&entries), Err(Error::Corrupt { .. })), "of another program: {missing}");
    }
}

fn item(stream: usize, bytes: usize) -> Item {
    let RawEvent { id, version, recorded_at, .. } = raw(1, None);
    let (name, core) = ("user.registered", Bytes::from(vec![0; bytes]));
    let events = vec![NewEvent { id, name, version, recorded_at, core, blobs: None }];
    Item { appends: vec![Append { stream: stream.to_string(), expected: 0, events }], ..Item::default() }
}

/// The numbers of the batches in each chunk.
fn chunks(batches: &[&[usize]]) -> Vec<Vec<usize>> {
    let batches = batches.iter().map(|sizes| sizes.iter().map(|kib| item(0, kib * 1024)).collect());
    draft::chunks(batches.collect())
        .into_iter()
        .map(|chunk| chunk.into_iter().map(|(number, _)| number).collect())
        .collect()
}

#[test]
fn a_batch_is_cut_only_where_no_append_holds_it() {
    assert_eq!(chunks(&[]), Vec::<Vec<usize>>::new());
    assert_eq!(chunks(&[&[1, 1], &[1]]), [vec![0, 0, 1]]);
    assert_eq!(chunks(&[&[500], &[300, 300]]), [vec![0], vec![1, 1]], "the second fits into an append of its own");
    assert_eq!(chunks(&[&[500], &[300, 300, 500]]), [vec![0, 1], vec![1, 1]], "the second fits into none");
    assert_eq!(chunks(&[&[10, 2_000, 10]]), [vec![0], vec![0], vec![0]], "an item is never cut");
}

#[test]
fn what_is_detached_is_cut_into_what_an_append_holds() {
    let blobs = || Some(Bytes::from(vec![0; 200 * 1024]));
    assert_eq!(draft::detachments(vec![]).len(), 0);
    assert_eq!(draft::detachments((0..10_000).map(|at| (at, None)).collect()).len(), 1);
    let pieces = draft::detachments((0..7).map(|at| (at, blobs())).collect());
    assert_eq!(pieces.iter().map(Vec::len).collect::<Vec<_>>(), [3, 3, 1]);
}
