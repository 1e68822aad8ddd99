//! Opening the store; creating and dropping read models.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rollcall_schemas::ids::EventId;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};
use uuid::Uuid;

use super::readers::Readers;
use super::unflushed::{self, Mark};
use super::{Keeping, Sqlite, Writer, parking, skipped};
use crate::Projection;
use crate::store::{Checkpoint, Error};

// A checkpoint of the WAL flushes nothing either, so it costs the projector no more than the copying of its pages: small ones
// (16 MB, a few milliseconds) hold up nobody. The kernel writes the pages back when it has time, without anybody waiting.
// The cache has 16 MB and not more: at the end of a transaction that balanced a B-tree, `SQLite` walks the hash table of all cached
// pages, which took a third of the projector's time with 64 MB and a million users.
const pragmas: &str = "PRAGMA journal_mode = WAL; PRAGMA cache_size = -16384; PRAGMA mmap_size = 1073741824;
    PRAGMA temp_store = MEMORY; PRAGMA wal_autocheckpoint = 4096;";
const flush_nothing: &str = "PRAGMA synchronous = OFF";
// For a system that does not tell one boot from the next: a checkpoint is flushed.
const flush_checkpoints: &str = "PRAGMA synchronous = NORMAL";
// While the projector writes, a reader does not map the file into memory: it would give up its mapping at the first read after
// each commit, and a page fault for every page that it reads then costs more than to copy it.
const reader_pragmas: &str = "PRAGMA query_only = ON; PRAGMA cache_size = -8192; PRAGMA mmap_size = 0;";
const store_schema: &str = "
    CREATE TABLE IF NOT EXISTS store_checkpoint (
        model TEXT NOT NULL, version BIGINT NOT NULL, position BIGINT NOT NULL, event BLOB, tables TEXT NOT NULL,
        PRIMARY KEY (model)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS store_parked (
        model TEXT NOT NULL, stream TEXT NOT NULL, position BIGINT NOT NULL, event BLOB NOT NULL, reason TEXT,
        first_at BIGINT NOT NULL, PRIMARY KEY (model, stream, position)) WITHOUT ROWID;";
const stored_checkpoint: &str = "SELECT version, position, event FROM store_checkpoint WHERE model = $1";
pub(super) const stored_tables: &str = "SELECT tables FROM store_checkpoint WHERE model = $1";
const begin_checkpoint: &str =
    "INSERT INTO store_checkpoint (model, version, position, event, tables) VALUES ($1, $2, 0, NULL, $3)";
const tables_with: &str = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name LIKE '%\\_\\__' ESCAPE '\\'";
const drop_checkpoint: &str = "DELETE FROM store_checkpoint WHERE model = $1";
const drop_parked: &str = "DELETE FROM store_parked WHERE model = $1";

/// What the names of tables end with that a read model is brought into beside the live ones. There are two, because an index
/// keeps its name when its table is renamed: the indexes of a live table may have one of them.
pub(super) const SUFFIXES: [&str; 2] = ["__a", "__b"];
/// How long the end waits for another process that reads the file.
const FLUSH_WAITS: std::time::Duration = std::time::Duration::from_millis(500);
/// More than the statements of all read models together, so that none is ever prepared twice.
const STATEMENTS_CACHED: usize = 512;

impl Sqlite {
    /// Opens the store with these read models, and tells how far each is.
    pub(in crate::store) fn open(
        path: &Path,
        models: &[&dyn Projection],
        keeping: Keeping,
    ) -> Result<(Self, Vec<Checkpoint>), Error> {
        let lasts = keeping == Keeping::Lasting;
        if lasts {
            unflushed::remove_if_torn(path).map_err(unusable)?;
        }
        let mut connection = Connection::open(path)?;
        plan_once(&connection)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
        connection.execute_batch(pragmas)?;
        let mark = if lasts { Mark::set(path).map_err(unusable)? } else { None };
        let flushing = if lasts && mark.is_none() { flush_checkpoints } else { flush_nothing };
        connection.execute_batch(flushing)?;
        connection.execute_batch(store_schema)?;
        drop_all_beside(&connection)?;
        let skipped = lasts.then(|| skipped::path_of(path));
        match &skipped {
            Some(file) => skipped::reconcile(&mut connection, file)?,
            None => connection.execute_batch(skipped::schema)?,
        }
        let mut checkpoints = Vec::with_capacity(models.len());
        for model in models {
            let stored = stored_version(&connection, *model)?;
            checkpoints.push(match stored {
                Some(checkpoint) if checkpoint.version == model.version() => checkpoint,
                _ => create(&mut connection, *model)?,
            });
        }
        let parked = parking::load(&connection)?;
        let (writer, is_discarded) = (Mutex::new(Writer { connection, parked, skipped }), AtomicBool::new(false));
        Ok((Self { path: path.to_owned(), writer, readers: Readers::default(), mark, is_discarded }, checkpoints))
    }

    pub(in crate::store) fn discard(&self) {
        self.is_discarded.store(true, Ordering::Relaxed);
    }

    pub(in crate::store) fn create_model(&self, model: &dyn Projection) -> Result<Checkpoint, Error> {
        let mut writer = self.writer();
        let checkpoint = create(&mut writer.connection, model)?;
        writer.parked.forget(model.name());
        Ok(checkpoint)
    }

    pub(in crate::store) fn drop_model(&self, model: &str) -> Result<(), Error> {
        let mut writer = self.writer();
        let transaction = writer.connection.transaction()?;
        drop_all(&transaction, model)?;
        transaction.commit()?;
        writer.parked.forget(model);
        Ok(())
    }

    pub(super) fn open_reader(&self) -> Result<Connection, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        plan_once(&connection)?;
        connection.busy_timeout(std::time::Duration::from_secs(1))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
        connection.execute_batch(reader_pragmas)?;
        Ok(connection)
    }
}

