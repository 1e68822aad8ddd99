//! Parking events, and applying them again.

use rusqlite::{Connection, TransactionBehavior, params};

use super::Sqlite;
use super::apply::{Failure, Prepared, attempt};
use crate::changes::Changes;
use crate::store::Error;
use crate::store::parking::{self, Keys, Retried, give_up, parked_at, positions, remaining, still_parked, unpark};
use crate::{Arrival, Entry, Projection};

/// The parked streams as they stand in the database.
pub(super) fn load(connection: &Connection) -> Result<Keys, Error> {
    let mut found = Keys::default();
    let mut statement = connection.prepare(parking::keys)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        found.insert(&row.get::<_, String>(0)?, row.get(1)?);
    }
    Ok(found)
}

/// Keeps an event for later: with a reason, or `None` behind one that has a reason.
pub(super) fn park(
    connection: &Connection,
    model: &str,
    stream: &str,
    arrival: &Arrival<'_>,
    reason: Option<&str>,
) -> Result<(), Error> {
    let position = i64::try_from(arrival.position()).unwrap_or(i64::MAX);
    connection.prepare_cached(parking::park)?.execute(params![
        model,
        stream,
        position,
        arrival.id().0.as_bytes(),
        reason,
        parked_at()
    ])?;
    Ok(())
}

impl Sqlite {
    pub(in crate::store) fn retry_parked(
        &self,
        model: &dyn Projection,
        stream: &str,
        entries: &[Entry<'_>],
    ) -> Result<Retried, Error> {
        let mut writer = self.writer();
        let transaction = writer.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut applied = 0;
        {
            let expected = parked_prefix(&transaction, model.name(), stream, entries.len())?;
            if !expected.iter().eq(entries.iter().map(|entry| &entry.recorded.position)) {
                return Err(Error::NotTheParked { model: model.name(), stream: stream.into() });
            }
            let mut prepared = Prepared::new(&transaction);
            let mut changes = Changes::default();
            for entry in entries {
                let position = i64::try_from(entry.recorded.position).unwrap_or(i64::MAX);
                match attempt(&transaction, &mut prepared, model, entry, &mut changes) {
                    Ok(()) => transaction.execute(unpark, params![model.name(), stream, position])?,
                    Err(Failure::Store(error)) => return Err(error),
                    Err(Failure::Poison(reason)) => {
                        transaction.execute(still_parked, params![reason, model.name(), stream, position])?;
                        break;
                    }
                };
                applied += 1;
            }
        }
        let parked: u64 =
            transaction.query_row(remaining, [model.name(), stream], |row| row.get::<_, i64>(0))?.unsigned_abs();
        transaction.commit()?;
        if parked == 0 {
            writer.parked.remove(model.name(), stream);
        }
        Ok(Retried { applied, parked })
    }

    pub(in crate::store) fn resolve_parked(&self, model: &str, stream: &str) -> Result<u64, Error> {
        let mut writer = self.writer();
        let given_up = writer.connection.execute(give_up, [model, stream])?;
        writer.parked.remove(model, stream);
        Ok(given_up as u64)
    }
}

fn parked_prefix(connection: &Connection, model: &str, stream: &str, count: usize) -> Result<Vec<u64>, Error> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let mut statement = connection.prepare(positions)?;
    let found = statement.query_map(params![model, stream, count], |row| row.get::<_, i64>(0))?;
    found.map(|position| Ok(position?.unsigned_abs())).collect()
}
