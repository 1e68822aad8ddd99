//! The log in `PostgreSQL`: a batcher per node, no leader, readers beside it.
//!
//! A batch takes the log's advisory lock, reads the last position, checks revisions, inserts and commits; the lock goes
//! only once the commit is visible. So position n + 1 is never handed out before n can be seen, whatever other
//! transactions are open, and the primary key turns any mistake into an error instead of a skip.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use deadpool_postgres::Pool;
use futures_util::FutureExt as _;
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::integrity::Integrity;
use super::tail::Tail;
use super::{Damage, DamageRecorder, Error, EventLog, Item, Outcome, RawEvent, Reason, Seen, all_at};
use crate::database::{self, Database};
use crate::supervision;

mod appender;
mod columns;
mod faults;
mod follower;
mod loss;
mod prepare;
mod presumed;

use appender::{Appender, BARRIER, Connection, LOCK, Task};
use columns::Param;
pub use faults::Faults;

/// Connections that read.
const READERS_MAX: usize = 8;
/// Most batches waiting for the appender; the engine in front bounds what is in them.
const QUEUE_MAX: usize = 64;
/// How long a read may take, the wait for a connection included.
const READ_MAX: Duration = Duration::from_secs(10);
/// Who reads at most so many events behind the last one follows the log.
const NEAR: u64 = 2_000;

const OF_STREAM: &str = "select position, stream, revision, id, name, version, recorded_at, core, blobs
    from rollcall_log.event where stream = $1 and revision > $2 order by revision limit $3";
const OF_STREAM_BACK: &str = "select position, stream, revision, id, name, version, recorded_at, core, blobs
    from rollcall_log.event where stream = $1 and revision < $2 order by revision desc limit $3";
const OF_ALL: &str = "select position, stream, revision, id, name, version, recorded_at, core, blobs
    from rollcall_log.event where position > $1 order by position limit $2";
const OF_POSITIONS: &str = "select position, stream, revision, id, name, version, recorded_at, core, blobs
    from rollcall_log.event where position = any($1)";
const LAST: &str = "select position, id from rollcall_log.event order by position desc limit 1";
const AT: &str = "select id from rollcall_log.event where position = $1";
const OUTCOME: &str = "select fingerprint, outcome from rollcall_log.outcome where key = $1";

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Unavailable(database::describe(&error))
    }
}

impl From<database::Error> for Error {
    fn from(error: database::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<deadpool_postgres::PoolError> for Error {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        match error {
            deadpool_postgres::PoolError::Backend(error) => error.into(),
            error => Self::Unavailable(format!("no connection to the database is free: {error}")),
        }
    }
}

/// How long the fence waits for appends that are on their way; each may take 10 s.
const FENCE: &str = "set local lock_timeout = '30s'; set local synchronous_commit = on";
/// How long the fence may take, its commit included.
const FENCE_MAX: Duration = Duration::from_secs(40);
/// From its commit on, whatever another process sent is refused; with null, every node may append.
const SOLE_WRITER: &str = "update rollcall_log.epoch set writer = $1 where writer is distinct from $1";

/// Whether a node may append, or only follows, as on a standby.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Appends and reads.
    Append,
    /// Only reads.
    Read,
}

/// What every part of the log knows: how far it is, and whether it may go on.
struct Shared {
    /// What this node signs its notifications with, so that it does not listen to itself.
    node: String,
    tail: Tail,
    /// The last event that was seen. A server that does not hold it any more has lost what was acknowledged.
    last: watch::Sender<(u64, Uuid)>,
    head: watch::Sender<u64>,
    integrity: Arc<Integrity>,
}

impl Shared {
    /// Tells everybody that the log holds this event.
    fn advance(&self, position: u64, id: Uuid) {
        let moved = self.last.send_if_modified(|last| {
            let moves = position > last.0;
            if moves {
                *last = (position, id);
            }
            moves
        });
        if moved {
            self.head.send_if_modified(|head| {
                let moves = position > *head;
                *head = position.max(*head);
                moves
            });
        }
    }

    /// What this node tells the others when it has appended: up to which event. The same is in `rollcall_log.append`.
    fn note(&self, position: u64, id: Uuid) -> String {
        format!("{} {position} {id}", self.node)
    }

    fn is_own(&self, note: &str) -> bool {
        note.split(' ').next() == Some(&self.node)
    }

