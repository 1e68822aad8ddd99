//! Cursors and rows in a file of the data directory.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::DateTime;
use rollcall_schemas::ids::WebhookId;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use uuid::Uuid;

use super::{Delivery, Error, Progress, State, Store};
use crate::tasks;

// Not flushed at each commit: what a power cut takes back, cursor and rows alike, is sent once more.
const PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA secure_delete = ON;";
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS webhook_cursor (
        webhook BLOB NOT NULL, position INTEGER NOT NULL, PRIMARY KEY (webhook)) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS webhook_delivery (
        webhook BLOB NOT NULL, position INTEGER NOT NULL, subject BLOB NOT NULL, state TEXT NOT NULL,
        attempts INTEGER NOT NULL, next_at INTEGER, status INTEGER, reason TEXT NOT NULL,
        PRIMARY KEY (webhook, position)) WITHOUT ROWID;
    CREATE INDEX IF NOT EXISTS webhook_delivery_state ON webhook_delivery (webhook, state, position);
    PRAGMA user_version = 1;";
const CURSOR: &str = "SELECT position FROM webhook_cursor WHERE webhook = ?1";
const ROWS: &str = "SELECT position, subject, state, attempts, next_at, status, reason FROM webhook_delivery
    WHERE webhook = ?1 AND position > ?2 ORDER BY position LIMIT ?3";
const ROWS_IN_STATE: &str = "SELECT position, subject, state, attempts, next_at, status, reason FROM webhook_delivery
    WHERE webhook = ?1 AND position > ?2 AND state = ?4 ORDER BY position LIMIT ?3";
const COUNT: &str = "SELECT count(*) FROM webhook_delivery WHERE webhook = ?1 AND state = ?2";
const MOVE: &str = "INSERT INTO webhook_cursor (webhook, position) VALUES (?1, ?2)
    ON CONFLICT (webhook) DO UPDATE SET position = max(position, excluded.position)";
const UPSERT: &str = "INSERT OR REPLACE INTO webhook_delivery
    (webhook, position, subject, state, attempts, next_at, status, reason) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const DELETE: &str = "DELETE FROM webhook_delivery WHERE webhook = ?1 AND position = ?2";
const REMOVE_CURSOR: &str = "DELETE FROM webhook_cursor WHERE webhook = ?1";
const REMOVE_ROWS: &str = "DELETE FROM webhook_delivery WHERE webhook = ?1";

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}

/// The file.
#[derive(Clone)]
pub struct Sqlite(Arc<Mutex<Connection>>);

impl Sqlite {
    /// Opens the file, making it if it does not exist.
    ///
    /// # Errors
    /// It cannot be opened or written.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.execute_batch(PRAGMAS)?;
        connection.execute_batch(SCHEMA)?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Runs a task on a thread that may wait for the disk.
    async fn with<T: Send + 'static>(
        &self,
        task: impl FnOnce(&mut Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let connection = self.0.clone();
        // A thread that died while it held the lock left nothing half done: its transaction was rolled back.
        let done = tasks::spawn_blocking(move || task(&mut connection.lock().unwrap_or_else(PoisonError::into_inner)));
        done.await.map_err(|error| Error(error.to_string()))?
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<Delivery> {
    Ok(Delivery {
        position: row.get(0)?,
        subject: Uuid::from_bytes(row.get(1)?),
        // A word that is not known is one of a later version.
        state: row.get::<_, String>(2)?.parse().unwrap_or(State::Dead),
        attempts: row.get(3)?,
        next_at: row.get::<_, Option<i64>>(4)?.and_then(DateTime::from_timestamp_millis),
        status: row.get(5)?,
        reason: row.get(6)?,
    })
}

#[async_trait]
impl Store for Sqlite {
    async fn cursor(&self, webhook: WebhookId) -> Result<Option<u64>, Error> {
        self.with(move |connection| {
            let mut statement = connection.prepare_cached(CURSOR)?;
            Ok(statement.query_row([webhook.0.as_bytes()], |row| row.get(0)).optional()?)
        })
        .await
    }

    async fn rows(
        &self,
        webhook: WebhookId,
        state: Option<State>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Delivery>, Error> {
        self.with(move |connection| {
            let id = webhook.0.as_bytes();
            let rows = match state {
                None => connection.prepare_cached(ROWS)?.query_map(params![id, after, limit], read)?.collect(),
                Some(state) => {
                    let mut statement = connection.prepare_cached(ROWS_IN_STATE)?;
                    statement.query_map(params![id, after, limit, state.as_str()], read)?.collect()
                }
            };
            let rows: rusqlite::Result<Vec<Delivery>> = rows;
            Ok(rows?)
        })
        .await
    }

    async fn count(&self, webhook: WebhookId, state: State) -> Result<u64, Error> {
        self.with(move |connection| {
            let mut statement = connection.prepare_cached(COUNT)?;
            Ok(statement.query_row(params![webhook.0.as_bytes(), state.as_str()], |row| row.get(0))?)
        })
        .await
    }

    async fn save(&self, webhook: WebhookId, progress: &Progress) -> Result<(), Error> {
        let progress = progress.clone();
        self.with(move |connection| {
            let (transaction, id) = (connection.transaction()?, webhook.0.as_bytes());
            transaction.prepare_cached(MOVE)?.execute(params![id, progress.cursor])?;
            let mut upsert = transaction.prepare_cached(UPSERT)?;
            for row in &progress.upserts {
                let next_at = row.next_at.map(|at| at.timestamp_millis());
                let (subject, state) = (row.subject.as_bytes(), row.state.as_str());
                upsert.execute(params![
                    id,
                    row.position,
                    subject,
                    state,
                    row.attempts,
                    next_at,
                    row.status,
                    row.reason
                ])?;
            }
            let mut delete = transaction.prepare_cached(DELETE)?;
            for position in &progress.deletes {
                delete.execute(params![id, position])?;
            }
            drop((upsert, delete));
            Ok(transaction.commit()?)
        })
        .await
    }

    async fn remove(&self, webhook: WebhookId) -> Result<(), Error> {
        self.with(move |connection| {
            let (transaction, id) = (connection.transaction()?, webhook.0.as_bytes());
            transaction.execute(REMOVE_CURSOR, [id])?;
            transaction.execute(REMOVE_ROWS, [id])?;
            Ok(transaction.commit()?)
        })
        .await
    }
}
