//! What a log must look like to every reader, and the checker that says so.

use std::collections::HashMap;

use bytes::Bytes;
use rollcall::eventlog::{Append, EventLog, Item, NewEvent, Outcome, RawEvent};
use uuid::Uuid;

pub fn event(recorded_at: i64) -> NewEvent {
    NewEvent {
        id: Uuid::new_v4(),
        name: "user.registered",
        version: 1,
        recorded_at: chrono::DateTime::from_timestamp_millis(1_700_000_000_000 + recorded_at).unwrap(),
        core: Bytes::from_static(b"{}"),
        blobs: None,
    }
}

pub fn item(stream: &str, expected: u64, count: usize) -> Item {
    let events = (0..count).map(|_| event(0)).collect();
    let appends = vec![Append { stream: stream.into(), expected, events }];
    Item { appends, ..Item::default() }
}

/// Appends one event, and answers its position.
pub async fn append(log: &dyn EventLog, stream: &str, expected: u64) -> u64 {
    match log.append(vec![item(stream, expected, 1)]).await.unwrap().remove(0) {
        Outcome::Appended { last, .. } => last,
        other => panic!("{other:?}"),
    }
}

/// Follows a log as a projection does, from the beginning, and notices whatever it was not told.
#[derive(Default)]
pub struct Reader {
    pub seen: Vec<(u64, Uuid)>,
    revisions: HashMap<String, u64>,
}

impl Reader {
    pub fn position(&self) -> u64 {
        self.seen.last().map_or(0, |(position, _)| *position)
    }

    /// Takes what a read answered; tells what is wrong with it.
    pub fn take(&mut self, events: &[RawEvent]) -> Result<(), String> {
        for event in events {
            let expected = self.position() + 1;
            if event.position != expected {
                return Err(format!("after {} came {}", expected - 1, event.position));
            }
            let revision = self.revisions.entry(event.stream.to_string()).or_default();
            *revision += 1;
            if event.revision != *revision {
                return Err(format!("{} of {} came where {revision} was due", event.revision, event.stream));
            }
            self.seen.push((event.position, event.id));
        }
        Ok(())
    }

    /// The streams it saw, each once for each of its revisions.
    pub fn streams(&self) -> impl Iterator<Item = &str> {
        self.revisions.iter().flat_map(|(stream, revision)| (0..*revision).map(|_| stream.as_str()))
    }

    /// Whether everything it saw is how the log begins.
    pub fn is_prefix_of(&self, whole: &Self) -> bool {
        whole.seen.starts_with(&self.seen)
    }
}