    fn read_note(note: &str) -> Option<(u64, Uuid)> {
        let mut words = note.split(' ').skip(1);
        words.next()?.parse().ok().zip(words.next()?.parse().ok())
    }

    fn whole(&self) -> Result<(), Error> {
        self.integrity.check()
    }
}

/// What a process is told whose place another one has taken.
const SUPERSEDED: &str = "another process has opened this log with a copy of this data directory, and appends in the place \
    of this one. Only one process may use keys that are in a data directory: stop one of the two; for several nodes keep \
    the keys in a database";

/// A log on a `PostgreSQL` server.
pub struct Postgres {
    database: Database,
    /// Whether only one process may append at a time: the one that fenced the log last.
    has_sole_writer: bool,
    pool: Pool,
    /// Where the connections of the pool live.
    runtime: Handle,
    tasks: Option<mpsc::Sender<Task>>,
    shared: Arc<Shared>,
    head: watch::Receiver<u64>,
    reading: Mutex<()>,
    stop: CancellationToken,
}

impl Postgres {
    /// Opens the log of a database, making it if it does not exist and the role may.
    ///
    /// # Errors
    /// The server is unavailable, the log is of a newer version, or the role may not make it.
    pub async fn open(database: &Database, mode: Mode) -> Result<Self, Error> {
        Self::open_with(database, mode, Faults::default()).await
    }

    /// Opens the log with faults that a test wants.
    ///
    /// # Errors
    /// As [`Postgres::open`].
    pub async fn open_with(database: &Database, mode: Mode, faults: Faults) -> Result<Self, Error> {
        let mut connection = Connection::open(database).await?;
        prepare::prepare(&mut connection.client, mode).await?;
        if mode == Mode::Append && database.has_several_servers() {
            in_time(prepare::look_for_standby(&connection.client)).await?;
        }
        let pool = database.pool(READERS_MAX)?;
        let last = in_time(last(&connection.client)).await?.unwrap_or_default();
        let (head, watched) = watch::channel(last.0);
        let ((last, _), node) = (watch::channel(last), Uuid::new_v4().to_string());
        let (tail, integrity) = (Tail::default(), Arc::default());
        let shared = Arc::new(Shared { node, tail, last, head, integrity });
        let stop = CancellationToken::new();
        let follower = follower::run(database.clone(), shared.clone(), mode, stop.clone());
        tokio::spawn(supervision::unpanicking("log-follower", follower));
        let tasks = (mode == Mode::Append).then(|| {
            let (tasks, queue) = mpsc::channel(QUEUE_MAX);
            let appender = Appender::new(database.clone(), connection, shared.clone(), faults);
            tokio::spawn(supervision::unpanicking("log-appender", appender.run(queue)));
            tasks
        });
        let database = database.clone();
        let reading = Mutex::default();
        let runtime = Handle::current();
        Ok(Self { database, has_sole_writer: false, pool, runtime, tasks, shared, head: watched, reading, stop })
    }

    /// For a log whose keys are in one data directory: once this process has fenced it, what any other process sends or had
    /// sent is refused.
    #[must_use]
    pub fn with_sole_writer(mut self) -> Self {
        self.has_sole_writer = true;
        self
    }

    /// Binds the log to the vault whose values it holds; with another vault nothing in it could be read.
    ///
    /// # Errors
    /// It belongs to another vault, or the server is unavailable.
    pub async fn claim(database: &Database, vault: [u8; 16]) -> Result<(), Error> {
        let client = database.connect(None).await?;
        in_time(prepare::claim(&client, vault)).await
    }

