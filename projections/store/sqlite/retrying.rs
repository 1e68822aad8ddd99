//! What an operator does about parked streams: applying their events again, or having a read model skip them.

use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use super::apply::{Failure, Prepared, attempt};
use super::{Sqlite, Writer, parking, skipped};
use crate::changes::Changes;
use crate::store::Error;
use crate::store::parking::{
    Retried, SkippedEvent, give_up, parked_at, positions, remaining, skip_event, skip_parked, still_parked,
    stop_skipping, unpark,
};
use crate::{Entry, Projection};

impl Writer {
    /// Changes what is skipped, which no replay of the log would do again: it stands in a flushed file when this returns.
    fn decide<T>(&mut self, change: impl FnOnce(&Transaction<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let answer = change(&transaction)?;
        let decided = parking::load_skipped(&transaction)?;
        if let Some(file) = &self.skipped {
            skipped::keep(&transaction, file)?;
        }
        transaction.commit()?;
        self.parked.skip(decided);
        Ok(answer)
    }
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
        let retried = retry(&transaction, model, stream, entries)?;
        transaction.commit()?;
        if retried.parked == 0 {
            writer.parked.remove(model.name(), stream);
        }
        Ok(retried)
    }

    pub(in crate::store) fn resolve_parked(&self, model: &str, stream: &str, reason: &str) -> Result<u64, Error> {
        let mut writer = self.writer();
        let events = writer.decide(|transaction| {
            transaction.execute(skip_parked, params![model, stream, reason, parked_at()])?;
            Ok(transaction.execute(give_up, [model, stream])? as u64)
        })?;
        writer.parked.remove(model, stream);
        Ok(events)
    }

    pub(in crate::store) fn stop_skipping(&self, model: &str, stream: &str) -> Result<u64, Error> {
        self.writer().decide(|transaction| Ok(transaction.execute(stop_skipping, [model, stream])? as u64))
    }

    pub(in crate::store) fn skip(&self, events: &[SkippedEvent]) -> Result<(), Error> {
        self.writer().decide(|transaction| {
            for SkippedEvent { model, stream, position, event, reason, skipped_at } in events {
                let position = i64::try_from(*position).unwrap_or(i64::MAX);
                let (event, at) = (event.0.as_bytes(), skipped_at.timestamp_millis());
                transaction.execute(skip_event, params![model, stream, position, event, reason, at])?;
            }
            Ok(())
        })
    }
}

fn retry(
    transaction: &Transaction<'_>,
    model: &dyn Projection,
    stream: &str,
    entries: &[Entry<'_>],
) -> Result<Retried, Error> {
    let name = model.name();
    let expected = parked_prefix(transaction, name, stream, entries.len())?;
    if !expected.iter().eq(entries.iter().map(|entry| &entry.recorded.position)) {
        return Err(Error::NotTheParked { model: name, stream: stream.into() });
    }
    let mut applied = 0;
    let mut prepared = Prepared::new(transaction);
    let mut changes = Changes::default();
    for entry in entries {
        let position = i64::try_from(entry.recorded.position).unwrap_or(i64::MAX);
        match attempt(transaction, &mut prepared, model, entry, &mut changes) {
            Ok(()) => transaction.execute(unpark, params![name, stream, position])?,
            Err(Failure::Store(error)) => return Err(error),
            Err(Failure::Poison(reason)) => {
                transaction.execute(still_parked, params![reason, name, stream, position])?;
                break;
            }
        };
        applied += 1;
    }
    let parked = transaction.query_row(remaining, [name, stream], |row| row.get::<_, i64>(0))?.unsigned_abs();
    Ok(Retried { applied, parked })
}

fn parked_prefix(connection: &Connection, model: &str, stream: &str, count: usize) -> Result<Vec<u64>, Error> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let mut statement = connection.prepare(positions)?;
    let found = statement.query_map(params![model, stream, count], |row| row.get::<_, i64>(0))?;
    found.map(|position| Ok(position?.unsigned_abs())).collect()
}
