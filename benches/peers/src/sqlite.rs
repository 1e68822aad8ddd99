//! A new folder for each that keeps its events in a file of SQLite, removed afterwards.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tempfile::TempDir;

use crate::measure::{Store, median};
use crate::place::LONE_COMMITS;

/// How long whoever waits for the one writer of a file tries.
const BUSY: Duration = Duration::from_secs(30);

/// What a connection does not lose when the power fails: `FULL`, or `EXTRA`.
const SYNCHRONOUS_MIN: i64 = 2;

/// A folder with one file of events.
pub(crate) struct Folder {
    directory: TempDir,
    /// Connections in a pool.
    pool: u32,
}

/// Refuses a folder in memory: there every commit is as fast as it is lost.
pub(crate) fn refuse_memory(folder: &Path) -> Result<()> {
    if statfs(folder)?.filesystem_type() == TMPFS_MAGIC {
        bail!("{} is in memory: name a folder on the disk that matters with TMPDIR", folder.display());
    }
    Ok(())
}

/// Sets and checks what a durable connection of `rusqlite` needs.
pub(crate) fn durable(file: &Path) -> Result<rusqlite::Connection> {
    let connection = rusqlite::Connection::open(file)?;
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")?;
    refuse_unsynced(connection.query_row("PRAGMA synchronous", [], |row| row.get(0))?)?;
    Ok(connection)
}

fn refuse_unsynced(synchronous: i64) -> Result<()> {
    if synchronous < SYNCHRONOUS_MIN {
        bail!("synchronous is {synchronous}: what is acknowledged would not outlive a power failure");
    }
    Ok(())
}

impl Folder {
    pub(crate) fn new(pool: u32) -> Result<Self> {
        Ok(Self { directory: tempfile::Builder::new().prefix("rollcall-peers-").tempdir()?, pool })
    }

    /// Where the events are.
    pub(crate) fn file(&self) -> PathBuf {
        self.directory.path().join("events.db")
    }

    /// The pool that every library asks for: write-ahead log as they all recommend, and flushed at every commit, which they
    /// leave out.
    pub(crate) async fn pool(&self) -> Result<SqlitePool> {
        let options = SqliteConnectOptions::new()
            .filename(self.file())
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(BUSY);
        let pool = SqlitePoolOptions::new().max_connections(self.pool).connect_with(options).await?;
        refuse_unsynced(sqlx::query_scalar("PRAGMA synchronous").fetch_one(&pool).await?)?;
        Ok(pool)
    }
}

/// How long one insert takes into a file of its own, flushed.
pub(crate) fn lone_commit(folder: &Path) -> Result<Duration> {
    let connection = durable(&folder.join("lone-commit.db"))?;
    connection.execute_batch("CREATE TABLE IF NOT EXISTS lone_commit (id integer)")?;
    let mut insert = connection.prepare("INSERT INTO lone_commit VALUES (1)")?;
    let mut waits = Vec::new();
    for _ in 0..LONE_COMMITS {
        let began = Instant::now();
        insert.execute([])?;
        waits.push(began.elapsed());
    }
    Ok(median(waits))
}

impl Store for Folder {
    async fn lone_commit(&self) -> Result<Duration> {
        lone_commit(self.directory.path())
    }

    /// Nobody asks SQLite here what a statistic would change, and an `ANALYZE` would hold up its one writer.
    async fn analyze(&self) -> Result<()> {
        Ok(())
    }

    async fn count(&self, table: &str) -> Result<u64> {
        let count: i64 =
            durable(&self.file())?.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?;
        Ok(u64::try_from(count)?)
    }

    fn server_cpu(&self) -> Result<Option<Duration>> {
        Ok(None)
    }
}
