//! What stands in the `KurrentDB` stream: one entry per event, and markers for what is recorded without one.
//!
//! The core of an event is the entry's data. Everything else stands in the entry's metadata, as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::eventlog::embedded::step::Step;
use crate::eventlog::{Damage, Error, Idempotency, RawEvent};

/// Type of the marker of an item that has a retry guard and no events.
const OUTCOME: &str = "rollcall.outcome";
/// Type of the marker of detached blobs.
const DETACHED: &str = "rollcall.detached";
/// Type of the marker of forgotten retry guards.
const EXPIRED: &str = "rollcall.outcomes-expired";

/// Type of the marker that says whose values the log holds.
const VAULT: &str = "rollcall.vault";
/// Type of the marker that a process appends when it starts: whatever an earlier one had on its way names an entry before
/// it, and cannot be appended any more.
const FENCE: &str = "rollcall.fence";
const MARKERS: [&str; 5] = [OUTCOME, DETACHED, EXPIRED, VAULT, FENCE];

/// One event of the `KurrentDB` stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: Uuid,
    pub(super) kind: String,
    pub(super) data: Bytes,
    pub(super) metadata: Bytes,
}

impl Entry {
    /// What it adds to an append.
    pub(super) fn size(&self) -> usize {
        self.data.len() + self.metadata.len() + self.kind.len() + 64
    }
}

// `after` is the id of the entry before: a revision alone does not tell one history from another.

#[derive(Serialize, Deserialize)]
struct OfEvent {
    after: Option<Uuid>,
    position: u64,
    stream: String,
    revision: u64,
    version: u16,
    recorded_at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    blobs: Option<String>,
    /// How many events of the same item follow.
    rest: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    idempotency: Option<Guard>,
}

#[derive(Serialize, Deserialize)]
struct OfOutcome {
    after: Option<Uuid>,
    position: u64,
    idempotency: Guard,
}

#[derive(Serialize, Deserialize)]
struct OfDetached {
    after: Option<Uuid>,
    position: u64,
    remaining: Vec<(u64, Option<String>)>,
}

#[derive(Serialize, Deserialize)]
struct OfExpired {
    after: Option<Uuid>,
    position: u64,
    before: i64,
}

#[derive(Serialize, Deserialize)]
struct OfVault {
    after: Option<Uuid>,
    position: u64,
    vault: Uuid,
}

#[derive(Serialize, Deserialize)]
struct OfFence {
    after: Option<Uuid>,
    position: u64,
}

#[derive(Serialize, Deserialize)]
struct Guard {
    key: String,
    fingerprint: String,
    outcome: String,
    recorded_at: i64,
}

fn encoded(bytes: &[u8]) -> String {
    BASE64.encode(bytes)
}

impl Guard {
    fn of(guard: &Idempotency) -> Self {
        Self {
            key: encoded(&guard.key),
            fingerprint: encoded(&guard.fingerprint),
            outcome: encoded(&guard.outcome),
            recorded_at: guard.recorded_at.timestamp_millis(),
        }
    }
}

/// Turns steps into entries, in order.
pub(super) struct Encoder {
    after: Option<Uuid>,
    head: u64,
    entries: Vec<Entry>,
}

impl Encoder {
    /// Goes on after an entry, with the last position that is known there.
    pub(super) fn new(after: Option<Uuid>, head: u64) -> Self {
        Self { after, head, entries: Vec::new() }
    }

    /// What was encoded.
    pub(super) fn finish(self) -> Vec<Entry> {
        self.entries
    }

    fn push(&mut self, id: Uuid, kind: &str, data: Bytes, metadata: &impl Serialize) -> Result<(), Error> {
        let metadata = serde_json::to_vec(metadata).map_err(|error| Error::Unavailable(error.to_string()))?;
        self.entries.push(Entry { id, kind: kind.to_owned(), data, metadata: metadata.into() });
        self.after = Some(id);
        Ok(())
    }

