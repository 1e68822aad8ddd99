//! The connection that writes, and what is known of the tables behind it.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use foldhash::HashSet;
use lru::LruCache;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::dictionary::Dictionary;
use super::faults::{FailedSync, Faults};
use super::packer::Packer;
use super::{file, statements};
use crate::crash_point;
use crate::eventlog::plan::{self, Plan};
use crate::eventlog::{Append, Error, Item, Outcome};
use crate::metrics;

const HEADS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add((1 << 14) - 1);
/// Most idempotency keys deleted in one transaction: appends wait for it.
pub(super) const EXPIRED_TOGETHER: u32 = 1_000;

const BEGIN: &str = "begin immediate";
const COMMIT: &str = "commit";
const HEAD: &str = "select coalesce(max(position), 0) from event";
const ID_AT: &str = "select id from event where position = ?1";
const EXPIRE: &str = "delete from outcome where key in
    (select key from outcome where recorded_at < ?1 order by recorded_at limit ?2)";
const DETACH: &str = "update event set blobs = ?2 where position = ?1";

/// Why a transaction did not come to its end.
pub(super) enum Failure {
    /// It was undone: nothing of it was kept.
    Undone(Error),
    /// It was undone: a stream that was presumed to be new is not.
    NotNew,
    /// Whether it was kept is not known before the file was opened anew.
    InDoubt(Error),
}

impl<E: Into<Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Undone(error.into())
    }
}

/// Whether a commit that failed so has written nothing that a later start could take for a transaction: a write failed,
/// before anything was flushed. A flush that failed says nothing of the kind.
fn left_nothing(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{ConstraintViolation, DatabaseBusy, DatabaseLocked, DiskFull};
    let is_write = error.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_IOERR_WRITE);
    let code = error.sqlite_error_code();
    is_write || matches!(code, Some(ConstraintViolation | DatabaseBusy | DatabaseLocked | DiskFull))
}

/// The tables, as whoever writes alone knows them.
pub(super) struct Store {
    pub(super) connection: Connection,
    pub(super) packer: Packer,
    pub(super) head: u64,
    /// Revisions of streams that were used lately.
    pub(super) heads: LruCache<Arc<str>, u64>,
    faults: Faults,
}

impl Store {
    pub(super) fn new(connection: Connection, dictionary: Arc<Dictionary>, faults: Faults) -> Result<Self, Error> {
        connection.set_prepared_statement_cache_capacity(64);
        dictionary.reload(&connection)?;
        let head = connection.query_row(HEAD, [], |row| row.get(0))?;
        let packer = Packer::new(dictionary);
        Ok(Self { connection, packer, head, heads: LruCache::new(HEADS_MAX), faults })
    }

    /// Closes it after a failure that left doubts.
    pub(super) fn abandon(self) {
        file::abandon(self.connection);
    }

