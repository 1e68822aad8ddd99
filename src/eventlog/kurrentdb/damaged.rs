//! What can be done with a stream that is broken: look at it, keep what its replica holds, or begin the replica anew.

use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use rusqlite::{Connection, OpenFlags, OptionalExtension as _};
use tokio::sync::watch;
use uuid::Uuid;

use super::entry::Assembler;
use super::server::Server;
use super::{DELETED, REWOUND, Replica, lock, open};
use crate::eventlog::{Damage, Error, EventLog, Item, Outcome, RawEvent};

const MARK: &str = "select revision, id from mirrored";
const HEAD: &str = "select coalesce(max(position), 0) from event";

/// How far a replica is: the position of its last event, and the entry taken over last.
struct Reached {
    head: u64,
    entry: Option<(u64, Uuid)>,
}

/// Reads a replica that a service may be using; a file that is not there holds nothing.
fn reached(replica: &Path) -> Result<Reached, Error> {
    if !replica.is_file() {
        return Ok(Reached { head: 0, entry: None });
    }
    let connection = Connection::open_with_flags(replica, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let head = connection.query_row(HEAD, [], |row| row.get(0))?;
    let mark = connection.query_row(MARK, [], |row| Ok((row.get(0)?, row.get::<_, [u8; 16]>(1)?))).optional()?;
    Ok(Reached { head, entry: mark.map(|(revision, id)| (revision, Uuid::from_bytes(id))) })
}

/// Looks whether a stream holds what a replica of it knows, and whether what follows is of this log. Changes nothing.
///
/// # Errors
/// [`Error::Corrupt`] where it does not; or the server or the replica cannot be read.
pub async fn inspect(url: &str, stream: &str, replica: &Path) -> Result<(), Error> {
    let Reached { head, entry } = reached(replica)?;
    let mut server = Server::new(url, stream)?;
    let corrupt = |damage: Damage, text: &str| Error::Corrupt { position: head, reason: damage.because(text) };
    let mut from = entry.map_or(0, |(revision, _)| revision);
    let mut page = server.read(from).await?;
    if let Some(known) = entry {
        match page.entries.first().map(|(revision, entry)| (*revision, entry.id)) {
            first if first == Some(known) => drop(page.entries.remove(0)),
            None if server.read(0).await?.entries.is_empty() => return Err(corrupt(Damage::Deleted, DELETED)),
            _ => return Err(corrupt(Damage::Rewound, REWOUND)),
        }
        from += 1;
    }
    let mut assembler = Assembler::new(entry.map(|(_, id)| id), head);
    loop {
        for (revision, entry) in &page.entries {
            if *revision != from {
                return Err(assembler.corrupt(Damage::Hole, &format!("entry {from} is missing")));
            }
            from += 1;
            assembler.take(entry)?;
        }
        if !page.more {
            return Ok(());
        }
        page = server.read(from).await?;
    }
}

/// The log as a replica holds it, to be copied elsewhere: nothing can be appended to it.
pub struct Salvaged(Replica);

fn only_read<T>() -> Result<T, Error> {
    Err(Error::Unavailable("the log is broken, and what is left of it is opened to be copied".into()))
}

impl Salvaged {
    /// Opens a replica without its server.
    ///
    /// # Errors
    /// It is in use, or is no replica of this stream.
    pub async fn open(stream: &str, replica: &Path) -> Result<Self, Error> {
        let lock = lock(replica).await?;
        Ok(Self(Replica { log: open(replica, stream)?.0, _lock: lock }))
    }
}

#[async_trait]
impl EventLog for Salvaged {
    async fn append(&self, _: Vec<Item>) -> Result<Vec<Outcome>, Error> {
        only_read()
    }

    async fn read_stream(&self, stream: &str, after: u64, limit: usize) -> Result<Vec<RawEvent>, Error> {
        self.0.log.read_stream(stream, after, limit).await
    }

    async fn read_stream_back(&self, stream: &str, before: u64, limit: usize) -> Result<Vec<RawEvent>, Error> {
        self.0.log.read_stream_back(stream, before, limit).await
    }

    async fn read_all(&self, after: u64, limit: usize) -> Result<Vec<RawEvent>, Error> {
        self.0.log.read_all(after, limit).await
    }

    fn head(&self) -> u64 {
        self.0.log.head()
    }

    fn watch(&self) -> watch::Receiver<u64> {
        self.0.log.watch()
    }

    async fn stored_outcome(&self, key: [u8; 32]) -> Result<Option<([u8; 32], Vec<u8>)>, Error> {
        self.0.log.stored_outcome(key).await
    }

    async fn expire_outcomes(&self, _: DateTime<Utc>) -> Result<u64, Error> {
        only_read()
    }

    async fn detach(&self, _: Vec<(u64, Option<Bytes>)>) -> Result<u64, Error> {
        only_read()
    }
}

/// Puts a replica aside, so that it is made anew from the stream; what it holds more than the stream stays known there.
///
/// # Errors
/// The replica is in use, or its files cannot be renamed.
pub async fn set_aside(replica: &Path) -> Result<(), Error> {
    let _lock = lock(replica).await?;
    let failed =
        |error: std::io::Error| Error::Unavailable(format!("{} cannot be renamed: {error}", replica.display()));
    let beside = |number: u32| replica.with_added_extension(number.to_string());
    let Some(aside) = (1..).map(beside).find(|path| !path.exists()) else { return Ok(()) };
    for ending in ["-wal", "-shm", ""] {
        let with_ending = |path: &Path| {
            let mut name = path.as_os_str().to_owned();
            name.push(ending);
            name
        };
        match std::fs::rename(with_ending(replica), with_ending(&aside)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}
