//! The vault's tables in a file.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};

use super::{Db, Hold, Row, Value};
use crate::privacy::Error;

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unavailable(match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => "the disk is full".into(),
            _ => error.to_string(),
        })
    }
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Number(number) => ValueRef::Integer(*number),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn owned(value: ValueRef<'_>, column: usize) -> Result<Value, Error> {
    Ok(match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(number) => Value::Number(number),
        ValueRef::Text(text) => Value::Text(std::str::from_utf8(text).map_err(|_| Row::odd(column))?.into()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.into()),
        ValueRef::Real(_) => return Err(Row::odd(column)),
    })
}

pub(super) struct Sqlite(Connection);

impl Sqlite {
    pub(super) fn open(path: &Path) -> Result<Self, Error> {
        let connection = Connection::open(path)?;
        // A prepared statement stays as it was planned, whatever its parameters are.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
        connection.execute_batch(
            "pragma journal_mode = wal; pragma synchronous = full; pragma secure_delete = on;
             pragma temp_store = memory; pragma busy_timeout = 5000; pragma cache_size = -16384;",
        )?;
        let tables: u32 = connection.query_row("select count(*) from sqlite_master", [], |row| row.get(0))?;
        if tables == 0 {
            connection.execute_batch(&format!("begin immediate; {}; commit;", include_str!("sqlite.sql")))?;
        }
        Ok(Self(connection))
    }
}

impl Db for Sqlite {
    fn query(&mut self, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, Error> {
        let mut statement = self.0.prepare_cached(sql)?;
        let columns = statement.column_count();
        let mut found = statement.query(params_from_iter(params))?;
        let mut rows = Vec::new();
        while let Some(row) = found.next()? {
            let value = |column| owned(row.get_ref(column)?, column);
            rows.push(Row((0..columns).map(value).collect::<Result<_, _>>()?));
        }
        Ok(rows)
    }

    fn execute(&mut self, sql: &'static str, params: &[Value]) -> Result<(), Error> {
        self.0.prepare_cached(sql)?.execute(params_from_iter(params))?;
        Ok(())
    }

    fn execute_each(&mut self, sql: &'static str, all: &[Vec<Value>]) -> Result<(), Error> {
        let mut statement = self.0.prepare_cached(sql)?;
        for params in all {
            statement.execute(params_from_iter(params))?;
        }
        Ok(())
    }

    fn begin(&mut self, _: Hold) -> Result<(), Error> {
        Ok(self.0.execute_batch("begin immediate")?)
    }

    fn commit(&mut self) -> Result<(), Error> {
        Ok(self.0.execute_batch("commit")?)
    }

    fn roll_back(&mut self) {
        if !self.0.is_autocommit()
            && let Err(error) = self.0.execute_batch("rollback")
        {
            tracing::warn!(%error, "a transaction of the vault cannot be undone for now");
        }
    }

    fn now(&mut self) -> Result<i64, Error> {
        Ok(self.0.query_row("select unixepoch()", [], |row| row.get(0))?)
    }

    fn tidy(&mut self) {
        if let Err(error) = self.0.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(())) {
            tracing::debug!(%error, "the vault's write-ahead log was not emptied");
        }
    }
}