    /// Does all of it, or nothing.
    pub(super) fn transaction<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T, Failure>) -> Result<T, Failure> {
        self.connection.prepare_cached(BEGIN)?.execute([])?;
        let done = work(self).and_then(|done| self.commit().map(|()| done));
        match done {
            Err(failure @ (Failure::Undone(_) | Failure::NotNew)) => match self.undo() {
                Ok(()) => Err(failure),
                Err(undone) => Err(Failure::InDoubt(Error::Unavailable(match failure {
                    Failure::Undone(error) => format!("{error}; and then: {undone}"),
                    Failure::NotNew | Failure::InDoubt(_) => undone.to_string(),
                }))),
            },
            done => done,
        }
    }

    fn commit(&mut self) -> Result<(), Failure> {
        if let Some(failed) = self.faults.take() {
            self.connection.execute_batch(if failed == FailedSync::Kept { "commit" } else { "rollback" })?;
            return Err(Failure::InDoubt(Error::Unavailable("the disk could not be flushed".into())));
        }
        let since = Instant::now();
        let committed = self.connection.prepare_cached(COMMIT).and_then(|mut commit| commit.execute([]));
        committed.map(|_| metrics::flushed(since)).map_err(|error| {
            if left_nothing(&error) { Failure::Undone(error.into()) } else { Failure::InDoubt(error.into()) }
        })
    }

    /// After a failed transaction: none is open, and what is believed is what the database holds.
    fn undo(&mut self) -> Result<(), Error> {
        if !self.connection.is_autocommit() {
            self.connection.execute_batch("rollback")?;
        }
        self.heads.clear();
        self.head = self.connection.query_row(HEAD, [], |row| row.get(0))?;
        self.packer.dictionary.reload(&self.connection)
    }

    pub(super) fn revision(&mut self, stream: &str) -> Result<u64, Error> {
        if let Some(revision) = self.heads.get(stream) {
            return Ok(*revision);
        }
        Ok(statements::revision(&self.connection, &self.packer.dictionary, stream)?)
    }

    /// Decides what becomes of items; nobody else writes before it is inserted. With `presume`, a stream that is not in
    /// memory and that one item begins is presumed to be new: if it is not, inserting it fails with
    /// [`Failure::NotNew`].
    pub(super) fn plan(&mut self, items: &[Item], presume: bool) -> Result<Plan, Error> {
        let mut plan = Plan { head: self.head, ..Plan::default() };
        let mut presumed = HashSet::default();
        for (stream, begins) in plan::mentions(items) {
            if plan.revisions.contains_key(stream) {
                continue;
            }
            if presume && begins && !presumed.contains(stream) && !self.heads.contains(stream) {
                presumed.insert(stream);
                continue;
            }
            // Whatever else names it decides on its revision.
            presumed.remove(stream);
            let revision = self.revision(stream)?;
            plan.revisions.insert(stream.into(), revision);
        }
        for guard in items.iter().filter_map(|item| item.idempotency.as_ref()) {
            if let Some(stored) = statements::outcome(&self.connection, &guard.key)? {
                plan.outcomes.insert(guard.key, stored);
            }
        }
        for item in items {
            let mut outcome = plan.add(item);
            if matches!(outcome, Outcome::Conflict { .. }) {
                // Its streams are not inserted, so nothing else would tell which of them are not new.
                for Append { stream, .. } in
                    item.appends.iter().filter(|append| presumed.contains(append.stream.as_str()))
                {
                    let revision = self.revision(stream)?;
                    plan.revisions.insert(stream.as_str().into(), revision);
                }
                outcome = plan.objection(item).unwrap_or(outcome);
            }
            plan.outcomes_told.push(outcome);
        }
        Ok(plan)
    }

    /// Inserts what was planned.
    pub(super) fn insert(&mut self, plan: &Plan) -> Result<(), Failure> {
        debug_assert_eq!(plan.head, self.head + plan.events.len() as u64);
        if !plan.events.is_empty() || !plan.kept.is_empty() {
            self.transaction(|store| {
                for event in &plan.events {
                    match statements::insert(&store.connection, &mut store.packer, event) {
                        Err(error) if statements::is_taken(&error) => return Err(Failure::NotNew),
                        inserted => inserted?,
                    }
                }
                for guard in &plan.kept {
                    statements::insert_outcome(&store.connection, guard)?;
                }
                Ok(())
            })?;
        }
        self.head = plan.head;
        for (stream, revision) in &plan.revisions {
            self.heads.put(stream.clone(), *revision);
        }
        Ok(())
    }

    /// Whether the file holds what was planned.
    pub(super) fn holds(&self, plan: &Plan) -> Result<bool, Error> {
        Ok(match (plan.events.first(), plan.kept.first()) {
            (Some(event), _) => {
                let found = self.connection.query_row(ID_AT, [event.position], |row| row.get::<_, [u8; 16]>(0));
                found.optional()? == Some(*event.id.as_bytes())
            }
            (None, Some(guard)) => statements::outcome(&self.connection, &guard.key)?.is_some(),
            (None, None) => true,
        })
    }

    /// Replaces the blobs of events; answers how many changed.
    pub(super) fn detach(&mut self, remaining: &[(u64, Option<Bytes>)]) -> Result<u64, Failure> {
        crash_point::reach("detach.before");
        let changed = self.transaction(|store| {
            let changed = store.replace_blobs(remaining)?;
            crash_point::reach("detach.written");
            Ok(changed)
        })?;
        crash_point::reach("detach.committed");
        Ok(changed)
    }

    pub(super) fn replace_blobs(&mut self, remaining: &[(u64, Option<Bytes>)]) -> Result<u64, Error> {
        let mut changed = 0;
        for (position, left) in remaining {
            let held = statements::blobs(&self.connection, &self.packer.dictionary, *position)?;
            // What is the same may be packed in two ways: it is compared unpacked.
            if held.is_none_or(|held| held.as_deref() == left.as_deref()) {
                continue;
            }
            let left = left.as_deref().map(|left| self.packer.blobs(&self.connection, left)).transpose()?;
            changed += self.connection.prepare_cached(DETACH)?.execute(params![position, left])? as u64;
        }
        Ok(changed)
    }

    /// Deletes the oldest idempotency keys that were recorded before `time`; answers how many, at most
    /// [`EXPIRED_TOGETHER`].
    pub(super) fn expire(&mut self, time: DateTime<Utc>) -> Result<u64, Failure> {
        self.transaction(|store| {
            let mut delete = store.connection.prepare_cached(EXPIRE)?;
            Ok(delete.execute(params![time.timestamp_millis(), EXPIRED_TOGETHER])? as u64)
        })
    }
}
