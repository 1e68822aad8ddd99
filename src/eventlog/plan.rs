//! What becomes of the items of a batch, once it is known which revisions their streams have and which keys were used.
//!
//! An item may be decided on what an earlier item of the batch appends. If that one is refused, because another node was
//! faster, its place in the stream may be taken by an event that nobody looked at when the later item was decided. Its
//! revision is the expected one all the same, so the revision alone is no proof: see [`Refused`].

use std::borrow::Cow;
use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use super::{Append, Idempotency, Item, Outcome, RawEvent};

/// A batch on its way into a log, item by item. Later items see what earlier ones append.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Position of the last event, those of this batch included.
    pub(super) head: u64,
    /// The revision of every stream the batch names; one that is missing, or 0, does not exist.
    pub(super) revisions: HashMap<Arc<str>, u64>,
    /// Fingerprint and outcome of every key the batch names and somebody used.
    pub(super) outcomes: HashMap<[u8; 32], ([u8; 32], Vec<u8>)>,
    /// What is to be inserted.
    pub(super) events: Vec<RawEvent>,
    /// Keys that are used now.
    pub(super) kept: Vec<Idempotency>,
    /// What items that were refused would have appended to.
    pub(super) refused: Refused,
    /// What became of each item so far, where a whole batch was planned.
    pub(super) outcomes_told: Vec<Outcome>,
}

/// Streams that refused items would have appended to, each with the lowest revision such an item expected. Whatever
/// expects a higher one may rest on a refused item.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Refused(HashMap<String, u64>);

impl Refused {
    fn add(&mut self, item: &Item) {
        for Append { stream, expected, .. } in &item.appends {
            let lowest = self.0.entry(stream.clone()).or_insert(*expected);
            *lowest = (*lowest).min(*expected);
        }
    }

    fn may_underlie(&self, stream: &str, expected: u64) -> bool {
        self.0.get(stream).is_some_and(|lowest| expected > *lowest)
    }
}

/// Every stream a batch names.
pub(super) fn streams(batch: &[Item]) -> Vec<&str> {
    let appends = batch.iter().flat_map(|item| &item.appends).map(|append| append.stream.as_str());
    let asserts = batch.iter().flat_map(|item| &item.asserts).map(|assert| assert.stream.as_str());
    let mut streams: Vec<_> = appends.chain(asserts).collect();
    streams.sort_unstable();
    streams.dedup();
    streams
}

/// Every stream a batch names, with whether this is an append that begins it; as often as it is named.
pub(super) fn mentions(batch: &[Item]) -> impl Iterator<Item = (&str, bool)> {
    batch.iter().flat_map(|item| {
        let appends = item.appends.iter().map(|append| (append.stream.as_str(), append.expected == 0));
        appends.chain(item.asserts.iter().map(|assert| (assert.stream.as_str(), false)))
    })
}

/// Every key a batch names.
pub(super) fn keys(batch: &[Item]) -> Vec<&[u8]> {
    batch.iter().filter_map(|item| item.idempotency.as_ref().map(|guard| &guard.key[..])).collect()
}

impl Plan {
    fn revision(&self, stream: &str) -> u64 {
        self.revisions.get(stream).copied().unwrap_or(0)
    }

    /// The first reason not to append an item.
    pub(super) fn objection(&self, item: &Item) -> Option<Outcome> {
        if let Some((fingerprint, outcome)) = item.idempotency.as_ref().and_then(|guard| self.outcomes.get(&guard.key))
        {
            return Some(Outcome::Replayed { fingerprint: *fingerprint, outcome: outcome.clone() });
        }
        let appends = item.appends.iter().map(|append| (&append.stream, append.expected));
        let asserts = item.asserts.iter().map(|assert| (&assert.stream, assert.expected));
        for (stream, expected) in appends.chain(asserts) {
            let current = self.revision(stream);
            if current != expected || self.refused.may_underlie(stream, expected) {
                return Some(Outcome::Conflict { stream: stream.clone(), current });
            }
        }
        // A stream that is named twice in an item cannot have the expected revision the second time.
        if item.appends.len() < 2 {
            return None;
        }
        let mut named = HashSet::default();
        let twice = item.appends.iter().find(|append| !named.insert(append.stream.as_str()));
        twice.map(|append| Outcome::Conflict { stream: append.stream.clone(), current: append.expected })
    }

    /// Puts a plan that was made for an empty log behind a position.
    pub(super) fn move_behind(&mut self, position: u64) {
        self.head += position;
        self.events.iter_mut().for_each(|event| event.position += position);
        for outcome in &mut self.outcomes_told {
            if let Outcome::Appended { first, last } = outcome {
                *first += position;
                *last += position;
            }
        }
    }

    /// Adds an item, or tells why it is not appended.
    pub(super) fn add(&mut self, item: &Item) -> Outcome {
        if let Some(objection) = self.objection(item) {
            self.refused.add(item);
            return objection;
        }
        let first = self.head + 1;
        for Append { stream, expected, events } in &item.appends {
            let (stream, mut revision) = (Arc::<str>::from(stream.as_str()), *expected);
            for event in events {
                revision += 1;
                self.head += 1;
                self.events.push(RawEvent {
                    position: self.head,
                    stream: stream.clone(),
                    revision,
                    id: event.id,
                    name: Cow::Borrowed(event.name),
                    version: event.version,
                    recorded_at: event.recorded_at,
                    core: event.core.clone(),
                    blobs: event.blobs.clone(),
                });
            }
            self.revisions.insert(stream, revision);
        }
        if let Some(guard) = &item.idempotency {
            self.outcomes.insert(guard.key, (guard.fingerprint, guard.outcome.clone()));
            self.kept.push(guard.clone());
        }
        Outcome::Appended { first, last: self.head }
    }
}

#[cfg(test)]
mod tests;
