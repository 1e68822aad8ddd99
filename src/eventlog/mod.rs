//! The port to the event log, and its adapters.
//!
//! A log is a gapless sequence of events in commit order: position n + 1 is never visible before n, so a reader
//! only ever needs "after n", and a hole is corruption. An adapter knows no domain type: it sees a stream's name,
//! an event's name and version, and opaque bytes. Every adapter passes the same contract suite
//! (`tests/it/eventlog_contract.rs`), in which a model in memory is the oracle.
//!
//! Positions and revisions are dense, from 1, in every adapter, also over KurrentDB, whose own `$all` positions are only
//! monotone: nothing of this port is one of them. When an event was recorded is neither: clocks of several nodes differ.
//!
//! An event is an immutable core and detachable blobs (the ciphertexts of its personal values). Only the blobs may
//! ever change, and only by being detached.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::sync::watch;
use uuid::Uuid;

pub mod embedded;
mod integrity;
#[cfg(feature = "kurrentdb")]
pub mod kurrentdb;
pub(crate) mod pipeline;
mod plan;
pub mod postgres;
mod tail;

pub use integrity::{Damage, DamageRecorder, Reason, Seen};

/// An event on its way into the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Identifies the event.
    pub id: Uuid,
    /// Its name, such as `user.registered`.
    pub name: &'static str,
    /// Version of its shape.
    pub version: u16,
    /// When it is recorded; millisecond resolution.
    pub recorded_at: DateTime<Utc>,
    /// The immutable core.
    pub core: Bytes,
    /// The detachable ciphertexts.
    pub blobs: Option<Bytes>,
}

/// An event as the log holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEvent {
    /// Place in the log, gapless from 1.
    pub position: u64,
    /// Name of its stream.
    pub stream: Arc<str>,
    /// Place in its stream, gapless from 1.
    pub revision: u64,
    /// Identifies the event.
    pub id: Uuid,
    /// Its name.
    pub name: Cow<'static, str>,
    /// Version of its shape.
    pub version: u16,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// The immutable core.
    pub core: Bytes,
    /// The ciphertexts that are still attached.
    pub blobs: Option<Bytes>,
}

/// Events for the end of one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Name of the stream.
    pub stream: String,
    /// The revision the stream must have; 0: the stream must not exist. Mandatory: there is no "any".
    pub expected: u64,
    /// What to append; at least one.
    pub events: Vec<NewEvent>,
}

/// A stream that was read to decide and must not have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assert {
    /// Name of the stream.
    pub stream: String,
    /// The revision it must have; 0: it must not exist.
    pub expected: u64,
}

/// What makes a retry of a command harmless: written with its events, in the same transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// Scope and key of the command, as a keyed hash.
    pub key: [u8; 32],
    /// Keyed hash of the command's content.
    pub fingerprint: [u8; 32],
    /// What the first call was answered, without personal data.
    pub outcome: Vec<u8>,
    /// When; the key is forgotten some time after.
    pub recorded_at: DateTime<Utc>,
}

/// One command's worth of a batch: all of it is appended, or nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Item {
    /// Streams to append to; each stream at most once.
    pub appends: Vec<Append>,
    /// Streams that must not have changed.
    pub asserts: Vec<Assert>,
    /// The retry guard.
    pub idempotency: Option<Idempotency>,
}

/// What became of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Durable at these positions; `last < first` when the item had no events.
    Appended {
        /// Position of its first event.
        first: u64,
        /// Position of its last event.
        last: u64,
    },
    /// A stream has another revision, or has the expected one only because of an event that the item was not decided on;
    /// nothing of the item was kept.
    Conflict {
        /// Which stream.
        stream: String,
        /// The revision it has.
        current: u64,
    },
    /// The key was used before; nothing of the item was kept.
    Replayed {
        /// Fingerprint of the first call.
        fingerprint: [u8; 32],
        /// Outcome of the first call.
        outcome: Vec<u8>,
    },
}

/// Why the log did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// It cannot at the moment, for example because the disk is full. Of an append, nothing was kept.
    #[error("the event log is unavailable: {0}")]
    Unavailable(String),
    /// Whether an append was kept cannot be told at the moment; with an idempotency key, a retry settles it.
    #[error("it is not known whether the event log kept what it was given: {0}")]
    Ambiguous(String),
    /// What it holds cannot be right: a hole, a torn row. The service must not go on.
    #[error("the event log is corrupt at position {position}: {reason}")]
    Corrupt {
        /// Where.
        position: u64,
        /// What is wrong.
        reason: Reason,
    },
}

