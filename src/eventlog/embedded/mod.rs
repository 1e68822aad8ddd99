//! The log in one `SQLite` file of the data directory: one writer thread, group commit, readers beside it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};
use tokio::sync::{mpsc, oneshot, watch};

use super::tail::Tail;
use super::{Error, EventLog, Item, Outcome, RawEvent, all_at};

#[cfg(feature = "kurrentdb")]
pub(super) mod mirror;
mod names;
mod writer;

use names::Names;
use writer::{Task, Writer};

/// "RLLC": tells a log from any other `SQLite` file.
const APPLICATION_ID: i32 = 0x524c_4c43;
const FORMAT: i32 = 1;
/// Most batches waiting for the writer; the engine in front bounds what is in them.
const QUEUE_MAX: usize = 64;

const SELECT: &str = "select position, stream, revision, id, name, version, recorded_at, core, blobs from event";
const OF_STREAM: &str = " where stream = ?1 and revision > ?2 order by revision limit ?3";
const OF_ALL: &str = " where position > ?1 order by position limit ?2";
const OF_POSITIONS: &str = " where position in (select value from json_each(?1)) order by position";
const OUTCOME: &str = "select fingerprint, outcome from outcome where key = ?1";

/// A log on this machine.
pub struct Embedded {
    path: PathBuf,
    tasks: Option<mpsc::Sender<Task>>,
    writer: Option<JoinHandle<()>>,
    readers: Mutex<Vec<Connection>>,
    names: Arc<Names>,
    tail: Arc<Tail>,
    head: watch::Receiver<u64>,
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unavailable(match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => "the disk is full".into(),
            _ => error.to_string(),
        })
    }
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

    /// Opens the log and prepares the writer's connection further, such as with a limit of its size.
    ///
    /// # Errors
    /// As [`Embedded::open`].
    pub fn open_with(path: &Path, prepare: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> Result<Self, Error> {
        let connection = Connection::open(path)?;
        plan_once(&connection)?;
        connection.execute_batch(
            "pragma page_size = 4096; pragma journal_mode = wal; pragma synchronous = full;
             pragma cache_size = -32768; pragma temp_store = memory; pragma wal_autocheckpoint = 4000;
             pragma journal_size_limit = 67108864; pragma busy_timeout = 5000;",
        )?;
        check_format(&connection, path)?;
        prepare(&connection)?;
        let names = Arc::new(Names::load(&connection)?);
        let writer = Writer::new(connection, names.clone())?;
        let (head_sender, head) = watch::channel(writer.head());
        let tail = Arc::new(Tail::default());
        let (tasks, queue) = mpsc::channel(QUEUE_MAX);
        let thread = std::thread::Builder::new()
            .name("log-writer".into())
            .spawn({
                let tail = tail.clone();
                move || writer.run(queue, &tail, &head_sender)
            })
            .map_err(|error| Error::Unavailable(format!("the log's writer cannot be started: {error}")))?;
        Ok(Self {
            path: path.into(),
            tasks: Some(tasks),
            writer: Some(thread),
            readers: Mutex::default(),
            names,
            tail,
            head,
        })
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
        let pooled = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match pooled {
            Some(connection) => connection,
            None => self.open_reader()?,
        };
        let result = read(&connection)?;
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        Ok(result)
    }

    fn open_reader(&self) -> Result<Connection, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        plan_once(&connection)?;
        connection
            .execute_batch("pragma cache_size = -8192; pragma mmap_size = 1073741824; pragma busy_timeout = 5000;")?;
        Ok(connection)
    }

    fn raw(&self, row: &rusqlite::Row<'_>) -> Result<RawEvent, Error> {
        let position = row.get::<_, u64>(0)?;
        let corrupt = |reason: &str| Error::Corrupt { position, reason: reason.into() };
        let id: [u8; 16] = row.get(3).map_err(|_| corrupt("its id is not 16 bytes"))?;
        Ok(RawEvent {
            position,
            stream: row.get(1)?,
            revision: row.get(2)?,
            id: uuid::Uuid::from_bytes(id),
            name: self.names.name(row.get(4)?).ok_or_else(|| corrupt("its name is unknown"))?.to_string(),
            version: row.get(5)?,
            recorded_at: DateTime::from_timestamp_millis(row.get(6)?).ok_or_else(|| corrupt("its time is none"))?,
            core: row.get::<_, Vec<u8>>(7)?.into(),
            blobs: row.get::<_, Option<Vec<u8>>>(8)?.map(Bytes::from),
        })
    }

    fn select(&self, sql: &str, params: impl rusqlite::Params) -> Result<Vec<RawEvent>, Error> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(sql)?;
            let mut rows = statement.query(params)?;
            let mut events = Vec::new();
            while let Some(row) = rows.next()? {
                events.push(self.raw(row)?);
            }
            Ok(events)
        })
    }
}

