//! Parked streams: a read model goes on past an event it cannot apply, but never leaves one out silently.
//!
//! The event is parked, and so is every later one of its stream, in order, for that read model alone. An operator then
//! retries the stream, or decides that the read model skips what is parked. What is skipped stays skipped when the read
//! model is built anew.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::EventId;

use super::{Backend, Error, ReadStore, Row};
use crate::{Arrival, Entry, Projection};

pub(super) const keys: &str = "SELECT DISTINCT model, stream FROM store_parked";
pub(super) const park: &str = "INSERT INTO store_parked (model, stream, position, event, reason, first_at)
    VALUES ($1, $2, $3, $4, $5, $6)";
const first_of_each: &str = "SELECT p.model, p.stream, p.position, p.event, p.reason, p.first_at,
        (SELECT COUNT(*) FROM store_parked q WHERE q.model = p.model AND q.stream = p.stream)
    FROM store_parked p
    WHERE p.position = (SELECT MIN(f.position) FROM store_parked f WHERE f.model = p.model AND f.stream = p.stream)
        AND (p.position, p.model) > ($1, $2)
    ORDER BY p.position, p.model LIMIT $3";
const count: &str = "SELECT COUNT(*) FROM (SELECT DISTINCT model, stream FROM store_parked) AS p";
pub(super) const positions: &str =
    "SELECT position FROM store_parked WHERE model = $1 AND stream = $2 ORDER BY position LIMIT $3";
pub(super) const unpark: &str = "DELETE FROM store_parked WHERE model = $1 AND stream = $2 AND position = $3";
pub(super) const still_parked: &str =
    "UPDATE store_parked SET reason = $1 WHERE model = $2 AND stream = $3 AND position = $4";
// SQLite numbers parameters by where they stand: $1 has to come first.
pub(super) const skip_parked: &str = "WITH p AS (SELECT * FROM store_parked WHERE model = $1 AND stream = $2)
    INSERT INTO store_skipped (model, stream, position, event, reason, skipped_at)
    SELECT model, stream, position, event, CAST($3 AS TEXT), CAST($4 AS BIGINT) FROM p WHERE true
    ON CONFLICT (model, event) DO UPDATE SET reason = excluded.reason, skipped_at = excluded.skipped_at";
pub(super) const give_up: &str = "DELETE FROM store_parked WHERE model = $1 AND stream = $2";
pub(super) const remaining: &str = "SELECT COUNT(*) FROM store_parked WHERE model = $1 AND stream = $2";
pub(super) const all_skipped: &str = "SELECT model, event FROM store_skipped";
const skipped_page: &str = "SELECT model, stream, position, event, reason, skipped_at FROM store_skipped
    WHERE (position, model) > ($1, $2) ORDER BY position, model LIMIT $3";
pub(super) const skip_event: &str = "INSERT INTO store_skipped (model, stream, position, event, reason, skipped_at)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (model, event) DO NOTHING";
pub(super) const stop_skipping: &str = "DELETE FROM store_skipped WHERE model = $1 AND stream = $2";

/// Skipped events read together.
const PAGE: u32 = 1_000;

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

/// An event that one read model leaves out, because an operator decided so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedEvent {
    /// Which read model.
    pub model: String,
    /// Its stream.
    pub stream: String,
    /// Its position in the log.
    pub position: u64,
    /// The event.
    pub event: EventId,
    /// Why, in the operator's words.
    pub reason: String,
    /// When that was decided.
    pub skipped_at: DateTime<Utc>,
}

/// Where a page of such a list ended: position and read model of its last row.
pub type ParkingCursor<'c> = (u64, &'c str);

/// What came of retrying a parked stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retried {
    /// How many events were applied and are parked no longer.
    pub applied: u64,
    /// How many remain parked.
    pub parked: u64,
}

/// The events each read model skips. They hardly ever change, and are looked at for every event.
#[derive(Debug, Default)]
pub(super) struct Skipped(BTreeMap<String, BTreeSet<EventId>>);

impl Skipped {
    pub(super) fn insert(&mut self, model: String, event: EventId) {
        self.0.entry(model).or_default().insert(event);
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn of(&self, model: &str) -> Option<&BTreeSet<EventId>> {
        self.0.get(model)
    }

    fn contains(&self, model: &str, event: EventId) -> bool {
        self.0.get(model).is_some_and(|events| events.contains(&event))
    }
}

/// What a read model does with an event.
pub(super) enum Fate {
    /// It applies it.
    Applied,
    /// It leaves it out: an operator decided so.
    Skipped,
    /// It parks it behind an earlier event of this stream.
    HeldBack(String),
}

/// The parked streams by read model, and what is skipped, in memory: asked for every event.
#[derive(Debug, Clone, Default)]
pub(super) struct Keys {
    parked: BTreeMap<String, BTreeSet<String>>,
    skipped: Arc<Skipped>,
}

impl Keys {
    pub(super) fn skipping(skipped: Arc<Skipped>) -> Self {
        Self { parked: BTreeMap::new(), skipped }
    }

