//! How the tables of connections and subscriptions are reached in `PostgreSQL`. Every statement has an end, and a connection
//! that was left in the middle of one is not used again.

use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use futures_util::FutureExt as _;
use tokio::time::timeout;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use crate::database::{self, Database, Tables};

refinery::embed_migrations!("src/live/migrations");

const TABLES: Tables = Tables {
    what: "connections",
    history: "rollcall_live_history",
    migrations: migrations::runner,
    command: "prepare",
};

/// Why the tables cannot be used now.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Error(pub(super) String);

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        Self(database::describe(&error))
    }
}

impl From<database::Error> for Error {
    fn from(error: database::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<deadpool_postgres::PoolError> for Error {
    fn from(error: deadpool_postgres::PoolError) -> Self {
        match error {
            deadpool_postgres::PoolError::Backend(error) => error.into(),
            error => Self(format!("no connection to the database is free: {error}")),
        }
    }
}

/// What a statement is given.
pub(super) type Params<'p> = &'p [(&'p (dyn ToSql + Sync), Type)];

/// Makes the tables where they are missing, which needs the right to make them.
///
/// # Errors
/// The database is unavailable, the role may not make tables, or they are of a newer version.
pub async fn prepare(database: &Database) -> Result<(), database::Error> {
    TABLES.prepare(&mut database.connect(None).await?).await
}

/// A pool of connections, and how long an answer is waited for.
pub(super) struct Reach {
    pool: Pool,
    /// The wait for a connection and the answer may each take so long.
    answer_max: Duration,
}

/// A connection that goes back to its pool only after its statement was answered.
pub(super) struct Borrowed(Option<Object>);

impl Borrowed {
    pub(super) fn client(&mut self) -> Result<&mut Client, Error> {
        self.0.as_mut().map(|object| &mut ***object).ok_or_else(|| Error("the connection is gone".into()))
    }

    pub(super) fn give_back(mut self) {
        self.0 = None;
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(object) = self.0.take() {
            drop(Object::take(object));
        }
    }
}

fn silent<T>(_: T) -> Error {
    Error("it does not answer in time".into())
}

impl Reach {
    /// Opens a pool of at most `size` connections, on the runtime this is called on, and makes the tables where they are
    /// missing.
    pub(super) async fn open(database: &Database, size: usize, answer_max: Duration) -> Result<Self, database::Error> {
        prepare(database).await?;
        Ok(Self { pool: database.pool(size)?, answer_max })
    }

    pub(super) async fn borrow(&self) -> Result<Borrowed, Error> {
        Ok(Borrowed(Some(timeout(self.answer_max, self.pool.get()).await.map_err(silent)??)))
    }

    /// An answer, if it comes in time.
    // No `async fn`: that would have room for `answer` twice.
    pub(super) fn in_time<T, E: Into<Error>>(
        &self,
        answer: impl Future<Output = Result<T, E>>,
    ) -> impl Future<Output = Result<T, Error>> {
        timeout(self.answer_max, answer).map(|answered| answered.map_err(silent)?.map_err(Into::into))
    }

    pub(super) async fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, Error> {
        let mut borrowed = self.borrow().await?;
        let rows = self.in_time(borrowed.client()?.query_typed(sql, params)).await?;
        borrowed.give_back();
        Ok(rows)
    }

    pub(super) async fn number(&self, sql: &str, params: Params<'_>) -> Result<i64, Error> {
        let rows = self.query(sql, params).await?;
        Ok(rows.first().ok_or_else(|| Error("a number is missing".into()))?.try_get(0)?)
    }

    pub(super) async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64, Error> {
        let mut borrowed = self.borrow().await?;
        let done = self.in_time(borrowed.client()?.execute_typed(sql, params)).await?;
        borrowed.give_back();
        Ok(done)
    }
}
