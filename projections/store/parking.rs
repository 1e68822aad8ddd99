//! Parked streams: a read model goes on past an event it cannot apply, but never skips it silently.
//!
//! The event is parked, and so is every later one of its stream, in order, for that read model alone, until the
//! stream is retried or given up.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::EventId;
use rusqlite::{Connection, TransactionBehavior, params};

use super::apply::{Failure, Prepared, attempt};
use super::{Error, ReadStore, Row};
use crate::changes::Changes;
use crate::{Arrival, Entry, Projection};

const parked_keys: &str = "SELECT DISTINCT model, stream FROM store_parked";
const park_event: &str = "INSERT INTO store_parked (model, stream, position, event, reason, first_at)
    VALUES ($1, $2, $3, $4, $5, $6)";
const first_of_each: &str = "SELECT p.model, p.stream, p.position, p.event, p.reason, p.first_at,
        (SELECT COUNT(*) FROM store_parked q WHERE q.model = p.model AND q.stream = p.stream)
    FROM store_parked p
    WHERE p.position = (SELECT MIN(f.position) FROM store_parked f WHERE f.model = p.model AND f.stream = p.stream)
    ORDER BY p.position, p.model LIMIT $1";
const positions: &str = "SELECT position FROM store_parked WHERE model = $1 AND stream = $2 ORDER BY position LIMIT $3";
const unpark: &str = "DELETE FROM store_parked WHERE model = $1 AND stream = $2 AND position = $3";
const still_parked: &str = "UPDATE store_parked SET reason = $1 WHERE model = $2 AND stream = $3 AND position = $4";
const give_up: &str = "DELETE FROM store_parked WHERE model = $1 AND stream = $2";
const remaining: &str = "SELECT COUNT(*) FROM store_parked WHERE model = $1 AND stream = $2";

/// A stream that one read model parked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedKey {
    /// Which read model.
    pub model: String,
    /// Which stream.
    pub stream: String,
    /// Position of the first parked event.
    pub position: u64,
    /// That event.
    pub event: EventId,
    /// Why it was parked; never a value of the event.
    pub reason: String,
    /// When it was parked.
    pub first_at: DateTime<Utc>,
    /// How many later events of the stream are held back behind it.
    pub held_back: u64,
}

/// What came of retrying a parked stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retried {
    /// How many events were applied and are parked no longer.
    pub applied: u64,
    /// How many remain parked.
    pub parked: u64,
}

/// The parked streams by read model, in memory: asked for every event.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys(BTreeMap<String, BTreeSet<String>>);

impl Keys {
    pub(super) fn load(connection: &Connection) -> Result<Self, Error> {
        let mut keys = Self::default();
        let mut statement = connection.prepare(parked_keys)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            keys.0.entry(row.get(0)?).or_default().insert(row.get(1)?);
        }
        Ok(keys)
    }

    /// The stream's name, where the read model parked that stream.
    pub(super) fn parked_stream(&self, model: &str, arrival: &Arrival<'_>) -> Option<String> {
        let streams = self.0.get(model)?;
        Some(stream_of(arrival)).filter(|stream| streams.contains(stream))
    }

    pub(super) fn insert(&mut self, model: &str, stream: String) {
        self.0.entry(model.to_owned()).or_default().insert(stream);
    }

    pub(super) fn forget(&mut self, model: &str) {
        self.0.remove(model);
    }

    fn remove(&mut self, model: &str, stream: &str) {
        if let Some(streams) = self.0.get_mut(model) {
            streams.remove(stream);
            if streams.is_empty() {
                self.0.remove(model);
            }
        }
    }
}

pub(super) fn stream_of(arrival: &Arrival<'_>) -> String {
    match arrival {
        Arrival::Decoded(entry) => entry.recorded.stream.to_string(),
        Arrival::Undecodable(poison) => poison.stream.clone(),
    }
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
    #[allow(clippy::disallowed_methods)] // When an operator has to look; no row of a read model depends on it.
    let now = Utc::now().timestamp_millis();
    connection.prepare_cached(park_event)?.execute(params![
        model,
        stream,
        position,
        arrival.id().0.as_bytes(),
        reason,
        now
    ])?;
    Ok(())
}

impl ReadStore {
    /// The parked streams, the oldest first, at most `limit`.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn parked(&self, limit: u32) -> Result<Vec<ParkedKey>, Error> {
        let key = |row: &Row<'_, '_>| {
            let reason = row.optional_text(4)?.unwrap_or("held back behind an earlier event");
            Ok(ParkedKey {
                model: row.text(0)?.into(),
                stream: row.text(1)?.into(),
                position: row.number(2)?,
                event: EventId(row.id(3)?),
                reason: reason.into(),
                first_at: row.instant(5)?,
                held_back: row.number::<u64>(6)?.saturating_sub(1),
            })
        };
        self.rows(first_of_each, &[limit.into()], key).await
    }

    /// Positions of the parked events of a stream, in order, at most `limit`: what to read from the log for
    /// [`ReadStore::retry_parked`].
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn parked_positions(&self, model: &str, stream: &str, limit: u32) -> Result<Vec<u64>, Error> {
        self.rows(positions, &[model.into(), stream.into(), limit.into()], |row| row.number(0)).await
    }

    /// Applies parked events again: the first ones of the stream, read again from the log. Stops at the first that
    /// still cannot be applied; the stream is parked no longer once none remains.
    ///
    /// # Errors
    /// The events are not the first parked ones of the stream, or the store is unavailable. Nothing was changed.
    pub fn retry_parked(&self, model: &dyn Projection, stream: &str, entries: &[Entry<'_>]) -> Result<Retried, Error> {
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

    /// Gives up the parked events of a stream for one read model; events that come later are applied again.
    /// Returns how many were given up.
    ///
    /// # Errors
    /// The store is unavailable.
    pub fn resolve_parked(&self, model: &str, stream: &str) -> Result<u64, Error> {
        let mut writer = self.writer();
        let given_up = writer.connection.execute(give_up, [model, stream])?;
        writer.parked.remove(model, stream);
        tracing::warn!(model, stream, given_up, "parked events were given up");
        Ok(given_up as u64)
    }
}

fn parked_prefix(connection: &Connection, model: &str, stream: &str, count: usize) -> Result<Vec<u64>, Error> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let mut statement = connection.prepare(positions)?;
    let found = statement.query_map(params![model, stream, count], |row| row.get::<_, i64>(0))?;
    found.map(|position| Ok(position?.unsigned_abs())).collect()
}
