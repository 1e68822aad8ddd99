//! The shapes in SQLite, with the settings of the embedded log.

use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::path::Path;

use anyhow::{Result, ensure};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::registration::{Event, Registration, Stream};
use crate::shape::Shape;

const SETTINGS: &str = "pragma page_size = 8192; pragma journal_mode = wal; pragma synchronous = full;
    pragma locking_mode = exclusive; pragma cache_size = -16384; pragma wal_autocheckpoint = 2000;
    pragma secure_delete = on";

fn opened(dir: &Path, schema: &str) -> Result<Connection> {
    let connection = Connection::open(dir.join("log.db"))?;
    connection.execute_batch(SETTINGS)?;
    connection.execute_batch(schema)?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

fn settle(connection: &Connection) -> Result<()> {
    connection.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))?;
    Ok(())
}

/// How the events of a stream are found.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Index {
    Stream,
    Hash,
    /// By reading all: what an index costs is the difference.
    None,
}

/// A row for each event.
pub(crate) struct Rows {
    connection: Connection,
    index: Index,
    position: i64,
}

const ROWS: &str = "create table event (position integer primary key, stream blob not null, revision integer not null,
    id blob not null, name integer not null, version integer not null, recorded_at integer not null,
    core blob not null, blobs blob);";
const INSERT: &str = "insert into event (position, stream, revision, id, name, version, recorded_at, core, blobs)
    values (?1, ?2, ?3, ?4, ?5, 1, ?6, ?7, ?8)";
/// SQLite has no number without a sign.
fn hash(stream: &Stream) -> i64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(stream).cast_signed()
}

impl Rows {
    pub(crate) fn open(dir: &Path, index: Index) -> Result<Self> {
        let how = match index {
            Index::Stream => "create unique index of_stream on event (stream, revision)",
            // Of two streams with one hash the rows say which is meant.
            Index::Hash => {
                "create table of_stream (hash integer, revision integer, position integer,
                primary key (hash, revision, position)) without rowid"
            }
            Index::None => "",
        };
        Ok(Self { connection: opened(dir, &format!("{ROWS}{how}"))?, index, position: 0 })
    }
}