    async fn ask<T>(&self, task: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Task) -> Result<T, Error> {
        let stopped = || Error::Unavailable("the log is stopping".into());
        let tasks = self.tasks.as_ref().ok_or_else(|| Error::Unavailable("the log is opened to be read".into()))?;
        let (answer, answered) = oneshot::channel();
        tasks.send(task(answer)).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| stopped())?
    }

    async fn select(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<RawEvent>, Error> {
        self.shared.whole()?;
        self.rows(sql, params).await?.iter().map(raw).collect()
    }

    async fn rows(&self, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
        rows(&self.pool, sql, params).await
    }

    /// What it means that a read did not find the event at a position up to the head. Its connection may be to a server that
    /// is not the primary any more: another one is asked.
    async fn missing(&self, position: u64) -> Error {
        let asked = async {
            let client = self.database.connect(None).await?;
            follower::look(&client, &self.shared).await?;
            follower::id_at(&client, position).await
        };
        match in_time(asked).await {
            Ok(None) => {
                let reason = Damage::Hole.because("an event before the last one is missing in the database");
                let (last, event) = *self.shared.last.borrow();
                self.condemn(position, reason.with(Some(Seen { position: last, event }), None)).await
            }
            Ok(Some(_)) => {
                self.pool.retain(|_, _| false);
                Error::Unavailable("a connection was to a server that lacks what the primary holds; try again".into())
            }
            Err(error) => error,
        }
    }

    /// Reads where somebody begins. A page comes in thousands of parts: they are collected where the connection lives, for
    /// waking another thread for each of them costs more than to decode it.
    async fn read_far(&self, after: u64, until: u64) -> Result<Vec<RawEvent>, Error> {
        let (from, limit) = (stored(after), stored(until - after));
        let page = |pool: Pool| async move { rows(&pool, OF_ALL, &[(&from, Type::INT8), (&limit, Type::INT8)]).await };
        let read = match self.runtime.spawn(page(self.pool.clone())).await {
            Ok(read) => read,
            // That runtime has ended: this one will do.
            Err(_) => page(self.pool.clone()).await,
        };
        read?.iter().map(raw).collect()
    }

    /// Reads where everybody follows. What another node has just appended several want at once: one reads it for all.
    async fn read_near(&self, after: u64, until: u64) -> Result<Vec<RawEvent>, Error> {
        let (held, missing) = self.shared.tail.look(after, until);
        if missing.is_empty() {
            return Ok(held);
        }
        let _turn = self.reading.lock().await;
        let (mut events, missing) = self.shared.tail.look(after, until);
        if missing.is_empty() {
            return Ok(events);
        }
        let missing: Vec<_> = missing.into_iter().map(stored).collect();
        let read = self.select(OF_POSITIONS, &[(&missing, Type::INT8_ARRAY)]).await?;
        self.shared.tail.fill(&read);
        events.extend(read);
        events.sort_unstable_by_key(|event| event.position);
        Ok(events)
    }
}

/// Asks on a connection of the pool. One that has not answered, or whose answer nobody waited for, is closed: it might
/// never answer again.
async fn rows(pool: &Pool, sql: &str, params: &[Param<'_>]) -> Result<Vec<Row>, Error> {
    in_time(async {
        let mut lent = Lent(Some(pool.get().await?));
        let Some(client) = &lent.0 else { return Ok(vec![]) };
        let rows = client.query_typed(sql, params).await;
        // Answered: it goes back to the pool.
        drop(lent.0.take());
        Ok(rows?)
    })
    .await
}

/// A connection of the pool that does not go back there where this is dropped with it.
struct Lent(Option<deadpool_postgres::Object>);

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(|silent| drop(deadpool_postgres::Object::take(silent)));
    }
}

/// Waits for an answer no longer than a read may take.
// No `async fn`: that would have room for `asked` twice.
fn in_time<T>(asked: impl Future<Output = Result<T, Error>>) -> impl Future<Output = Result<T, Error>> {
    let silent = |_| Err(Error::Unavailable("the database does not answer".into()));
    tokio::time::timeout(READ_MAX, asked).map(move |answered| answered.unwrap_or_else(silent))
}

async fn last(client: &tokio_postgres::Client) -> Result<Option<(u64, Uuid)>, Error> {
    client.query_typed_opt(LAST, &[]).await?.as_ref().map(place).transpose()
}

/// Position and id of an event.
fn place(row: &Row) -> Result<(u64, Uuid), Error> {
    Ok((number(row.try_get(0)?)?, row.try_get(1)?))
}

/// A number the database holds as a signed one.
fn number(stored: i64) -> Result<u64, Error> {
    u64::try_from(stored).map_err(|_| Error::Corrupt { position: 0, reason: "a number is negative".into() })
}