/// An append-only log with one gapless global order.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Appends a batch durably, items in order; a later item sees what earlier ones appended.
    /// Returns one outcome per item. When it returns, every appended event is durable and visible.
    ///
    /// An item may be decided on what earlier items of the batch append. Where one of those is not appended, whatever
    /// expects a higher revision of its streams than it did is a conflict too, even if another node's event gives the
    /// stream that revision. Between two calls nothing says what rests on what: an item that rests on an earlier call is
    /// appended only once that call has returned.
    ///
    /// # Errors
    /// The whole batch failed and left no trace, unless it is [`Error::Ambiguous`].
    async fn append(&self, batch: Vec<Item>) -> Result<Vec<Outcome>, Error>;

    /// Events of one stream with a revision above `after`, in order, at most `limit`.
    ///
    /// # Errors
    /// The log cannot be read.
    async fn read_stream(&self, stream: &str, after: u64, limit: usize) -> Result<Vec<RawEvent>, Error>;

    /// The last events of one stream with a revision below `before`, in order, at most `limit`.
    ///
    /// # Errors
    /// The log cannot be read.
    async fn read_stream_back(&self, stream: &str, before: u64, limit: usize) -> Result<Vec<RawEvent>, Error>;

    /// Events with a position above `after`, in order, at most `limit`. A hole is an error.
    ///
    /// # Errors
    /// The log cannot be read, or has a hole.
    async fn read_all(&self, after: u64, limit: usize) -> Result<Vec<RawEvent>, Error>;

    /// The events at these positions, which must ascend and lie between 1 and the head: one read for a page of events
    /// that are scattered over the log.
    ///
    /// # Errors
    /// The log cannot be read, or has no event at one of them.
    async fn read_at(&self, positions: &[u64]) -> Result<Vec<RawEvent>, Error> {
        let mut events = Vec::with_capacity(positions.len());
        for run in positions.chunk_by(|position, next| position + 1 == *next) {
            let before = run.first().map_or(0, |first| first.saturating_sub(1));
            events.extend(self.read_all(before, run.len()).await?);
        }
        all_at(positions, events)
    }

    /// Position of the last durable event; 0: the log is empty.
    fn head(&self) -> u64;

    /// Position of the last durable event as of this call, whichever node appended it: [`EventLog::head`] learns of
    /// others a moment later.
    ///
    /// # Errors
    /// The log cannot be read.
    async fn latest(&self) -> Result<u64, Error> {
        Ok(self.head())
    }

    /// Position of the last durable event once nothing is appended any more that this node had sent before it was
    /// started, as far as the server has received it: whoever then reads up to there lacks none of its own past.
    ///
    /// # Errors
    /// The log cannot be read, or somebody appends for too long.
    async fn fence(&self) -> Result<u64, Error> {
        self.latest().await
    }

    /// Follows [`EventLog::head`].
    fn watch(&self) -> watch::Receiver<u64>;

    /// Why the log must not be used any more, for good; `None`: it may.
    fn broken(&self) -> Option<Error> {
        None
    }

    /// Stops the use of the log for good, because of what was found in it; answers what every call is refused with from
    /// then on. It is recorded first, where [`EventLog::record_damage_with`] says.
    async fn condemn(&self, position: u64, reason: Reason) -> Error {
        Error::Corrupt { position, reason }
    }

    /// Has damage of the log recorded there before anybody is refused for it; what was found already is recorded before
    /// this returns. Called once, when the log is opened.
    fn record_damage_with(&self, _recorder: Arc<dyn DamageRecorder>) {}

    /// Fingerprint and outcome stored under an idempotency key.
    ///
    /// # Errors
    /// The log cannot be read.
    async fn stored_outcome(&self, key: [u8; 32]) -> Result<Option<([u8; 32], Vec<u8>)>, Error>;

    /// Forgets idempotency keys that were recorded before `time`; returns how many.
    ///
    /// # Errors
    /// The log cannot be written; a part of the keys may be forgotten.
    async fn expire_outcomes(&self, time: DateTime<Utc>) -> Result<u64, Error>;

    /// Replaces the blobs of events, each named at most once, by what is left of them; returns how many events changed.
    /// The core stays.
    ///
    /// # Errors
    /// The log cannot be written; nothing changed, unless it is [`Error::Ambiguous`]. It may be repeated.
    async fn detach(&self, remaining: Vec<(u64, Option<Bytes>)>) -> Result<u64, Error>;
}

/// The events, if they are those at these positions.
fn all_at(positions: &[u64], events: Vec<RawEvent>) -> Result<Vec<RawEvent>, Error> {
    let missing = positions.iter().enumerate().find(|(index, position)| {
        let found = events.get(*index).map(|event| event.position);
        found != Some(**position)
    });
    match missing {
        None => Ok(events),
        Some((_, position)) => Err(Error::Corrupt { position: *position, reason: "the event is missing".into() }),
    }
}