impl Shape for Rows {
    fn append(&mut self, batch: &[Registration]) -> Result<()> {
        let transaction = self.connection.transaction()?;
        for Registration { stream, recorded_at, events } in batch {
            for (revision, Event { id, name, core, blobs }) in (1_i64..).zip(events) {
                self.position += 1;
                let row = params![self.position, stream, revision, id, name, recorded_at, core, blobs];
                transaction.prepare_cached(INSERT)?.execute(row)?;
                if self.index == Index::Hash {
                    let hash = hash(stream);
                    if revision == 1 {
                        let mut there = transaction.prepare_cached("select 1 from of_stream where hash = ?1")?;
                        ensure!(!there.exists([hash])?, "two streams have one hash");
                    }
                    let mut insert = transaction.prepare_cached("insert into of_stream values (?1, ?2, ?3)")?;
                    insert.execute([hash, revision, self.position])?;
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn settle(&mut self) -> Result<()> {
        settle(&self.connection)
    }

    fn read_all(&mut self) -> Result<usize> {
        let mut all = self.connection.prepare("select * from event order by position")?;
        let (mut rows, mut count) = (all.query([])?, 0);
        while let Some(row) = rows.next()? {
            let _event = Event { id: row.get(3)?, name: row.get(4)?, core: row.get(7)?, blobs: row.get(8)? };
            count += 1;
        }
        Ok(count)
    }

    fn read_stream(&mut self, stream: &Stream) -> Result<Option<usize>> {
        let connection = &self.connection;
        let (sql, hash) = match self.index {
            Index::Stream => ("select core, blobs from event where stream = ?1 and ?2 = 0 order by revision", 0),
            Index::Hash => (
                "select core, blobs from of_stream join event using (position) where stream = ?1 and hash = ?2
                    order by of_stream.revision",
                hash(stream),
            ),
            Index::None => return Ok(None),
        };
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map(params![stream, hash], |row| {
            Ok((row.get::<_, Vec<u8>>(0)?, row.get::<_, Option<Vec<u8>>>(1)?))
        })?;
        let events = rows.collect::<Result<Vec<_>, _>>()?;
        Ok(Some(events.len()))
    }

    fn detach(&mut self, stream: &Stream) -> Result<()> {
        let found = match self.index {
            Index::Hash => {
                "select position from of_stream join event using (position) where stream = ?1 and
                hash = ?2 and of_stream.revision = 1"
            }
            Index::Stream | Index::None => {
                "select position from event where stream = ?1 and revision = 1 and ?2 is not null"
            }
        };
        let mut statement = self.connection.prepare_cached(found)?;
        let position: i64 = statement.query_row(params![stream, hash(stream)], |row| row.get(0))?;
        let sql = "update event set blobs = null where position = ?1";
        ensure!(self.connection.prepare_cached(sql)?.execute([position])? == 1, "no such event");
        Ok(())
    }
}

/// A row for each append: its events stand behind each other in one value, their ciphertexts in another.
pub(crate) struct Appends {
    connection: Connection,
    position: i64,
}

const APPENDS: &str = "create table append (position integer primary key, stream blob not null,
    revision integer not null, recorded_at integer not null, events blob not null, blobs blob);
    create unique index of_stream on append (stream, revision)";

fn put(bytes: &[u8], to: &mut Vec<u8>) {
    to.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    to.extend(bytes);
}

fn take<'b>(from: &mut &'b [u8]) -> Option<&'b [u8]> {
    let (length, rest) = from.split_first_chunk::<4>()?;
    let (bytes, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *from = rest;
    Some(bytes)
}

/// The events of a row.
fn events(mut packed: &[u8], mut blobs: &[u8]) -> Option<Vec<Event>> {
    let mut events = Vec::with_capacity(2);
    while let Some((id, rest)) = packed.split_first_chunk::<16>() {
        let ([name, _version], rest) = rest.split_first_chunk::<2>()?;
        packed = rest;
        let core = take(&mut packed)?.to_vec();
        events.push(Event { id: *id, name: *name, core, blobs: take(&mut blobs).map(Into::into) });
    }
    Some(events)
}

impl Appends {
    pub(crate) fn open(dir: &Path) -> Result<Self> {
        Ok(Self { connection: opened(dir, APPENDS)?, position: 0 })
    }
}

impl Shape for Appends {
    fn append(&mut self, batch: &[Registration]) -> Result<()> {
        let transaction = self.connection.transaction()?;
        for Registration { stream, recorded_at, events } in batch {
            let (mut packed, mut all_blobs) = (Vec::with_capacity(400), Vec::with_capacity(300));
            for Event { id, name, core, blobs } in events {
                packed.extend(id);
                packed.extend([*name, 1]);
                put(core, &mut packed);
                if let Some(blobs) = blobs {
                    put(blobs, &mut all_blobs);
                }
            }
            self.position += 2;
            let sql = "insert into append values (?1, ?2, 2, ?3, ?4, ?5)";
            let row = params![self.position, stream, recorded_at, packed, all_blobs];
            transaction.prepare_cached(sql)?.execute(row)?;
        }
        transaction.commit()?;
        Ok(())
    }

    fn settle(&mut self) -> Result<()> {
        settle(&self.connection)
    }

    fn read_all(&mut self) -> Result<usize> {
        let mut all = self.connection.prepare("select * from append order by position")?;
        let (mut rows, mut count) = (all.query([])?, 0);
        while let Some(row) = rows.next()? {
            let read = events(row.get_ref(4)?.as_blob()?, row.get_ref(5)?.as_blob_or_null()?.unwrap_or_default());
            count += read.map_or(0, |events| events.len());
        }
        Ok(count)
    }

    fn read_stream(&mut self, stream: &Stream) -> Result<Option<usize>> {
        let sql = "select events, blobs from append where stream = ?1 order by revision";
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = statement.query_row([stream], |row| {
            Ok(events(row.get_ref(0)?.as_blob()?, row.get_ref(1)?.as_blob_or_null()?.unwrap_or_default()))
        });
        Ok(found.optional()?.flatten().map(|events| events.len()))
    }

    fn detach(&mut self, stream: &Stream) -> Result<()> {
        let sql = "update append set blobs = null where stream = ?1";
        ensure!(self.connection.prepare_cached(sql)?.execute([stream])? == 1, "no such append");
        Ok(())
    }
}