    /// Adds a step.
    pub(super) fn add(&mut self, step: &Step) -> Result<(), Error> {
        let (after, position) = (self.after, self.head);
        match step {
            Step::Append { events, kept } => {
                for (event, rest) in events.iter().zip((0..events.len()).rev()) {
                    self.event(event, rest, kept.as_ref().filter(|_| rest == 0))?;
                }
                match kept.as_ref().filter(|_| events.is_empty()) {
                    Some(guard) => {
                        let metadata = OfOutcome { after, position, idempotency: Guard::of(guard) };
                        self.push(Uuid::new_v4(), OUTCOME, Bytes::new(), &metadata)
                    }
                    None => Ok(()),
                }
            }
            Step::Detach(remaining) => {
                let remaining = remaining.iter().map(|(at, blobs)| (*at, blobs.as_deref().map(encoded))).collect();
                self.push(Uuid::new_v4(), DETACHED, Bytes::new(), &OfDetached { after, position, remaining })
            }
            Step::Expire(time) => {
                let metadata = OfExpired { after, position, before: time.timestamp_millis() };
                self.push(Uuid::new_v4(), EXPIRED, Bytes::new(), &metadata)
            }
            Step::Own(vault) => {
                self.push(Uuid::new_v4(), VAULT, Bytes::new(), &OfVault { after, position, vault: *vault })
            }
            Step::Fence => self.push(Uuid::new_v4(), FENCE, Bytes::new(), &OfFence { after, position }),
        }
    }

    fn event(&mut self, event: &RawEvent, rest: usize, kept: Option<&Idempotency>) -> Result<(), Error> {
        let metadata = OfEvent {
            after: self.after,
            position: event.position,
            stream: event.stream.to_string(),
            revision: event.revision,
            version: event.version,
            recorded_at: event.recorded_at.timestamp_millis(),
            blobs: event.blobs.as_deref().map(encoded),
            rest,
            idempotency: kept.map(Guard::of),
        };
        self.head = event.position;
        self.push(event.id, &event.name, event.core.clone(), &metadata)
    }
}

/// Puts steps together from entries, in order.
pub(super) struct Assembler {
    after: Option<Uuid>,
    head: u64,
    /// Events of an item whose last event did not come yet, and how many are to come.
    begun: Vec<RawEvent>,
    rest: usize,
}

impl Assembler {
    /// Goes on after an entry, with the last position that is known there.
    pub(super) fn new(after: Option<Uuid>, head: u64) -> Self {
        Self { after, head, begun: Vec::new(), rest: 0 }
    }

    /// The step that this entry completes, if it does.
    pub(super) fn take(&mut self, entry: &Entry) -> Result<Option<Step>, Error> {
        let step = self.step(entry)?;
        self.after = Some(entry.id);
        Ok(step)
    }

    fn step(&mut self, entry: &Entry) -> Result<Option<Step>, Error> {
        if !MARKERS.contains(&entry.kind.as_str()) {
            return self.event(entry);
        }
        if !self.begun.is_empty() {
            return Err(self.corrupt(Damage::Unreadable, "an item is cut off"));
        }
        let (after, position, step) = match entry.kind.as_str() {
            OUTCOME => {
                let OfOutcome { after, position, idempotency } = self.parse(entry)?;
                (after, position, Step::Append { events: vec![], kept: Some(self.guard(&idempotency)?) })
            }
            DETACHED => {
                let OfDetached { after, position, remaining } = self.parse(entry)?;
                let remaining = remaining.into_iter().map(|(at, blobs)| {
                    let blobs = blobs.map(|blobs| self.decoded(&blobs)).transpose()?;
                    Ok((at, blobs.map(Bytes::from)))
                });
                (after, position, Step::Detach(remaining.collect::<Result<_, Error>>()?))
            }
            VAULT => {
                let OfVault { after, position, vault } = self.parse(entry)?;
                (after, position, Step::Own(vault))
            }
            FENCE => {
                let OfFence { after, position } = self.parse(entry)?;
                (after, position, Step::Fence)
            }
            _ => {
                let OfExpired { after, position, before } = self.parse(entry)?;
                (after, position, Step::Expire(self.time(before)?))
            }
        };
        self.follows(after)?;
        if position != self.head {
            return Err(self.corrupt(Damage::Unreadable, &format!("a marker says it was made at {position}")));
        }
        Ok(Some(step))
    }

