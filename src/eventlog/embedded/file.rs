//! The log's file: how it is opened, and the connections that read it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use crate::eventlog::Error;

/// "RLLC": tells a log from any other `SQLite` file.
pub(super) const APPLICATION_ID: i32 = 0x524c_4c43;
pub(super) const FORMAT: i32 = 2;
/// The format before, which is only ever rewritten.
pub(super) const EARLIER: i32 = 1;

pub(super) const SCHEMA: &str = include_str!("schema.sql");
/// Moves what the write-ahead log holds to the database, flushed; whether a reader was in the way.
const CHECKPOINT: &str = "pragma wal_checkpoint(truncate)";

type Prepare = Box<dyn Fn(&Connection) -> rusqlite::Result<()> + Send>;

/// Opens the connection that writes, at the start and again after a failure.
pub(super) struct LogFile {
    path: PathBuf,
    prepare: Prepare,
}

impl LogFile {
    pub(super) fn new(path: &Path, prepare: impl Fn(&Connection) -> rusqlite::Result<()> + Send + 'static) -> Self {
        Self { path: path.into(), prepare: Box::new(prepare) }
    }

    /// Opens the file, making it if it does not exist. `SQLite` makes no checkpoint on this connection by itself.
    pub(super) fn open(&self) -> Result<Connection, Error> {
        self.connect(OpenFlags::default())
    }

    /// Opens a file that must be there, after every connection to it was closed: `SQLite` reads the write-ahead log anew
    /// then, and what it finds is written once more and flushed, because what an earlier flush failed to write the
    /// system may have forgotten since.
    pub(super) fn reopen(&self) -> Result<Connection, Error> {
        let connection = self.connect(OpenFlags::default() & !OpenFlags::SQLITE_OPEN_CREATE)?;
        let busy: bool = connection.query_row(CHECKPOINT, [], |row| row.get(0))?;
        if busy {
            return Err(Error::Unavailable("the log's file is in use elsewhere and cannot be flushed".into()));
        }
        Ok(connection)
    }

    fn connect(&self, flags: OpenFlags) -> Result<Connection, Error> {
        let connection = Connection::open_with_flags(&self.path, flags)?;
        plan_once(&connection)?;
        connection.execute_batch(
            "pragma page_size = 8192; pragma journal_mode = wal; pragma synchronous = full;
             pragma cache_size = -16384; pragma temp_store = memory; pragma wal_autocheckpoint = 0;
             pragma journal_size_limit = 67108864; pragma busy_timeout = 5000;",
        )?;
        check_format(&connection, &self.path)?;
        (self.prepare)(&connection)?;
        Ok(connection)
    }
}

/// Closes a connection whose last flush failed, and leaves the write-ahead log as it is for whoever opens it next.
pub(super) fn abandon(connection: Connection) {
    if let Err(error) = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
        tracing::debug!(%error, "a connection to the log is closed with a checkpoint");
    }
}

/// Empties the write-ahead log. What is in it is durable; this only makes the next start faster.
pub(super) fn tidy(connection: &Connection) {
    if let Err(error) = connection.query_row(CHECKPOINT, [], |_| Ok(())) {
        tracing::debug!(%error, "the write-ahead log was not emptied");
    }
}

/// Keeps a prepared statement as it was planned. Without this, `SQLite` plans one anew whenever a parameter changes that
/// might have led to another plan: for every revision that is looked up.
fn plan_once(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}

/// How many tables a file has, whose it is, and its format.
pub(super) fn format(connection: &Connection) -> rusqlite::Result<(u32, i32, i32)> {
    let pragma = |name: &str| connection.query_row(&format!("pragma {name}"), [], |row| row.get::<_, i32>(0));
    let tables: u32 = connection.query_row("select count(*) from sqlite_master", [], |row| row.get(0))?;
    Ok((tables, pragma("application_id")?, pragma("user_version")?))
}

