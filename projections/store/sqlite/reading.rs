//! Running queries on read-only connections.

use std::sync::PoisonError;

use rusqlite::{Connection, params_from_iter};

use super::Sqlite;
use crate::store::row::Source;
use crate::store::{Error, Row};
use crate::{Query, Value};

/// Connections kept open between queries; one per thread that asks at the same time is enough.
const READERS_MAX: usize = 32;

impl Sqlite {
    pub(in crate::store) fn rows<T>(
        &self,
        query: Query,
        params: &[Value],
        map: impl Fn(&Row<'_, '_>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        self.reading(|connection| {
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
        self.reading(|connection| {
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
        self.reading(|connection| {
            let snapshot = connection.unchecked_transaction()?;
            let mut statement = snapshot.prepare_cached(query.text)?;
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

    /// Runs `read` on a connection of its own.
    pub(super) fn reading<T>(&self, read: impl FnOnce(&Connection) -> Result<T, Error>) -> Result<T, Error> {
        let idle = self.readers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.open_reader()?,
        };
        let answer = read(&connection);
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        if readers.len() < READERS_MAX {
            readers.push(connection);
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
