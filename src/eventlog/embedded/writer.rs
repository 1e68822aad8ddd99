//! The one writer: takes what is queued, commits it in one transaction, then answers.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use lru::LruCache;
use rusqlite::{Connection, OptionalExtension as _, params};
use tokio::sync::{mpsc, oneshot, watch};

use super::names::Names;
use super::{Error, Item, OUTCOME, Outcome, RawEvent};
use crate::eventlog::tail::Tail;
use crate::eventlog::{Append, Idempotency};
use crate::{crash_point, supervision};

/// Most batches committed together.
const TASKS_MAX: usize = 64;
const HEADS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add((1 << 17) - 1);

const HEAD: &str = "select coalesce(max(position), 0) from event";
const REVISION: &str = "select coalesce(max(revision), 0) from event where stream = ?1";
pub(super) const INSERT: &str =
    "insert into event (position, stream, revision, id, name, version, recorded_at, core, blobs)
    values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
pub(super) const INSERT_OUTCOME: &str =
    "insert into outcome (key, fingerprint, outcome, recorded_at) values (?1, ?2, ?3, ?4)";
pub(super) const EXPIRE_OUTCOMES: &str = "delete from outcome where recorded_at < ?1";
pub(super) const DETACH: &str = "update event set blobs = ?2 where position = ?1 and blobs is not ?2";

type Answer<T> = oneshot::Sender<Result<T, Error>>;

/// What the writer is asked.
pub(super) enum Task {
    Append(Vec<Item>, Answer<Vec<Outcome>>),
    Detach(Vec<(u64, Option<Bytes>)>, Answer<u64>),
    ExpireOutcomes(DateTime<Utc>, Answer<u64>),
    #[cfg(feature = "kurrentdb")]
    Mirror(Vec<super::mirror::Step>, super::mirror::Mark, Answer<Vec<u64>>),
}

pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) names: Arc<Names>,
    pub(super) head: u64,
    /// Revisions of streams that were used lately, as committed or in the transaction at hand.
    pub(super) heads: LruCache<String, u64>,
}

impl Writer {
    pub(super) fn new(connection: Connection, names: Arc<Names>) -> Result<Self, Error> {
        connection.set_prepared_statement_cache_capacity(64);
        let head = connection.query_row(HEAD, [], |row| row.get(0))?;
        Ok(Self { connection, names, head, heads: LruCache::new(HEADS_MAX) })
    }

    pub(super) fn head(&self) -> u64 {
        self.head
    }

    /// Runs until nobody can ask any more; what was asked before is done.
    pub(super) fn run(mut self, mut tasks: mpsc::Receiver<Task>, tail: &Tail, head: &watch::Sender<u64>) {
        let mut taken = Vec::with_capacity(TASKS_MAX);
        while tasks.blocking_recv_many(&mut taken, TASKS_MAX) > 0 {
            supervision::reach("log-writer");
            let mut appends = Vec::new();
            for task in taken.drain(..) {
                match task {
                    Task::Append(items, answer) => appends.push((items, answer)),
                    Task::Detach(remaining, answer) => {
                        self.append_batch(std::mem::take(&mut appends), tail, head);
                        let _ = answer.send(self.detach(&remaining, tail));
                    }
                    Task::ExpireOutcomes(time, answer) => {
                        let expired = self.connection.execute(EXPIRE_OUTCOMES, [time.timestamp_millis()]);
                        let _ = answer.send(expired.map(|count| count as u64).map_err(Into::into));
                    }
                    #[cfg(feature = "kurrentdb")]
                    Task::Mirror(steps, mark, answer) => {
                        self.append_batch(std::mem::take(&mut appends), tail, head);
                        let _ = answer.send(self.mirror(steps, &mark, tail, head));
                    }
                }
            }
            self.append_batch(appends, tail, head);
        }
        // What is in the WAL is durable; moving it to the database only makes the next start faster.
        let _ = self.connection.execute_batch("pragma wal_checkpoint(truncate)");
    }

    fn append_batch(
        &mut self,
        batches: Vec<(Vec<Item>, Answer<Vec<Outcome>>)>,
        tail: &Tail,
        head: &watch::Sender<u64>,
    ) {
        if batches.is_empty() {
            return;
        }
        let (batches, answers): (Vec<_>, Vec<_>) = batches.into_iter().unzip();
        match self.commit(batches) {
            Ok((outcomes, events)) => {
                // Visible before acknowledged, so that whoever was answered can read it.
                tail.extend(events);
                head.send_replace(self.head);
                for (answer, outcomes) in answers.into_iter().zip(outcomes) {
                    let _ = answer.send(Ok(outcomes));
                }
            }
            Err(error) => {
                self.recover();
                for answer in answers {
                    let _ = answer.send(Err(error.clone()));
                }
            }
        }
    }