fn check_format(connection: &Connection, path: &Path) -> Result<(), Error> {
    match format(connection)? {
        (0, 0, 0) => {
            connection.execute_batch(&format!(
                "begin immediate; {SCHEMA}; pragma application_id = {APPLICATION_ID}; pragma user_version = {FORMAT}; commit;"
            ))?;
            Ok(())
        }
        (_, APPLICATION_ID, FORMAT) => Ok(()),
        (_, APPLICATION_ID, EARLIER) => Err(Error::Unavailable(format!(
            "{} is a log of format {EARLIER}, and this version uses format {FORMAT}; rewrite it with `rollcall copy --to \
             embedded` while nobody uses it",
            path.display()
        ))),
        (_, APPLICATION_ID, newer) => Err(Error::Unavailable(format!(
            "{} is a log of format {newer}, and this version reads format {FORMAT}; use the version that wrote it",
            path.display()
        ))),
        _ => Err(Error::Unavailable(format!("{} is not an event log", path.display()))),
    }
}

#[derive(Default)]
struct Pool {
    idle: Vec<Connection>,
    in_use: usize,
    is_closed: bool,
    /// Open as long as connections are, and closed after them: whoever closes any handle of a file gives up every lock that the
    /// process has on it.
    data: Option<Arc<File>>,
}

/// Connections that read, opened when they are needed.
pub(super) struct Readers {
    path: PathBuf,
    pool: Mutex<Pool>,
    returned: Condvar,
}

impl Readers {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.into(), pool: Mutex::default(), returned: Condvar::new() }
    }

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads on a connection of its own.
    ///
    /// # Errors
    /// The file cannot be read, or is closed.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let mut lent = self.lend()?;
        let connection = match lent.connection.take() {
            Some(connection) => connection,
            None => self.open()?,
        };
        let result = read(&connection)?;
        lent.connection = Some(connection);
        Ok(result)
    }

    /// The right to a connection; [`Readers::close`] waits for it to be given back.
    pub(super) fn lend(&self) -> Result<Lent<'_>, Error> {
        let mut pool = self.pool();
        if pool.is_closed {
            return Err(Error::Unavailable("its file is being opened anew after a failure of the disk".into()));
        }
        pool.in_use += 1;
        Ok(Lent { readers: self, connection: pool.idle.pop() })
    }

    /// The database itself, to be flushed by whoever was lent a connection.
    ///
    /// # Errors
    /// It cannot be opened.
    pub(super) fn data(&self) -> Result<Arc<File>, Error> {
        let mut pool = self.pool();
        if let Some(data) = &pool.data {
            return Ok(data.clone());
        }
        let opened = File::open(&self.path);
        let opened = opened.map_err(|error| Error::Unavailable(format!("its file cannot be opened: {error}")))?;
        Ok(pool.data.insert(Arc::new(opened)).clone())
    }

    fn open(&self) -> Result<Connection, Error> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        plan_once(&connection)?;
        // The file is not mapped into memory: a reader gives up its mapping at the first read after each commit of the
        // writer, and a page fault for every page that it reads then costs more than to copy it.
        connection.execute_batch("pragma cache_size = -8192; pragma mmap_size = 0; pragma busy_timeout = 5000;")?;
        Ok(connection)
    }

    /// Closes every connection, and lends none before [`Readers::resume`]. Waits for reads that are under way, which are
    /// short.
    pub(super) fn close(&self) {
        let mut pool = self.pool();
        pool.is_closed = true;
        pool.idle.clear();
        while pool.in_use > 0 {
            pool = self.returned.wait(pool).unwrap_or_else(PoisonError::into_inner);
        }
        // Another file may be in its place afterwards.
        pool.data = None;
    }

    pub(super) fn resume(&self) {
        self.pool().is_closed = false;
    }
}

/// A connection, or the right to open one, that is returned when this is dropped.
pub(super) struct Lent<'r> {
    readers: &'r Readers,
    connection: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        let mut pool = self.readers.pool();
        pool.in_use -= 1;
        // Where the file is being closed, the connection is too, before anybody is told.
        let returned = self.connection.take();
        if pool.is_closed {
            drop(returned)
        } else {
            pool.idle.extend(returned)
        }
        self.readers.returned.notify_all();
    }
}
