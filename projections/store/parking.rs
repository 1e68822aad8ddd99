//! Parked streams: a read model goes on past an event it cannot apply, but never skips it silently.
//!
//! The event is parked, and so is every later one of its stream, in order, for that read model alone, until the
//! stream is retried or given up.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::EventId;

use super::{Error, Row};
use crate::Arrival;

pub(super) const keys: &str = "SELECT DISTINCT model, stream FROM store_parked";
pub(super) const park: &str = "INSERT INTO store_parked (model, stream, position, event, reason, first_at)
    VALUES ($1, $2, $3, $4, $5, $6)";
pub(super) const first_of_each: &str = "SELECT p.model, p.stream, p.position, p.event, p.reason, p.first_at,
        (SELECT COUNT(*) FROM store_parked q WHERE q.model = p.model AND q.stream = p.stream)
    FROM store_parked p
    WHERE p.position = (SELECT MIN(f.position) FROM store_parked f WHERE f.model = p.model AND f.stream = p.stream)
    ORDER BY p.position, p.model LIMIT $1";
pub(super) const positions: &str =
    "SELECT position FROM store_parked WHERE model = $1 AND stream = $2 ORDER BY position LIMIT $3";
pub(super) const unpark: &str = "DELETE FROM store_parked WHERE model = $1 AND stream = $2 AND position = $3";
pub(super) const still_parked: &str =
    "UPDATE store_parked SET reason = $1 WHERE model = $2 AND stream = $3 AND position = $4";
pub(super) const give_up: &str = "DELETE FROM store_parked WHERE model = $1 AND stream = $2";
pub(super) const remaining: &str = "SELECT COUNT(*) FROM store_parked WHERE model = $1 AND stream = $2";

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
    /// The stream's name, where the read model parked that stream.
    pub(super) fn parked_stream(&self, model: &str, arrival: &Arrival<'_>) -> Option<String> {
        let streams = self.0.get(model)?;
        Some(stream_of(arrival)).filter(|stream| streams.contains(stream))
    }

    pub(super) fn insert(&mut self, model: &str, stream: String) {
        self.0.entry(model.to_owned()).or_default().insert(stream);
    }

    /// Takes over what another copy has of one read model.
    pub(super) fn adopt(&mut self, model: &str, other: &mut Self) {
        match other.0.remove(model) {
            Some(streams) => drop(self.0.insert(model.to_owned(), streams)),
            None => self.forget(model),
        }
    }

    pub(super) fn forget(&mut self, model: &str) {
        self.0.remove(model);
    }

    pub(super) fn remove(&mut self, model: &str, stream: &str) {
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

/// When an event is parked: for an operator who has to look; no row of a read model depends on it.
#[allow(clippy::disallowed_methods)]
pub(super) fn parked_at() -> i64 {
    Utc::now().timestamp_millis()
}

/// A row of [`first_of_each`].
pub(super) fn read(row: &Row<'_, '_>) -> Result<ParkedKey, Error> {
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
}
