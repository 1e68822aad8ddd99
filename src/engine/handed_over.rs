//! Events on their way from the committer, which sealed them, to the projector of the same node: it need not parse what this
//! process has just encoded.
//!
//! Nothing relies on it. An event that is not here, or whose bytes in the log are others by now, is decoded.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rollcall_schemas::Event;
use rollcall_schemas::envelope::{Metadata, Recorded};
use rollcall_schemas::ids::EventId;
use rollcall_schemas::stream::Stream;

use crate::eventlog::{NewEvent, RawEvent};

/// Most events kept: those of a projector that is further behind are decoded.
const EVENTS_MAX: usize = 8_192;

/// A sealed event and the bytes that it was encoded to; its place in the log is not known yet.
pub(super) struct Unplaced {
    /// Boxed: it is moved often, and is large.
    recorded: Box<Recorded<Event>>,
    core: Bytes,
    blobs: Option<Bytes>,
}

impl Unplaced {
    pub(super) fn new(stream: Stream, revision: u64, metadata: Metadata, event: Event, new: &NewEvent) -> Self {
        let recorded = Box::new(Recorded {
            position: 0,
            stream,
            revision,
            id: EventId(new.id),
            recorded_at: new.recorded_at,
            metadata,
            name: new.name,
            version: new.version,
            event,
        });
        Self { recorded, core: new.core.clone(), blobs: new.blobs.clone() }
    }
}

/// The events by their positions.
#[derive(Default)]
pub(super) struct HandedOver(Mutex<BTreeMap<u64, Unplaced>>);

impl HandedOver {
    fn events(&self) -> MutexGuard<'_, BTreeMap<u64, Unplaced>> {
        // Whole after every statement.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands over the events of an append that are in the log now, from this position on.
    pub(super) fn put(&self, first: u64, appended: Vec<Unplaced>) {
        let mut events = self.events();
        for (position, mut unplaced) in (first..).zip(appended) {
            unplaced.recorded.position = position;
            events.insert(position, unplaced);
        }
        while events.len() > EVENTS_MAX {
            events.pop_first();
        }
    }

    /// Takes an event, if it was handed over as it is in the log. Whoever follows the log takes them in its order: what was
    /// before it is not kept.
    pub(super) fn take(&self, raw: &RawEvent) -> Option<Box<Recorded<Event>>> {
        let mut events = self.events();
        while events.first_key_value().is_some_and(|(position, _)| *position < raw.position) {
            events.pop_first();
        }
        let found = events.remove(&raw.position)?;
        drop(events);
        let is_same = found.recorded.id.0 == raw.id && found.core == raw.core && found.blobs == raw.blobs;
        is_same.then_some(found.recorded)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rollcall_schemas::blocklist;
    use rollcall_schemas::envelope::Actor;
    use rollcall_schemas::ids::SubjectRef;
    use uuid::Uuid;

    use super::super::journal;
    use super::*;
    use crate::privacy::key_tree::{self, KeyTree};

    /// An event as it is handed over, and as the log holds it.
    fn event(position: u64) -> (Unplaced, RawEvent) {
        let dir = tempfile::tempdir().unwrap();
        let vault = KeyTree::open(dir.path(), &Default::default()).unwrap();
        let subject: SubjectRef = key_tree::allocated(&vault);
        let stream = Stream::Blocklist(subject);
        let metadata = Metadata {
            app: "chat".parse().unwrap(),
            actor: Actor::Operator,
            correlation: Uuid::from_u128(9),
            causation: None,
        };
        let event: blocklist::Event = blocklist::Blocked { subject, targets: vec![subject] }.into();
        let envelope = journal::Envelope::of(&metadata).unwrap();
        let at = chrono::DateTime::UNIX_EPOCH;
        let (new, event) = journal::seal(&vault, &stream.to_string(), &envelope, at, event.into(), None).unwrap();
        let unplaced = Unplaced::new(stream.clone(), 1, metadata, event, &new);
        let NewEvent { id, name, version, recorded_at, core, blobs } = new;
        let (name, stream) = (name.into(), stream.to_string().into());
        (unplaced, RawEvent { position, stream, revision: 1, id, name, version, recorded_at, core, blobs })
    }

    #[test]
    fn what_is_handed_over_is_what_decoding_makes_of_it_and_is_taken_once() {
        let (handed_over, (unplaced, raw)) = (HandedOver::default(), event(7));
        handed_over.put(7, vec![unplaced]);
        let taken = handed_over.take(&raw).unwrap();
        assert_eq!(format!("{taken:?}"), format!("{:?}", journal::decode(&raw).unwrap()));
        assert!(handed_over.take(&raw).is_none());
    }

    #[test]
    fn an_event_whose_bytes_are_others_in_the_log_is_not_taken() {
        for change in [
            |raw: &mut RawEvent| raw.blobs = Some(Bytes::from_static(b"other")),
            |raw: &mut RawEvent| raw.core = Bytes::from_static(b"other"),
            |raw: &mut RawEvent| raw.id = Uuid::nil(),
        ] {
            let (handed_over, (unplaced, mut raw)) = (HandedOver::default(), event(7));
            handed_over.put(7, vec![unplaced]);
            change(&mut raw);
            assert!(handed_over.take(&raw).is_none());
        }
    }

    #[test]
    fn what_nobody_takes_is_bounded_and_goes_with_what_is_taken_behind_it() {
        let handed_over = HandedOver::default();
        let (_, last) = event(EVENTS_MAX as u64 + 10);
        let (unplaced, _) = event(1);
        let again = |recorded: &Recorded<Event>| Unplaced {
            recorded: Box::new(recorded.clone()),
            core: Bytes::new(),
            blobs: None,
        };
        (1..=last.position).for_each(|position| handed_over.put(position, vec![again(&unplaced.recorded)]));
        assert_eq!(handed_over.events().len(), EVENTS_MAX);
        assert!(handed_over.take(&last).is_none(), "it is another one");
        assert!(handed_over.events().is_empty());
    }
}
