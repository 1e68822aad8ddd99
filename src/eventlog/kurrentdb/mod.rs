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

use super::embedded::Embedded;
use super::embedded::step::Mark;
use super::integrity::Integrity;
use super::{DamageRecorder, Error, EventLog, Item, Outcome, RawEvent, Reason, Seen};

mod appender;
mod damaged;
mod draft;
mod entry;
mod follow;
mod server;
mod stream;
#[cfg(test)]
mod tests;

use appender::{Appender, Task};
pub use damaged::{Salvaged, inspect, set_aside};
use server::Server;
pub use stream::{check_stream, replica, stream};

/// The stream that holds the log where nothing else is said.
pub const STREAM: &str = "rollcall-log";
/// Most batches waiting for the appender; the engine in front bounds what is in them.
const QUEUE_MAX: usize = 64;
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
        let head = self.replica.log.head();
        let last = self.replica.log.read_all(head.saturating_sub(1), 1).await.unwrap_or_default();
        let last = last.first().map(|event| Seen { position: event.position, event: event.id });
        // What is wrong with the stream as a whole has no position.
        let position = if position == 0 { head } else { position };
        Err(self.integrity.condemn(position, reason.with(last, None)).await)
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
    /// The server is unavailable, the file is not a replica of this stream, or the stream lost what the replica holds.
    pub async fn connect(url: &str, stream: &str, replica: &Path) -> Result<Self, Error> {
        let server = Server::new(url, stream)?;
        let lock = lock(replica).await?;
        let (log, mark) = open(replica, stream)?;
        let shared = Arc::new(Shared { replica: Replica { log, _lock: lock }, integrity: Arc::default() });
        let mut appender = Appender::new(server, shared.clone(), stream, mark);
        appender.start().await?;
        let (tasks, queue) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(crate::supervision::unpanicking("log-appender", appender.run(queue)));
        Ok(Self { tasks, shared })
    }

    async fn ask<T>(&self, task: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Task) -> Result<T, Error> {
        self.shared.whole()?;
        let stopped = || Error::Unavailable("the log is stopping".into());
        let (answer, answered) = oneshot::channel();
        self.tasks.send(task(answer)).await.map_err(|_| stopped())?;
        answered.await.map_err(|_| Error::Ambiguous("the log stopped meanwhile".into()))?
    }
}

/// What somebody on the way to the server could read or change, as its address is; `None`: nothing.
#[must_use]
pub fn weakness(address: &str) -> Option<String> {
    let (base, query) = address.split_once('?').unwrap_or((address, ""));
    let authority = base.split_once("://").map_or(base, |(_, rest)| rest);
    let hosts = authority.split('/').next().unwrap_or_default();
    let hosts = hosts.rsplit('@').next().unwrap_or_default();
    if hosts.split(',').all(is_here) {
        return None;
    }
    let says_no = |name: &str| {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .any(|(parameter, value)| parameter.eq_ignore_ascii_case(name) && value.eq_ignore_ascii_case("false"))
    };
    if says_no("tls") {
        return Some(format!("the connection to KurrentDB at {hosts} is not encrypted (tls=false)"));
    }
    let verifies = !says_no("tlsVerifyCert");
    (!verifies).then(|| {
        format!("anybody on the way may pass for KurrentDB at {hosts} (tlsVerifyCert=false); name its authority with tlsCaFile")
    })
}

/// Whether `host` or `host:port` is on the machine this runs on.
fn is_here(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
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