impl Drop for Sqlite {
    /// Flushes the store, so that it is trusted from here on whatever happens to the machine.
    fn drop(&mut self) {
        let Some(mark) = self.mark.take().filter(|_| !*self.is_discarded.get_mut()) else { return };
        self.readers = Readers::default();
        let writer = self.writer.get_mut().unwrap_or_else(PoisonError::into_inner);
        match flush(&writer.connection) {
            Ok(true) => mark.clear(),
            // The next process goes on where this one ended, and flushes when it ends.
            Ok(false) => tracing::debug!("the read store is in use by another process and was not flushed"),
            Err(error) => tracing::warn!(%error, "the read store was not flushed"),
        }
    }
}

/// Flushes whatever was ever written; `false`: somebody else uses the file.
fn flush(connection: &Connection) -> Result<bool, rusqlite::Error> {
    // A checkpoint flushes the file only where it has a page to write, so a page is written first.
    connection.busy_timeout(FLUSH_WAITS)?;
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA user_version = 1;")?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| Ok(row.get::<_, i64>(0)? == 0))
}

fn unusable(error: std::io::Error) -> Error {
    Error::Unavailable(error.to_string())
}

/// Keeps a prepared statement as it was planned. Without this, `SQLite` plans one anew whenever a parameter changes that
/// might have led to another plan, such as that of a `LIMIT`.
fn plan_once(connection: &Connection) -> Result<(), Error> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

fn stored_version(connection: &Connection, model: &dyn Projection) -> Result<Option<Checkpoint>, Error> {
    let found = connection
        .query_row(stored_checkpoint, [model.name()], |row| {
            Ok(Checkpoint {
                model: model.name(),
                version: row.get(0)?,
                position: row.get::<_, i64>(1)?.unsigned_abs(),
                event: row.get::<_, Option<[u8; 16]>>(2)?.map(|id| EventId(Uuid::from_bytes(id))),
            })
        })
        .optional()?;
    Ok(found)
}

fn create(connection: &mut Connection, model: &dyn Projection) -> Result<Checkpoint, Error> {
    let transaction = connection.transaction()?;
    drop_all(&transaction, model.name())?;
    transaction.execute_batch(&for_sqlite(model.schema()))?;
    transaction.execute(begin_checkpoint, params![model.name(), model.version(), model.tables().join(",")])?;
    transaction.commit()?;
    Ok(Checkpoint { model: model.name(), version: model.version(), position: 0, event: None })
}

/// Drops the tables that were stored with the checkpoint, which may be those of another version.
fn drop_all(connection: &Connection, model: &str) -> Result<(), Error> {
    let tables: Option<String> = connection.query_row(stored_tables, [model], |row| row.get(0)).optional()?;
    for table in tables.iter().flat_map(|tables| tables.split(',')) {
        connection.execute_batch(&format!("DROP TABLE IF EXISTS {table}"))?;
    }
    connection.execute(drop_checkpoint, [model])?;
    connection.execute(drop_parked, [model])?;
    Ok(())
}

/// Drops what was left beside by a process that ended.
pub(super) fn drop_all_beside(connection: &Connection) -> Result<(), Error> {
    let names = connection
        .prepare(tables_with)?
        .query_map([], |row| row.get::<_, String>(0))?
        .collect::<Result<Vec<_>, _>>()?;
    for name in names.iter().filter(|name| SUFFIXES.iter().any(|suffix| name.ends_with(suffix))) {
        connection.execute_batch(&format!("DROP TABLE {name}"))?;
    }
    Ok(())
}

/// What `SQLite` is told besides: a narrow table is kept in the order of its primary key.
pub(super) fn for_sqlite(schema: &str) -> String {
    schema.replace("/*clustered*/", "WITHOUT ROWID")
}