/// Keeps a prepared statement as it was planned. Without this, `SQLite` plans one anew whenever a parameter changes that
/// might have led to another plan: for every revision that is looked up.
fn plan_once(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

fn check_format(connection: &Connection, path: &Path) -> Result<(), Error> {
    let pragma = |name: &str| connection.query_row(&format!("pragma {name}"), [], |row| row.get::<_, i32>(0));
    let tables: u32 = connection.query_row("select count(*) from sqlite_master", [], |row| row.get(0))?;
    match (tables, pragma("application_id")?, pragma("user_version")?) {
        (0, 0, 0) => {
            connection.execute_batch(&format!(
                "begin immediate; {}; pragma application_id = {APPLICATION_ID}; pragma user_version = {FORMAT}; commit;",
                include_str!("schema.sql")
            ))?;
            Ok(())
        }
        (_, APPLICATION_ID, FORMAT) => Ok(()),
        (_, APPLICATION_ID, newer) => Err(Error::Unavailable(format!(
            "{} is a log of format {newer}, and this version reads format {FORMAT}; use the version that wrote it",
            path.display()
        ))),
        _ => Err(Error::Unavailable(format!("{} is not an event log", path.display()))),
    }
}

#[async_trait]
impl EventLog for Embedded {
    async fn append(&self, batch: Vec<Item>) -> Result<Vec<Outcome>, Error> {
        self.ask(|answer| Task::Append(batch, answer)).await
    }

    async fn read_stream(&self, stream: &str, after: u64, limit: usize) -> Result<Vec<RawEvent>, Error> {
        let sql = const_format(SELECT, OF_STREAM);
        self.select(&sql, params![stream, after, i64::try_from(limit).unwrap_or(i64::MAX)])
    }

    async fn read_all(&self, after: u64, limit: usize) -> Result<Vec<RawEvent>, Error> {
        if let Some(events) = self.tail.after(after, limit) {
            return Ok(events);
        }
        // Before the query: what is appended meanwhile is not missing.
        let head = self.head();
        let sql = const_format(SELECT, OF_ALL);
        let events = self.select(&sql, params![after, i64::try_from(limit).unwrap_or(i64::MAX)])?;
        for (expected, event) in (after + 1..).zip(&events) {
            if event.position != expected {
                let reason = format!("the log has a hole: after {} comes {}", expected - 1, event.position);
                return Err(Error::Corrupt { position: expected, reason });
            }
        }
        if events.is_empty() && after < head && limit > 0 {
            return Err(Error::Corrupt { position: after + 1, reason: "the end of the log is missing".into() });
        }
        Ok(events)
    }

    async fn read_at(&self, positions: &[u64]) -> Result<Vec<RawEvent>, Error> {
        let listed = format!("[{}]", positions.iter().map(u64::to_string).collect::<Vec<_>>().join(","));
        all_at(positions, self.select(&const_format(SELECT, OF_POSITIONS), params![listed])?)
    }

    fn head(&self) -> u64 {
        *self.head.borrow()
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.head.clone()
    }

    async fn stored_outcome(&self, key: [u8; 32]) -> Result<Option<([u8; 32], Vec<u8>)>, Error> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(OUTCOME)?;
            Ok(statement.query_row([key], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
        })
    }

    async fn expire_outcomes(&self, time: DateTime<Utc>) -> Result<u64, Error> {
        self.ask(|answer| Task::ExpireOutcomes(time, answer)).await
    }

    async fn detach(&self, remaining: Vec<(u64, Option<Bytes>)>) -> Result<u64, Error> {
        self.ask(|answer| Task::Detach(remaining, answer)).await
    }
}

fn const_format(select: &str, rest: &str) -> String {
    [select, rest].concat()
}

impl Drop for Embedded {
    fn drop(&mut self) {
        // The writer ends when nobody can ask it any more; what it was asked is finished first.
        self.tasks = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}
