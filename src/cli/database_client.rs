//! A database server that is asked one thing after the other, each with a deadline: a server that hangs must not keep whoever
//! wants to know what is wrong with it.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::{ToSql, Type};

use crate::database::{Database, Error};
use crate::tasks::Runtime;

/// How long one answer is waited for.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// A connection.
pub(super) struct Client {
    client: tokio_postgres::Client,
    // What drives the connection.
    runtime: Runtime,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// The server does not answer in time, or refuses.
    pub(super) fn connect(database: &Database) -> Result<Self, Error> {
        let runtime = Runtime::start(1).map_err(|error| Error::Refused(format!("it cannot be waited for: {error}")))?;
        Ok(Self { client: runtime.block_on(database.connect(None))?, runtime })
    }

    /// The one row of a statement.
    ///
    /// # Errors
    /// The server does not answer in time, or not with one row.
    pub(super) fn query_typed_one(&mut self, sql: &str, params: &[(&(dyn ToSql + Sync), Type)]) -> Result<Row, Error> {
        self.answer(self.client.query_typed_one(sql, params))
    }

    /// The rows of a statement.
    ///
    /// # Errors
    /// The server does not answer in time.
    pub(super) fn query_typed(&mut self, sql: &str) -> Result<Vec<Row>, Error> {
        self.answer(self.client.query_typed(sql, &[]))
    }

    fn answer<T>(&self, asked: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Error> {
        let answered = self.runtime.block_on(async { tokio::time::timeout(ANSWER_MAX, asked).await });
        let seconds = ANSWER_MAX.as_secs();
        let silent = |_| Error::Refused(format!("the server takes connections and does not answer within {seconds} s"));
        Ok(answered.map_err(silent)??)
    }
}
