//! One row of an answer, without the driver's types.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use rusqlite::types::ValueRef;
use serde::de::DeserializeOwned;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::Error;

/// One row of an answer; columns count from 0.
pub struct Row<'r, 's>(pub(super) Source<'r, 's>);

/// Which driver a row came from.
pub(super) enum Source<'r, 's> {
    Sqlite(&'r rusqlite::Row<'s>),
    Postgres(&'r tokio_postgres::Row),
}

/// One value of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cell<'c> {
    Null,
    Int(i64),
    Text(&'c str),
    Bytes(&'c [u8]),
}

/// A value of `SQLite`; `None`: a type that no table has.
pub(super) fn cell(value: ValueRef<'_>) -> Option<Cell<'_>> {
    match value {
        ValueRef::Null => Some(Cell::Null),
        ValueRef::Integer(number) => Some(Cell::Int(number)),
        ValueRef::Text(text) => std::str::from_utf8(text).ok().map(Cell::Text),
        ValueRef::Blob(bytes) => Some(Cell::Bytes(bytes)),
        ValueRef::Real(_) => None,
    }
}

/// A value of `PostgreSQL`; `None`: a type that no table has.
pub(super) fn postgres_cell(row: &tokio_postgres::Row, column: usize) -> Option<Cell<'_>> {
    let number = |number: Option<i64>| number.map_or(Cell::Null, Cell::Int);
    match *row.columns().get(column)?.type_() {
        Type::INT8 => row.try_get(column).ok().map(number),
        Type::INT4 => row.try_get::<_, Option<i32>>(column).ok().map(|found| number(found.map(i64::from))),
        Type::TEXT => row.try_get::<_, Option<&str>>(column).ok().map(|found| found.map_or(Cell::Null, Cell::Text)),
        Type::BYTEA => row.try_get::<_, Option<&[u8]>>(column).ok().map(|found| found.map_or(Cell::Null, Cell::Bytes)),
        _ => None,
    }
}

impl Row<'_, '_> {
    /// A number.
    ///
    /// # Errors
    /// The column is missing or of another type; so for each reader below.
    pub fn int(&self, column: usize) -> Result<i64, Error> {
        self.optional_int(column)?.ok_or(Error::Column(column))
    }

    /// A number that may be NULL.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn optional_int(&self, column: usize) -> Result<Option<i64>, Error> {
        match self.value(column)? {
            Cell::Null => Ok(None),
            Cell::Int(number) => Ok(Some(number)),
            _ => Err(Error::Column(column)),
        }
    }

    /// A number of one of the unsigned or smaller types.
    ///
    /// # Errors
    /// As [`Row::int`], or out of range.
    pub fn number<T: TryFrom<i64>>(&self, column: usize) -> Result<T, Error> {
        T::try_from(self.int(column)?).map_err(|_| Error::Column(column))
    }

    /// Such a number that may be NULL.
    ///
    /// # Errors
    /// As [`Row::number`].
    pub fn optional_number<T: TryFrom<i64>>(&self, column: usize) -> Result<Option<T>, Error> {
        self.optional_int(column)?.map(|number| T::try_from(number).map_err(|_| Error::Column(column))).transpose()
    }

    /// A flag: 0 or 1.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn flag(&self, column: usize) -> Result<bool, Error> {
        Ok(self.int(column)? != 0)
    }

    /// The value of an enumeration that is written as a word.
    ///
    /// # Errors
    /// As [`Row::int`], or the word is unknown.
    pub fn word<T: FromStr>(&self, column: usize) -> Result<T, Error> {
        self.text(column)?.parse().map_err(|_| Error::Column(column))
    }

    /// Such a value that may be NULL.
    ///
    /// # Errors
    /// As [`Row::word`].
    pub fn optional_word<T: FromStr>(&self, column: usize) -> Result<Option<T>, Error> {
        let word = self.optional_text(column)?;
        word.map(|word| word.parse().map_err(|_| Error::Column(column))).transpose()
    }

    /// An instant.
    ///
    /// # Errors
    /// As [`Row::int`], or out of range.
    pub fn instant(&self, column: usize) -> Result<DateTime<Utc>, Error> {
        self.optional_instant(column)?.ok_or(Error::Column(column))
    }

    /// An instant that may be NULL.
    ///
    /// # Errors
    /// As [`Row::instant`].
    pub fn optional_instant(&self, column: usize) -> Result<Option<DateTime<Utc>>, Error> {
        let instant = |ms| DateTime::from_timestamp_millis(ms).ok_or(Error::Column(column));
        self.optional_int(column)?.map(instant).transpose()
    }

    /// A text.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn text(&self, column: usize) -> Result<&str, Error> {
        self.optional_text(column)?.ok_or(Error::Column(column))
    }

    /// A value that is written as JSON in a text.
    ///
    /// # Errors
    /// As [`Row::int`], or it does not read as `T`.
    pub fn json<T: DeserializeOwned>(&self, column: usize) -> Result<T, Error> {
        serde_json::from_slice(self.text(column)?.as_bytes()).map_err(|_| Error::Column(column))
    }

    /// A text that may be NULL.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn optional_text(&self, column: usize) -> Result<Option<&str>, Error> {
        match self.value(column)? {
            Cell::Null => Ok(None),
            Cell::Text(text) => Ok(Some(text)),
            _ => Err(Error::Column(column)),
        }
    }

    /// A text that has a meaning of its own, such as an app key.
    ///
    /// # Errors
    /// As [`Row::int`], or it does not read as `T`.
    pub fn parsed<T: std::str::FromStr>(&self, column: usize) -> Result<T, Error> {
        self.text(column)?.parse().map_err(|_| Error::Column(column))
    }

    /// Bytes, usually a sealed value.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn bytes(&self, column: usize) -> Result<Vec<u8>, Error> {
        self.optional_bytes(column)?.ok_or(Error::Column(column))
    }

    /// Bytes that may be NULL.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn optional_bytes(&self, column: usize) -> Result<Option<Vec<u8>>, Error> {
        match self.value(column)? {
            Cell::Null => Ok(None),
            Cell::Bytes(bytes) => Ok(Some(bytes.to_vec())),
            _ => Err(Error::Column(column)),
        }
    }

    /// A reference: 16 bytes.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn id(&self, column: usize) -> Result<Uuid, Error> {
        self.optional_id(column)?.ok_or(Error::Column(column))
    }

    /// A reference that may be NULL.
    ///
    /// # Errors
    /// As [`Row::int`].
    pub fn optional_id(&self, column: usize) -> Result<Option<Uuid>, Error> {
        match self.value(column)? {
            Cell::Null => Ok(None),
            Cell::Bytes(bytes) => Uuid::from_slice(bytes).map(Some).map_err(|_| Error::Column(column)),
            _ => Err(Error::Column(column)),
        }
    }

    fn value(&self, column: usize) -> Result<Cell<'_>, Error> {
        let found = match &self.0 {
            Source::Sqlite(row) => row.get_ref(column).ok().and_then(cell),
            Source::Postgres(row) => postgres_cell(row, column),
        };
        found.ok_or(Error::Column(column))
    }
}
