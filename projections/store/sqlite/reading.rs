//! Running queries on read-only connections.

use rusqlite::{Connection, params_from_iter};

use super::Sqlite;
use crate::store::row::Source;
use crate::store::{Error, Row, Sets, TakeRow, TakeRowOf};
use crate::{Query, Value};

impl Sqlite {
    pub(in crate::store) fn each_row(&self, query: Query, params: &[Value], take: TakeRow<'_>) -> Result<(), Error> {
        self.asking(|connection| {
            let mut statement = connection.prepare_cached(query.text)?;
            let mut rows = statement.query(params_from_iter(params))?;
            while let Some(row) = rows.next()? {
                if take(&Row(Source::Sqlite(row)))?.is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    pub(in crate::store) fn each_row_of_each(
        &self,
        query: Query,
        (params, of_each): Sets<'_>,
        take: TakeRowOf<'_>,
    ) -> Result<(), Error> {
        self.asking(|connection| {
            // One that is held already is the same for all of them.
            let _snapshot = connection.is_autocommit().then(|| connection.unchecked_transaction()).transpose()?;
            let mut statement = connection.prepare_cached(query.text)?;
            for (set, params) in params.chunks(of_each).enumerate() {
                let mut rows = statement.query(params_from_iter(params))?;
                while let Some(row) = rows.next()? {
                    take(set, &Row(Source::Sqlite(row)))?;
                }
            }
            Ok(())
        })
    }

    /// Runs `read`, which may take long or begin a transaction, on a connection of its own.
    pub(super) fn reading<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let mut reader = self.readers.take(|| self.open_reader())?;
        reader.release()?;
        let answer = read(reader.connection());
        self.readers.give_back(reader);
        answer
    }

    /// Runs a query on a connection of its own, which may hold the last snapshot there is.
    fn asking<T>(&self, ask: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let mut reader = self.readers.take(|| self.open_reader())?;
        reader.hold_newest(self.readers.generation())?;
        let answer = ask(reader.connection());
        // One that failed may have lost its snapshot: it is opened anew.
        if answer.is_ok() {
            self.readers.give_back(reader);
        }
        answer
    }
}
