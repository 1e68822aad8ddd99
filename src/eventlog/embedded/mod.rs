//! The log in one `SQLite` file of the data directory: one writer thread, group commit, readers beside it.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use rusqlite::{Connection, params};
use tokio::sync::{mpsc, oneshot, watch};

use super::integrity::Integrity;
use super::tail::Tail;
use super::{Damage, DamageRecorder, Error, EventLog, Item, Outcome, RawEvent, Reason, all_at};
use crate::supervision;

mod checkpoint;
mod dictionary;
mod faults;
mod file;
mod format_1;
#[cfg(feature = "kurrentdb")]
mod mirror;
mod pack;
mod packer;
mod statements;
#[cfg(feature = "kurrentdb")]
pub(super) mod step;
mod store;
mod stream_key;
mod task;
#[cfg(test)]
mod tests;
mod writer;

use checkpoint::Checkpoints;
use dictionary::Dictionary;
pub use faults::{FailedSync, Faults};
use file::{LogFile, Readers};
use stream_key::{Key, Name};
use task::Task;
use writer::{Shared, Writer};

/// Most batches waiting for the writer; the engine in front bounds what is in them.
const QUEUE_MAX: usize = 64;

const OF_STREAM: &str = "select position, stream, revision, id, name, version, recorded_at, core, blobs from event
    where stream = ?1 and revision > ?2 order by revision limit ?3";
const OF_STREAM_BACK: &str = "select position, stream, revision, id, name, version, recorded_at, core, blobs from event
    where stream = ?1 and revision < ?2 order by revision desc limit ?3";
const OF_ALL: &str = "select position, stream, revision, id, name, version, recorded_at, core, blobs from event
    where position > ?1 order by position limit ?2";
const OF_POSITIONS: &str = "select position, stream, revision, id, name, version, recorded_at, core, blobs from event
    where position in (select value from json_each(?1)) order by position";

/// A log on this machine.
pub struct Embedded {
    tasks: Option<mpsc::Sender<Task>>,
    writer: Option<JoinHandle<()>>,
    checkpoints: Arc<Checkpoints>,
    checkpointing: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    head: watch::Receiver<u64>,
}

impl Embedded {
    /// Opens the log in this file, making it if it does not exist. The caller holds the data directory's lock: no
    /// other process may have the file open.
    ///
    /// # Errors
    /// The file is of another program or a newer version, or cannot be read or written.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with(path, |_| Ok(()))
    }

    /// Opens the log and prepares the writer's connection further, such as with a limit of its size; again whenever that
    /// connection is opened anew.
    ///
    /// # Errors
    /// As [`Embedded::open`].
    pub fn open_with(
        path: &Path,
        prepare: impl Fn(&Connection) -> rusqlite::Result<()> + Send + 'static,
    ) -> Result<Self, Error> {
        Self::start(path, LogFile::new(path, prepare), Faults::default())
    }

    /// Opens the log with faults that a test wants.
    ///
    /// # Errors
    /// As [`Embedded::open`].
    pub fn open_with_faults(path: &Path, faults: Faults) -> Result<Self, Error> {
        Self::start(path, LogFile::new(path, |_| Ok(())), faults)
    }

    fn start(path: &Path, file: LogFile, faults: Faults) -> Result<Self, Error> {
        let shared = Arc::new(Shared {
            readers: Readers::new(path),
            dictionary: Arc::new(Dictionary::default()),
            tail: Tail::default(),
            integrity: Arc::new(Integrity::default()),
        });
        let checkpoints = Arc::new(Checkpoints::new(faults.clone()));
        let (writer, head) = Writer::new(file, checkpoints.clone(), faults, shared.clone())?;
        let (tasks, queue) = mpsc::channel(QUEUE_MAX);
        let run = move || {
            writer.run(queue);
            Ok(())
        };
        let unavailable = |error| Error::Unavailable(format!("the log's threads cannot be started: {error}"));
        let writer = supervision::spawn("log-writer", run).map_err(unavailable)?;
        let mut log = Self { tasks: Some(tasks), writer: Some(writer), checkpoints, checkpointing: None, shared, head };
        let (checkpoints, shared) = (log.checkpoints.clone(), log.shared.clone());
        let run = move || {
            checkpoints.run(&shared.readers);
            Ok(())
        };
        log.checkpointing = Some(supervision::spawn("log-checkpoint", run).map_err(unavailable)?);
        Ok(log)
    }

    /// Rewrites a log of an earlier format as this version writes it, all or nothing, and answers how many events it holds;
    /// `None`: it is of this format already. `progress` is told events done and events in all. The file must be nobody's
    /// meanwhile, and there must be room for it a second time.
    ///
    /// # Errors
    /// The file is no log of a format that this version reads, or cannot be read or written; it stays as it was.
    pub fn convert(path: &Path, progress: &dyn Fn(u64, u64)) -> Result<Option<u64>, Error> {
        format_1::convert(path, progress)
    }

    async fn ask<T>(&self, task: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Task) -> Result<T, Error> {
        let stopped = || Error::Unavailable("the log is stopping".into());
        let (answer, answered) = oneshot::channel();
        let tasks = self.tasks.as_ref().ok_or_else(stopped)?;
        tasks.send(task(answer)).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }

    /// Runs a query on a connection of its own; it takes microseconds, so it is not worth another thread.
    fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        self.shared.integrity.check()?;
        self.shared.readers.read(read)
    }

    fn key(&self, stream: &str) -> Key {
        Name::of(stream).key(&self.shared.dictionary.read())
    }

    fn select(&self, sql: &str, params: impl rusqlite::Params) -> Result<Vec<RawEvent>, Error> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query(params)?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                events.push(statements::event(&self.shared.dictionary, row)?);
            }
            Ok(events)
        })
    }
}

