//! Where the wrapped keys lie: one set of statements over two databases. Parameters are numbered in the order in which
//! they appear, which both databases count alike.

use std::path::Path;

use crate::privacy::Error;

mod postgres;
mod sqlite;

pub use postgres::prepare;
pub(super) use postgres::{READS_MAX, Reach, WRITES_MAX};
use sqlite::Sqlite;

/// What stands in a column, or for a parameter. Never a key in the clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    Number(i64),
    Text(String),
    Bytes(Vec<u8>),
}

impl From<i64> for Value {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for Value {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u64> for Value {
    fn from(number: u64) -> Self {
        // Generations, sizes and numbers count from one: none comes near the end.
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<&[u8]> for Value {
    fn from(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.into())
    }
}

impl<const N: usize> From<&[u8; N]> for Value {
    fn from(bytes: &[u8; N]) -> Self {
        Self::Bytes(bytes.to_vec())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Bytes(bytes)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A row that was found.
pub(super) struct Row(Vec<Value>);

impl Row {
    fn odd(column: usize) -> Error {
        Error::Damaged(format!("column {column} of the vault is not what it must be"))
    }

    pub(super) fn into_values(self) -> Vec<Value> {
        self.0
    }

    pub(super) fn number<T: TryFrom<i64>>(&self, column: usize) -> Result<T, Error> {
        match self.0.get(column) {
            Some(Value::Number(number)) => T::try_from(*number).map_err(|_| Self::odd(column)),
            _ => Err(Self::odd(column)),
        }
    }

    pub(super) fn text(&self, column: usize) -> Result<&str, Error> {
        match self.0.get(column) {
            Some(Value::Text(text)) => Ok(text),
            _ => Err(Self::odd(column)),
        }
    }

    pub(super) fn bytes(&self, column: usize) -> Result<&[u8], Error> {
        self.bytes_if_any(column)?.ok_or_else(|| Self::odd(column))
    }

    pub(super) fn array<const N: usize>(&self, column: usize) -> Result<[u8; N], Error> {
        self.bytes(column)?.try_into().map_err(|_| Self::odd(column))
    }

    pub(super) fn bytes_if_any(&self, column: usize) -> Result<Option<&[u8]>, Error> {
        match self.0.get(column) {
            Some(Value::Null) => Ok(None),
            Some(Value::Bytes(bytes)) => Ok(Some(bytes)),
            _ => Err(Self::odd(column)),
        }
    }
}

/// Who may write beside a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// Others may, but nobody replaces the tree meanwhile.
    Shared,
    /// Nobody.
    Alone,
}

/// A connection to the database of a vault.
pub(super) trait Db: Send {
    fn query(&mut self, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, Error>;

    /// The rows a statement finds for each of these sets of parameters.
    fn query_each(&mut self, sql: &'static str, all: &[Vec<Value>]) -> Result<Vec<Vec<Row>>, Error> {
        all.iter().map(|params| self.query(sql, params)).collect()
    }

    fn execute(&mut self, sql: &'static str, params: &[Value]) -> Result<(), Error>;

    /// Executes a statement for each of these sets of parameters.
    fn execute_each(&mut self, sql: &'static str, all: &[Vec<Value>]) -> Result<(), Error>;

    fn begin(&mut self, hold: Hold) -> Result<(), Error>;

    fn commit(&mut self) -> Result<(), Error>;

    /// Returns once all that was read before is kept wherever it must be: where commits wait for a standby, there as well.
    fn keep_what_was_read(&mut self) -> Result<(), Error> {
        Ok(())
    }

    /// Undoes what was begun, if anything was.
    fn roll_back(&mut self);

    /// The database's time, in seconds since 1970.
    fn now(&mut self) -> Result<i64, Error>;

    /// Forgets what it keeps of rows that were replaced, as far as it can. Hygiene only: what it keeps is wrapped under
    /// a root that is gone.
    fn tidy(&mut self) {}
}

impl dyn Db + '_ {
    /// The only row of an answer, if any.
    pub(super) fn row(&mut self, sql: &'static str, params: &[Value]) -> Result<Option<Row>, Error> {
        Ok(self.query(sql, params)?.into_iter().next())
    }

    /// Does all of it, or nothing.
    pub(super) fn transaction<T>(
        &mut self,
        hold: Hold,
        work: impl FnOnce(&mut dyn Db) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.begin(hold)?;
        let done = work(self).and_then(|done| self.commit().map(|()| done));
        if done.is_err() {
            self.roll_back();
        }
        done
    }
}

/// Opens a connection to a vault's file, making it if it does not exist.
pub(super) fn file(path: &Path) -> Result<Box<dyn Db>, Error> {
    Ok(Box::new(Sqlite::open(path)?))
}