    fn event(&mut self, entry: &Entry) -> Result<Option<Step>, Error> {
        let metadata: OfEvent = self.parse(entry)?;
        self.follows(metadata.after)?;
        if metadata.position != self.head + 1 {
            let reason = format!("the log has a hole: after {} comes {}", self.head, metadata.position);
            return Err(self.corrupt(Damage::Hole, &reason));
        }
        if !self.begun.is_empty() && metadata.rest + 1 != self.rest {
            return Err(self.corrupt(Damage::Unreadable, "an item is cut off"));
        }
        let event = RawEvent {
            position: metadata.position,
            stream: metadata.stream.into(),
            revision: metadata.revision,
            id: entry.id,
            name: entry.kind.clone().into(),
            version: metadata.version,
            recorded_at: self.time(metadata.recorded_at)?,
            core: entry.data.clone(),
            blobs: metadata.blobs.map(|blobs| self.decoded(&blobs)).transpose()?.map(Bytes::from),
        };
        let kept = metadata.idempotency.map(|guard| self.guard(&guard)).transpose()?;
        self.head = metadata.position;
        self.rest = metadata.rest;
        self.begun.push(event);
        if self.rest > 0 {
            return Ok(None);
        }
        Ok(Some(Step::Append { events: std::mem::take(&mut self.begun), kept }))
    }

    fn follows(&self, after: Option<Uuid>) -> Result<(), Error> {
        let forked = "an entry was written after another one than it stands after: a node appended to a history that \
            the server had lost. Stop every node, and copy what is whole to another place (`rollcall copy`)";
        if after == self.after { Ok(()) } else { Err(self.corrupt(Damage::Forked, forked)) }
    }

    fn parse<T: for<'m> Deserialize<'m>>(&self, entry: &Entry) -> Result<T, Error> {
        serde_json::from_slice(&entry.metadata).map_err(|error| {
            let reason = format!(
                "the entry {} is not of this log ({error}): somebody else writes to the stream. Stop every node and whoever \
                 that is, and copy what is whole to another place (`rollcall copy`)",
                entry.id
            );
            self.corrupt(Damage::ForeignEntry, &reason)
        })
    }

    fn guard(&self, guard: &Guard) -> Result<Idempotency, Error> {
        let hash = |encoded: &str| {
            let bytes = self.decoded(encoded)?;
            <[u8; 32]>::try_from(bytes).map_err(|_| self.corrupt(Damage::Unreadable, "a hash is not of 32 bytes"))
        };
        Ok(Idempotency {
            key: hash(&guard.key)?,
            fingerprint: hash(&guard.fingerprint)?,
            outcome: self.decoded(&guard.outcome)?,
            recorded_at: self.time(guard.recorded_at)?,
        })
    }

    fn decoded(&self, encoded: &str) -> Result<Vec<u8>, Error> {
        BASE64.decode(encoded).map_err(|_| self.corrupt(Damage::Unreadable, "what should be base64 is not"))
    }

    fn time(&self, ms: i64) -> Result<DateTime<Utc>, Error> {
        DateTime::from_timestamp_millis(ms).ok_or_else(|| self.corrupt(Damage::Unreadable, "its time is none"))
    }

    /// What is wrong with the next entry.
    pub(super) fn corrupt(&self, damage: Damage, reason: &str) -> Error {
        let reason = damage.because(format!("in the KurrentDB stream, {reason}"));
        Error::Corrupt { position: self.head + 1, reason }
    }
}
