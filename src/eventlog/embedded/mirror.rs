//! A log that mirrors another one: what that one holds is taken over with its positions, and how far it was taken over
//! moves in the same transaction.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::watch;
use uuid::Uuid;

use super::writer::{DETACH, EXPIRE_OUTCOMES, INSERT, INSERT_OUTCOME, Task, Writer};
use super::{Embedded, Error, OUTCOME, Tail};
use crate::eventlog::{Idempotency, RawEvent};

const TABLE: &str = "create table if not exists mirrored (
    one      integer primary key check (one = 1),
    source   text    not null,
    revision integer not null,
    id       blob    not null
)";
const MARK: &str = "select source, revision, id from mirrored";
const MOVE_MARK: &str = "insert into mirrored (one, source, revision, id) values (1, ?1, ?2, ?3)
    on conflict (one) do update set revision = excluded.revision, id = excluded.id";
const IS_EMPTY: &str = "select not exists (select 1 from event)";
const REVISION: &str = "select coalesce(max(revision), 0) from event where stream = ?1";
const DIFFERS: &str = "select exists (select 1 from event where position = ?1 and blobs is not ?2)";
const BEFORE: &str = "select exists (select 1 from outcome where recorded_at < ?1)";

/// Fingerprint and outcome of a key.
type Stored = ([u8; 32], Vec<u8>);

/// One thing that happened in the other log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::eventlog) enum Step {
    /// An item was appended.
    Append {
        /// Its events; they may be none.
        events: Vec<RawEvent>,
        /// Its retry guard.
        kept: Option<Idempotency>,
    },
    /// Blobs were replaced by what is left of them.
    Detach(Vec<(u64, Option<Bytes>)>),
    /// Keys recorded before were forgotten.
    Expire(DateTime<Utc>),
}

/// How far another log was taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::eventlog) struct Mark {
    /// Which log.
    pub(in crate::eventlog) source: String,
    /// Place of the last entry there.
    pub(in crate::eventlog) revision: u64,
    /// Identifies that entry.
    pub(in crate::eventlog) id: Uuid,
}

/// Makes a file ready to mirror a log, and tells how far it does. A log of its own is never made a mirror.
///
/// # Errors
/// The file cannot be read or written.
pub(in crate::eventlog) fn prepare(connection: &Connection) -> rusqlite::Result<(Option<Mark>, bool)> {
    // What is lost with the power is taken over again: the mark is in the same transaction.
    connection.execute_batch("pragma synchronous = normal")?;
    let is_empty: bool = connection.query_row(IS_EMPTY, [], |row| row.get(0))?;
    connection.execute_batch(TABLE)?;
    let mark = connection.query_row(MARK, [], |row| {
        let id: [u8; 16] = row.get(2)?;
        Ok(Mark { source: row.get(0)?, revision: row.get(1)?, id: Uuid::from_bytes(id) })
    });
    let mark = mark.optional()?;
    let is_mirror = mark.is_some() || is_empty;
    Ok((mark, is_mirror))
}

impl Embedded {
    /// Takes steps of another log over, all or none, and returns how much each changed.
    pub(in crate::eventlog) async fn mirror(&self, steps: Vec<Step>, mark: Mark) -> Result<Vec<u64>, Error> {
        self.ask(|answer| Task::Mirror(steps, mark, answer)).await
    }

    /// The revision of a stream; 0: it does not exist.
    pub(in crate::eventlog) fn revision(&self, stream: &str) -> Result<u64, Error> {
        self.read(|connection| Ok(connection.prepare_cached(REVISION)?.query_row([stream], |row| row.get(0))?))
    }

    /// Fingerprint and outcome of a key.
    pub(in crate::eventlog) fn outcome(&self, key: &[u8; 32]) -> Result<Option<Stored>, Error> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(OUTCOME)?;
            Ok(statement.query_row([key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
        })
    }

