//! Running queries on read-only connections.

use rusqlite::{Connection, params_from_iter};

use super::Sqlite;
use crate::store::row::Source;
use crate::store::{Error, Row};
use crate::{Query, Value};

impl Sqlite {
    pub(in crate::store) fn rows<T>(
        &self,
        query: Query,
        params: &[Value],
        map: impl Fn(&Row<'_, '_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        self.asking(|connection| {
            let mut found = Vec::new();
            collect(connection, query, params, &mut |row| {
                found.push(map(row)?);
                Ok(())
            })?;
            Ok(found)
        })
    }

    pub(in crate::store) fn row<T>(
        &self,
        query: Query,
        params: &[Value],
        map: impl Fn(&Row<'_, '_>) -> Result<T, Error>,
    ) -> Result<Option<T>, Error> {
        self.asking(|connection| {
            let mut statement = connection.prepare_cached(query.text)?;
            let mut rows = statement.query(params_from_iter(params))?;
            rows.next()?.map(|row| map(&Row(Source::Sqlite(row)))).transpose()
        })
    }

    pub(in crate::store) fn rows_of_each<const N: usize, T>(
        &self,
        query: Query,
        asked: impl Iterator<Item = [Value; N]>,
        map: impl Fn(&Row<'_, '_>) -> Result<T, Error>,
    ) -> Result<Vec<Vec<T>>, Error> {
        self.asking(|connection| {
            // One that is held already is the same for all of them.
            let _snapshot = connection.is_autocommit().then(|| connection.unchecked_transaction()).transpose()?;
            let mut statement = connection.prepare_cached(query.text)?;
            let mut answers = Vec::new();
            for params in asked {
                let (mut found, mut rows) = (Vec::new(), statement.query(params_from_iter(&params))?);
                while let Some(row) = rows.next()? {
                    found.push(map(&Row(Source::Sqlite(row)))?);
                }
                answers.push(found);
            }
            Ok(answers)
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

fn collect(
    connection: &Connection,
    query: Query,
    params: &[Value],
    each: &mut dyn FnMut(&Row<'_, '_>) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(query.text)?;
    let mut rows = statement.query(params_from_iter(params))?;
    while let Some(row) = rows.next()? {
        each(&Row(Source::Sqlite(row)))?;
    }
    Ok(())
}
