//! The log in one stream of `KurrentDB`, read from a replica on this machine.
//!
//! `KurrentDB` appends to one stream at a time, so one stream holds the whole log: its order is the log's order, and an
//! append with its exact revision is an append to everything. What streams, keys and positions there are is known from
//! a replica in a file, which is made anew from the stream whenever it is missing
//! (`docs/decisions/0012-kurrentdb.md`).

use std::fs::{File, TryLockError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Uuid;

use super::embedded::Embedded;
use super::embedded::step::Mark;
use super::integrity::Integrity;
use super::{DamageRecorder, Error, EventLog, Item, Outcome, RawEvent, Reason, Seen};

mod address;
mod appender;
mod connection;
mod damaged;
mod diagnosis;
mod draft;
mod entry;
mod follow;
mod metadata;
mod nodelay;
mod server;
mod stream;
#[cfg(test)]
mod tests;

pub use address::weakness;
use appender::{Appender, Task};
pub use damaged::{Salvaged, inspect, set_aside};
pub use metadata::Metadata;
use server::Server;
pub use stream::{check_stream, replica, stream};

/// The stream that holds the log where nothing else is said.
pub const STREAM: &str = "rollcall-log";
/// Most batches waiting for the appender; the engine in front bounds what is in them.
const QUEUE_MAX: usize = 64;
/// How often the metadata of the stream is read, unless a test says otherwise.
const INSPECT_EVERY: Duration = Duration::from_secs(60);
/// How long a replica may still be in use by a log that was just closed.
const LOCK_FOR: Duration = Duration::from_secs(5);
const LOCK_EVERY: Duration = Duration::from_millis(10);

const REWOUND: &str = "KurrentDB does not hold the last entry any more that was seen: it was restored to an earlier \
    state, or another node became leader without the last writes. Stop every node; bring the missing entries back, or copy \
    what the replica of this node holds to another place (`rollcall copy`), or accept that they are lost (`rollcall recover`)";
const DELETED: &str = "the stream of the log was deleted in KurrentDB. Stop every node; restore it from a backup, or copy \
    what the replica of this node holds to another place (`rollcall copy`)";

/// The replica's file, held by this log alone.
struct Replica {
    log: Embedded,
    /// Let go after the file is closed.
    _lock: File,
}

/// What every part of the log knows.
struct Shared {
    replica: Replica,
    integrity: Arc<Integrity>,
}

impl Shared {
    fn whole(&self) -> Result<(), Error> {
        self.integrity.check()
    }

    /// Stops the use of the log, if what a result says means that.
    async fn note<T>(&self, result: Result<T, Error>) -> Result<T, Error> {
        let Err(Error::Corrupt { position, reason }) = result else { return result };
        Err(self.note_damage(position, reason).await)
    }

    /// Stops the use of the log; answers what every call is refused with from now on.
    async fn note_damage(&self, position: u64, reason: Reason) -> Error {
        let head = self.replica.log.head();
        let last = self.replica.log.read_all(head.saturating_sub(1), 1).await.unwrap_or_default();
        let last = last.first().map(|event| Seen { position: event.position, event: event.id });
        // What is wrong with the stream as a whole has no position.
        let position = if position == 0 { head } else { position };
        self.integrity.condemn(position, reason.with(last, None)).await
    }
}

/// A log on a `KurrentDB` server.
pub struct Kurrent {
    tasks: mpsc::Sender<Task>,
    shared: Arc<Shared>,
}

impl Kurrent {
    /// Opens the log in a stream of the server at this address, with a replica in this file. Whatever the replica lacks
    /// is read before this returns.
    ///
    /// # Errors
    /// The server is unavailable, the file is not a replica of this stream, the stream lost what the replica holds, or its
    /// metadata lets the server forget entries.
    pub async fn connect(url: &str, stream: &str, replica: &Path) -> Result<Self, Error> {
        Self::connect_and_inspect(url, stream, replica, INSPECT_EVERY).await
    }

    /// As [`Kurrent::connect`]; the metadata of the stream is read that often.
    ///
    /// # Errors
    /// As [`Kurrent::connect`].
    pub async fn connect_and_inspect(
        url: &str,
        stream: &str,
        replica: &Path,
        inspect_every: Duration,
    ) -> Result<Self, Error> {
        let server = Server::new(url, stream)?;
        let lock = lock(replica).await?;
        let (log, mark) = open(replica, stream)?;
        let shared = Arc::new(Shared { replica: Replica { log, _lock: lock }, integrity: Arc::default() });
        let mut appender = Appender::new(server, shared.clone(), stream, mark, inspect_every);
        appender.start().await?;
        let (tasks, queue) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(crate::supervision::unpanicking("log-appender", appender.run(queue)));
        Ok(Self { tasks, shared })
    }

    /// The vault whose values the log holds; `None`: it holds none yet, or is older than this was recorded.
    ///
    /// # Errors
    /// The replica cannot be read.
    pub fn owner(&self) -> Result<Option<[u8; 16]>, Error> {
        Ok(self.shared.replica.log.owner()?.map(Uuid::into_bytes))
    }

    /// Makes the log that of a vault, unless it is one's already; answers whose it is. A new stream is closed to
    /// others before anything is in it, where the address names a user.
    ///
    /// # Errors
    /// As [`EventLog::append`].
    pub async fn claim(&self, vault: [u8; 16]) -> Result<[u8; 16], Error> {
        self.ask(|answer| Task::Claim(Uuid::from_bytes(vault), answer)).await?;
        self.owner()?.ok_or_else(|| Error::Unavailable("the replica does not hold whose log it is".into()))
    }

    async fn ask<T>(&self, task: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Task) -> Result<T, Error> {
        self.shared.whole()?;
        let stopped = || Error::Unavailable("the log is stopping".into());
        let (answer, answered) = oneshot::channel();
        self.tasks.send(task(answer)).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| Error::Ambiguous("the log stopped meanwhile".into()))?
    }
}