    /// Whether an event is there and has other blobs.
    pub(in crate::eventlog) fn differs(&self, position: u64, blobs: Option<&[u8]>) -> Result<bool, Error> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(DIFFERS)?;
            Ok(statement.query_row(params![position, blobs], |row| row.get(0))?)
        })
    }

    /// Whether a key was recorded before some time.
    pub(in crate::eventlog) fn has_outcomes_before(&self, time: DateTime<Utc>) -> Result<bool, Error> {
        let time = time.timestamp_millis();
        self.read(|connection| Ok(connection.prepare_cached(BEFORE)?.query_row([time], |row| row.get(0))?))
    }
}

impl Writer {
    pub(super) fn mirror(
        &mut self,
        steps: Vec<Step>,
        mark: &Mark,
        tail: &Tail,
        head: &watch::Sender<u64>,
    ) -> Result<Vec<u64>, Error> {
        let mirrored = self.mirror_all(&steps, mark);
        if mirrored.is_err() {
            self.recover();
            return mirrored;
        }
        let mut events = Vec::new();
        for step in steps {
            match step {
                Step::Append { events: appended, .. } => events.extend(appended),
                Step::Detach(remaining) => {
                    tail.extend(std::mem::take(&mut events));
                    remaining.iter().for_each(|(position, blobs)| tail.detach(*position, blobs.as_ref()));
                }
                Step::Expire(_) => {}
            }
        }
        tail.extend(events);
        head.send_replace(self.head());
        mirrored
    }

    fn mirror_all(&mut self, steps: &[Step], mark: &Mark) -> Result<Vec<u64>, Error> {
        self.connection.execute_batch("begin immediate")?;
        let mut changed = Vec::with_capacity(steps.len());
        for step in steps {
            changed.push(match step {
                Step::Append { events, kept } => {
                    events.iter().try_for_each(|event| self.take_over(event))?;
                    kept.iter().try_for_each(|guard| self.keep(guard))?;
                    events.len() as u64
                }
                Step::Detach(remaining) => {
                    let mut update = self.connection.prepare_cached(DETACH)?;
                    let mut changed = 0;
                    for (position, blobs) in remaining {
                        changed += update.execute(params![position, blobs.as_deref()])? as u64;
                    }
                    changed
                }
                Step::Expire(time) => {
                    self.connection.prepare_cached(EXPIRE_OUTCOMES)?.execute([time.timestamp_millis()])? as u64
                }
            });
        }
        let id = mark.id.as_bytes();
        self.connection.prepare_cached(MOVE_MARK)?.execute(params![mark.source, mark.revision, id])?;
        self.connection.execute_batch("commit")?;
        Ok(changed)
    }

    fn take_over(&mut self, event: &RawEvent) -> Result<(), Error> {
        let corrupt = |reason: String| Error::Corrupt { position: event.position, reason };
        if event.position != self.head + 1 {
            return Err(corrupt(format!("the log has a hole: after {} comes {}", self.head, event.position)));
        }
        let current = self.revision(&event.stream)?;
        if event.revision != current + 1 {
            let reason = format!("its stream has revision {current}, and it says it is number {}", event.revision);
            return Err(corrupt(reason));
        }
        let name = self.names.number(&self.connection, &event.name)?;
        self.connection.prepare_cached(INSERT)?.execute(params![
            event.position,
            event.stream,
            event.revision,
            event.id.as_bytes(),
            name,
            event.version,
            event.recorded_at.timestamp_millis(),
            &event.core[..],
            event.blobs.as_deref(),
        ])?;
        self.head = event.position;
        self.heads.put(event.stream.clone(), event.revision);
        Ok(())
    }

    fn keep(&self, guard: &Idempotency) -> Result<(), Error> {
        let Idempotency { key, fingerprint, outcome, recorded_at } = guard;
        let at = recorded_at.timestamp_millis();
        self.connection.prepare_cached(INSERT_OUTCOME)?.execute(params![key, fingerprint, outcome, at])?;
        Ok(())
    }
}