    fn commit(&mut self, batches: Vec<Vec<Item>>) -> Result<(Vec<Vec<Outcome>>, Vec<RawEvent>), Error> {
        self.connection.execute_batch("begin immediate")?;
        let before = self.head;
        let mut events = Vec::new();
        let mut outcomes = Vec::with_capacity(batches.len());
        for batch in batches {
            let mut of_batch = Vec::with_capacity(batch.len());
            for item in batch {
                of_batch.push(self.append(item, &mut events)?);
            }
            outcomes.push(of_batch);
        }
        debug_assert_eq!(self.head, before + events.len() as u64);
        self.connection.execute_batch("commit")?;
        Ok((outcomes, events))
    }

    /// After a failed transaction: none is open, and what is believed is what the database holds.
    pub(super) fn recover(&mut self) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("rollback")
        {
            tracing::error!(%error, "a failed transaction of the log could not be rolled back");
        }
        self.heads.clear();
        match self.connection.query_row(HEAD, [], |row| row.get(0)) {
            Ok(head) => self.head = head,
            Err(error) => tracing::error!(%error, "the head of the log cannot be read"),
        }
        if let Err(error) = self.names.reload(&self.connection) {
            tracing::error!(%error, "the event names of the log cannot be read");
        }
    }

    pub(super) fn revision(&mut self, stream: &str) -> Result<u64, Error> {
        if let Some(revision) = self.heads.get(stream) {
            return Ok(*revision);
        }
        let revision = self.connection.prepare_cached(REVISION)?.query_row([stream], |row| row.get(0))?;
        self.heads.put(stream.to_owned(), revision);
        Ok(revision)
    }

    /// The first reason not to append an item.
    fn objection(&mut self, item: &Item) -> Result<Option<Outcome>, Error> {
        if let Some(Idempotency { key, .. }) = &item.idempotency {
            let mut statement = self.connection.prepare_cached(OUTCOME)?;
            let stored = statement.query_row([key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
            if let Some((fingerprint, outcome)) = stored {
                return Ok(Some(Outcome::Replayed { fingerprint, outcome }));
            }
        }
        let appends = item.appends.iter().map(|append| (&append.stream, append.expected));
        let asserts = item.asserts.iter().map(|assert| (&assert.stream, assert.expected));
        for (stream, expected) in appends.chain(asserts) {
            let current = self.revision(stream)?;
            if current != expected {
                return Ok(Some(Outcome::Conflict { stream: stream.clone(), current }));
            }
        }
        // A stream that stands twice in an item cannot have the expected revision the second time.
        for (index, append) in item.appends.iter().enumerate() {
            if item.appends.iter().take(index).any(|earlier| earlier.stream == append.stream) {
                return Ok(Some(Outcome::Conflict { stream: append.stream.clone(), current: append.expected }));
            }
        }
        Ok(None)
    }

    fn append(&mut self, item: Item, events: &mut Vec<RawEvent>) -> Result<Outcome, Error> {
        if let Some(objection) = self.objection(&item)? {
            return Ok(objection);
        }
        let first = self.head + 1;
        for Append { stream, expected, events: new } in item.appends {
            let mut revision = expected;
            for event in new {
                revision += 1;
                self.head += 1;
                let name = self.names.number(&self.connection, event.name)?;
                self.connection.prepare_cached(INSERT)?.execute(params![
                    self.head,
                    stream,
                    revision,
                    event.id.as_bytes(),
                    name,
                    event.version,
                    event.recorded_at.timestamp_millis(),
                    &event.core[..],
                    event.blobs.as_deref(),
                ])?;
                events.push(RawEvent {
                    position: self.head,
                    stream: stream.clone(),
                    revision,
                    id: event.id,
                    name: event.name.to_owned(),
                    version: event.version,
                    recorded_at: event.recorded_at,
                    core: event.core,
                    blobs: event.blobs,
                });
            }
            self.heads.put(stream, revision);
        }
        if let Some(Idempotency { key, fingerprint, outcome, recorded_at }) = item.idempotency {
            let at = recorded_at.timestamp_millis();
            self.connection.prepare_cached(INSERT_OUTCOME)?.execute(params![key, fingerprint, outcome, at])?;
        }
        Ok(Outcome::Appended { first, last: self.head })
    }

    fn detach(&mut self, remaining: &[(u64, Option<Bytes>)], tail: &Tail) -> Result<u64, Error> {
        crash_point::reach("detach.before");
        let transaction = self.connection.transaction()?;
        let mut changed = 0;
        {
            let mut update = transaction.prepare_cached(DETACH)?;
            for (position, blobs) in remaining {
                changed += update.execute(params![position, blobs.as_deref()])? as u64;
            }
        }
        crash_point::reach("detach.written");
        transaction.commit()?;
        crash_point::reach("detach.committed");
        for (position, blobs) in remaining {
            tail.detach(*position, blobs.as_ref());
        }
        Ok(changed)
    }
}