/// What is set of a stream, of whoever asks.
///
/// # Errors
/// The server is unavailable.
pub async fn metadata(url: &str, stream: &str) -> Result<Metadata, Error> {
    let mut server = Server::new(url, stream)?;
    match server.metadata().await {
        Err(Error::Unavailable(reason)) => Err(Error::Unavailable(server.hopeless().await.unwrap_or(reason))),
        metadata => metadata,
    }
}

/// Has every connection of this process to the servers of this address send small messages at once: the client of
/// `KurrentDB` does not.
///
/// # Errors
/// The address is none, or the connections cannot be found.
pub fn send_at_once(url: &str) -> Result<(), Error> {
    Server::new(url, STREAM)?.send_at_once().map_err(|error| Error::Unavailable(error.to_string()))
}

/// Whether the address names a user.
#[must_use]
pub fn has_user(url: &str) -> bool {
    address::user(url).is_some()
}

/// Takes the replica for this log alone: two that feed one file would feed it twice.
async fn lock(replica: &Path) -> Result<File, Error> {
    let unavailable = |error: std::io::Error| {
        Error::Unavailable(format!("the replica {} cannot be locked: {error}", replica.display()))
    };
    let file = File::create(replica.with_added_extension("lock")).map_err(unavailable)?;
    let by = tokio::time::Instant::now() + LOCK_FOR;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if tokio::time::Instant::now() < by => tokio::time::sleep(LOCK_EVERY).await,
            Err(TryLockError::WouldBlock) => {
                let reason = format!("the replica {} is in use: give every node its own", replica.display());
                return Err(Error::Unavailable(reason));
            }
            Err(TryLockError::Error(error)) => return Err(unavailable(error)),
        }
    }
}

fn open(replica: &Path, stream: &str) -> Result<(Embedded, Option<Mark>), Error> {
    let log = Embedded::open_mirror(replica)?;
    let mark = log.mark()?;
    let unlike = |what: &str| Err(Error::Unavailable(format!("{} is {what}", replica.display())));
    match mark {
        None if log.head() > 0 => unlike("a log of its own, not a replica of one in KurrentDB"),
        Some(mark) if mark.source != stream => {
            unlike(&format!("a replica of the stream {}: delete it, or name another file", mark.source))
        }
        mark => Ok((log, mark)),
    }
}

#[async_trait]
impl EventLog for Kurrent {
    async fn append(&self, batch: Vec<Item>) -> Result<Vec<Outcome>, Error> {
        if batch.is_empty() {
            return Ok(vec![]);
        }
        self.ask(|answer| Task::Append(batch, answer)).await
    }

    async fn read_stream(&self, stream: &str, after: u64, limit: usize) -> Result<Vec<RawEvent>, Error> {
        self.shared.whole()?;
        self.shared.replica.log.read_stream(stream, after, limit).await
    }

    async fn read_stream_back(&self, stream: &str, before: u64, limit: usize) -> Result<Vec<RawEvent>, Error> {
        self.shared.whole()?;
        self.shared.replica.log.read_stream_back(stream, before, limit).await
    }

    async fn read_all(&self, after: u64, limit: usize) -> Result<Vec<RawEvent>, Error> {
        self.shared.whole()?;
        self.shared.replica.log.read_all(after, limit).await
    }

    fn head(&self) -> u64 {
        self.shared.replica.log.head()
    }

    async fn latest(&self) -> Result<u64, Error> {
        self.ask(Task::Latest).await
    }

    /// An entry of this process's own: whatever an earlier one has on its way names an entry before it as the last, so that
    /// nothing of it can be appended any more.
    async fn fence(&self) -> Result<u64, Error> {
        self.ask(Task::Fence).await
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.shared.replica.log.watch()
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
        self.shared.whole()?;
        self.shared.replica.log.stored_outcome(key).await
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