    pub(super) fn fate(&self, model: &str, arrival: &Arrival<'_>) -> Fate {
        // Nearly always. Every read model asks about every event.
        if self.parked.is_empty() && self.skipped.is_empty() {
            return Fate::Applied;
        }
        if self.skipped.contains(model, arrival.id()) {
            return Fate::Skipped;
        }
        match self.parked.get(model) {
            None => Fate::Applied,
            Some(streams) => match Some(stream_of(arrival)).filter(|stream| streams.contains(stream)) {
                Some(stream) => Fate::HeldBack(stream),
                None => Fate::Applied,
            },
        }
    }

    pub(super) fn insert(&mut self, model: &str, stream: String) {
        self.parked.entry(model.to_owned()).or_default().insert(stream);
    }

    /// Whether a read model skips the same events as there.
    pub(super) fn skips_as(&self, other: &Self, model: &str) -> bool {
        self.skipped.of(model) == other.skipped.of(model)
    }

    pub(super) fn skip(&mut self, skipped: Skipped) {
        self.skipped = Arc::new(skipped);
    }

    pub(super) fn forget(&mut self, model: &str) {
        self.parked.remove(model);
    }

    pub(super) fn remove(&mut self, model: &str, stream: &str) {
        if let Some(streams) = self.parked.get_mut(model) {
            streams.remove(stream);
            if streams.is_empty() {
                self.parked.remove(model);
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

/// When an event is parked or skipped: for an operator who has to look; no row of a read model depends on it.
#[allow(clippy::disallowed_methods)]
pub(super) fn parked_at() -> i64 {
    Utc::now().timestamp_millis()
}

fn read(row: &Row<'_, '_>) -> Result<ParkedKey, Error> {
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

fn read_skipped(row: &Row<'_, '_>) -> Result<SkippedEvent, Error> {
    Ok(SkippedEvent {
        model: row.text(0)?.into(),
        stream: row.text(1)?.into(),
        position: row.number(2)?,
        event: EventId(row.id(3)?),
        reason: row.text(4)?.into(),
        skipped_at: row.instant(5)?,
    })
}

impl ReadStore {
    /// The parked streams, the oldest first, at most `limit`.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn parked(&self, limit: u32) -> Result<Vec<ParkedKey>, Error> {
        self.parked_after((0, ""), limit).await
    }

    /// The parked streams behind a cursor, the oldest first, at most `limit`.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn parked_after(
        &self,
        (position, model): ParkingCursor<'_>,
        limit: u32,
    ) -> Result<Vec<ParkedKey>, Error> {
        self.rows(first_of_each, &[position.into(), model.into(), limit.into()], read).await
    }

    /// How many streams are parked, counted for each read model that parked them.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn parked_count(&self) -> Result<u64, Error> {
        Ok(self.row(count, &[], |row| row.number(0)).await?.unwrap_or_default())
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
    pub async fn retry_parked(
        &self,
        model: &dyn Projection,
        stream: &str,
        entries: &[Entry<'_>],
    ) -> Result<Retried, Error> {
        match &self.backend {
            Backend::Sqlite(store) => store.retry_parked(model, stream, entries),
            Backend::Postgres(store) => store.retry_parked(model, stream, entries).await,
        }
    }

    /// Has one read model skip the parked events of a stream from now on, also when it is built anew; events that come
    /// later are applied again. The reason is kept, and shown by [`ReadStore::skipped_after`]. Answers how many events
    /// are skipped; 0: the stream is not parked.
    ///
    /// # Errors
    /// The store is unavailable. Nothing was changed.
    pub async fn resolve_parked(&self, model: &str, stream: &str, reason: &str) -> Result<u64, Error> {
        let events = match &self.backend {
            Backend::Sqlite(store) => store.resolve_parked(model, stream, reason)?,
            Backend::Postgres(store) => store.resolve_parked(model, stream, reason).await?,
        };
        if events > 0 {
            tracing::warn!(model, stream, events, reason, "a read model skips parked events");
        }
        Ok(events)
    }

    /// Has one read model skip the events of a stream no longer: it applies them when it is built anew. Answers how many
    /// there were.
    ///
    /// # Errors
    /// The store is unavailable. Nothing was changed.
    pub async fn stop_skipping(&self, model: &str, stream: &str) -> Result<u64, Error> {
        match &self.backend {
            Backend::Sqlite(store) => store.stop_skipping(model, stream),
            Backend::Postgres(store) => store.stop_skipping(model, stream).await,
        }
    }

    /// The skipped events behind a cursor, by position, at most `limit`.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn skipped_after(
        &self,
        (position, model): ParkingCursor<'_>,
        limit: u32,
    ) -> Result<Vec<SkippedEvent>, Error> {
        self.rows(skipped_page, &[position.into(), model.into(), limit.into()], read_skipped).await
    }

    /// Skips what the read models of another store skip: for one that is to have the same rows.
    ///
    /// # Errors
    /// One of the stores is unavailable.
    pub async fn skip_as(&self, other: &Self) -> Result<(), Error> {
        let mut after = (0, String::new());
        loop {
            let events = other.skipped_after((after.0, &after.1), PAGE).await?;
            let Some(last) = events.last() else { return Ok(()) };
            after = (last.position, last.model.clone());
            match &self.backend {
                Backend::Sqlite(store) => store.skip(&events)?,
                Backend::Postgres(store) => store.skip(&events).await?,
            }
        }
    }
}