#[async_trait]
impl EventLog for Embedded {
    async fn append(&self, batch: Vec<Item>) -> Result<Vec<Outcome>, Error> {
        self.ask(|answer| Task::Append(batch, answer)).await
    }

    async fn read_stream(&self, stream: &str, after: u64, limit: usize) -> Result<Vec<RawEvent>, Error> {
        let stream = self.key(stream);
        self.select(OF_STREAM, params![stream, after, i64::try_from(limit).unwrap_or(i64::MAX)])
    }

    async fn read_stream_back(&self, stream: &str, before: u64, limit: usize) -> Result<Vec<RawEvent>, Error> {
        let before = i64::try_from(before).unwrap_or(i64::MAX);
        let mut events =
            self.select(OF_STREAM_BACK, params![self.key(stream), before, i64::try_from(limit).unwrap_or(i64::MAX)])?;
        events.reverse();
        Ok(events)
    }

    async fn read_all(&self, after: u64, limit: usize) -> Result<Vec<RawEvent>, Error> {
        if let Some(events) = self.shared.tail.after(after, limit) {
            return Ok(events);
        }
        // Before the query: what is appended meanwhile is not missing.
        let head = self.head();
        let events = self.select(OF_ALL, params![after, i64::try_from(limit).unwrap_or(i64::MAX)])?;
        for (expected, event) in (after + 1..).zip(&events) {
            if event.position != expected {
                let reason = format!("the log has a hole: after {} comes {}", expected - 1, event.position);
                return Err(Error::Corrupt { position: expected, reason: Damage::Hole.because(reason) });
            }
        }
        if events.is_empty() && after < head && limit > 0 {
            let reason = Damage::Rewound.because("the end of the log is missing");
            return Err(Error::Corrupt { position: after + 1, reason });
        }
        Ok(events)
    }

    async fn read_at(&self, positions: &[u64]) -> Result<Vec<RawEvent>, Error> {
        let listed = format!("[{}]", positions.iter().map(u64::to_string).collect::<Vec<_>>().join(","));
        all_at(positions, self.select(OF_POSITIONS, params![listed])?)
    }

    fn head(&self) -> u64 {
        *self.head.borrow()
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.head.clone()
    }

    fn broken(&self) -> Option<Error> {
        self.shared.integrity.broken()
    }

    async fn condemn(&self, position: u64, reason: Reason) -> Error {
        self.shared.integrity.condemn(position, reason).await
    }

    fn record_damage_with(&self, recorder: Arc<dyn DamageRecorder>) {
        self.shared.integrity.record_with(recorder);
    }

    async fn stored_outcome(&self, key: [u8; 32]) -> Result<Option<([u8; 32], Vec<u8>)>, Error> {
        self.read(|connection| Ok(statements::outcome(connection, &key)?))
    }

    async fn expire_outcomes(&self, time: DateTime<Utc>) -> Result<u64, Error> {
        let mut expired = 0;
        loop {
            // A bounded part at a time: appends get their turn in between.
            match self.ask(|answer| Task::ExpireOutcomes(time, answer)).await? {
                0 => return Ok(expired),
                more => expired += more,
            }
        }
    }

    async fn detach(&self, remaining: Vec<(u64, Option<Bytes>)>) -> Result<u64, Error> {
        self.ask(|answer| Task::Detach(remaining, answer)).await
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        // First, because the last one that closes the file empties the write-ahead log.
        self.checkpoints.stop();
        if let Some(checkpointing) = self.checkpointing.take() {
            let _ = checkpointing.join();
        }
        // The writer ends when nobody can ask it any more; what it was asked is finished first.
        self.tasks = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}