fn stored(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn raw(row: &Row) -> Result<RawEvent, Error> {
    let position = number(row.try_get(0)?)?;
    let corrupt = |reason: &str| Error::Corrupt { position, reason: reason.into() };
    Ok(RawEvent {
        position,
        stream: row.try_get::<_, &str>(1)?.into(),
        revision: number(row.try_get(2)?)?,
        id: row.try_get(3)?,
        name: row.try_get::<_, String>(4)?.into(),
        version: u16::try_from(row.try_get::<_, i16>(5)?).map_err(|_| corrupt("its version is none"))?,
        recorded_at: DateTime::from_timestamp_millis(row.try_get(6)?).ok_or_else(|| corrupt("its time is none"))?,
        core: row.try_get::<_, Vec<u8>>(7)?.into(),
        blobs: row.try_get::<_, Option<Vec<u8>>>(8)?.map(Bytes::from),
    })
}

#[async_trait]
impl EventLog for Postgres {
    async fn append(&self, batch: Vec<Item>) -> Result<Vec<Outcome>, Error> {
        self.ask(|answer| Task::Append(batch, answer)).await
    }

    async fn read_stream(&self, stream: &str, after: u64, limit: usize) -> Result<Vec<RawEvent>, Error> {
        let (after, limit) = (stored(after), stored(limit as u64));
        self.select(OF_STREAM, &[(&stream, Type::TEXT), (&after, Type::INT8), (&limit, Type::INT8)]).await
    }

    async fn read_stream_back(&self, stream: &str, before: u64, limit: usize) -> Result<Vec<RawEvent>, Error> {
        let (before, limit) = (stored(before), stored(limit as u64));
        let of: [Param<'_>; 3] = [(&stream, Type::TEXT), (&before, Type::INT8), (&limit, Type::INT8)];
        let mut events = self.select(OF_STREAM_BACK, &of).await?;
        events.reverse();
        Ok(events)
    }

    async fn read_all(&self, after: u64, limit: usize) -> Result<Vec<RawEvent>, Error> {
        self.shared.whole()?;
        // Before the query: what is appended meanwhile is not missing.
        let head = self.head();
        if after >= head {
            return Ok(vec![]);
        }
        let until = head.min(after.saturating_add(limit as u64));
        let events =
            if head - after > NEAR { self.read_far(after, until).await? } else { self.read_near(after, until).await? };
        let mut found = events.iter().map(|event| event.position);
        match (after + 1..=until).find(|expected| found.next() != Some(*expected)) {
            Some(missing) => Err(self.missing(missing).await),
            None => Ok(events),
        }
    }

    async fn read_at(&self, positions: &[u64]) -> Result<Vec<RawEvent>, Error> {
        self.shared.whole()?;
        let listed: Vec<_> = positions.iter().copied().map(stored).collect();
        let mut events = self.select(OF_POSITIONS, &[(&listed, Type::INT8_ARRAY)]).await?;
        events.sort_unstable_by_key(|event| event.position);
        all_at(positions, events)
    }

    fn head(&self) -> u64 {
        *self.head.borrow()
    }

    async fn latest(&self) -> Result<u64, Error> {
        self.shared.whole()?;
        if let Some((position, id)) = self.rows(LAST, &[]).await?.first().map(place).transpose()? {
            self.shared.advance(position, id);
        }
        Ok(self.head())
    }

    async fn fence(&self) -> Result<u64, Error> {
        self.shared.whole()?;
        let fenced = tokio::time::timeout(FENCE_MAX, async {
            let mut lent = Lent(Some(self.pool.get().await?));
            if let Some(client) = &mut lent.0 {
                let transaction = client.transaction().await?;
                // Behind every transaction that holds the log's lock or waits for it.
                transaction.batch_execute(&format!("{FENCE}; {LOCK}; {BARRIER}")).await?;
                let writer = self.has_sole_writer.then_some(&self.shared.node);
                transaction.execute_typed(SOLE_WRITER, &[(&writer, Type::TEXT)]).await?;
                transaction.commit().await?;
            }
            // Answered: it goes back to the pool.
            drop(lent.0.take());
            Ok::<_, Error>(())
        });
        fenced.await.map_err(|_| {
            let reason = "the database does not commit: it does not answer, or waits for a standby that is not there";
            Error::Unavailable(reason.into())
        })??;
        self.latest().await
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
        let rows = self.rows(OUTCOME, &[(&&key[..], Type::BYTEA)]).await?;
        rows.first().map(|row| Ok((fingerprint(row.try_get(0)?)?, row.try_get(1)?))).transpose()
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

fn fingerprint(stored: &[u8]) -> Result<[u8; 32], Error> {
    stored.try_into().map_err(|_| Error::Corrupt { position: 0, reason: "a fingerprint is not 32 bytes".into() })
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // The appender ends when nobody can ask it any more; what it was asked is finished first.
        self.stop.cancel();
    }
}
