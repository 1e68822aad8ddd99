//! What a plan adds to the tables, as parameters of a statement.

use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::stored;
use crate::eventlog::plan::Plan;

/// A parameter with its type: nothing is prepared by name.
pub(super) type Param<'p> = (&'p (dyn ToSql + Sync), Type);

/// The events of a plan, an array for each column but the position.
pub(super) struct Columns<'p> {
    streams: Vec<&'p str>,
    revisions: Vec<i64>,
    ids: Vec<Uuid>,
    names: Vec<&'p str>,
    versions: Vec<i16>,
    times: Vec<i64>,
    cores: Vec<&'p [u8]>,
    blobs: Vec<Option<&'p [u8]>>,
}

impl<'p> Columns<'p> {
    pub(super) fn of(Plan { events, .. }: &'p Plan) -> Self {
        Self {
            streams: events.iter().map(|event| &*event.stream).collect(),
            revisions: events.iter().map(|event| stored(event.revision)).collect(),
            ids: events.iter().map(|event| event.id).collect(),
            names: events.iter().map(|event| &*event.name).collect(),
            versions: events.iter().map(|event| i16::try_from(event.version).unwrap_or(i16::MAX)).collect(),
            times: events.iter().map(|event| event.recorded_at.timestamp_millis()).collect(),
            cores: events.iter().map(|event| &event.core[..]).collect(),
            blobs: events.iter().map(|event| event.blobs.as_deref()).collect(),
        }
    }

    pub(super) fn params(&self) -> [Param<'_>; 8] {
        [
            (&self.streams, Type::TEXT_ARRAY),
            (&self.revisions, Type::INT8_ARRAY),
            (&self.ids, Type::UUID_ARRAY),
            (&self.names, Type::TEXT_ARRAY),
            (&self.versions, Type::INT2_ARRAY),
            (&self.times, Type::INT8_ARRAY),
            (&self.cores, Type::BYTEA_ARRAY),
            (&self.blobs, Type::BYTEA_ARRAY),
        ]
    }
}

/// The keys of a plan, an array for each column.
pub(super) struct Guards<'p> {
    keys: Vec<&'p [u8]>,
    fingerprints: Vec<&'p [u8]>,
    outcomes: Vec<&'p [u8]>,
    used_at: Vec<i64>,
}

impl<'p> Guards<'p> {
    pub(super) fn of(Plan { kept, .. }: &'p Plan) -> Self {
        Self {
            keys: kept.iter().map(|guard| &guard.key[..]).collect(),
            fingerprints: kept.iter().map(|guard| &guard.fingerprint[..]).collect(),
            outcomes: kept.iter().map(|guard| &guard.outcome[..]).collect(),
            used_at: kept.iter().map(|guard| guard.recorded_at.timestamp_millis()).collect(),
        }
    }

    pub(super) fn params(&self) -> [Param<'_>; 4] {
        [
            (&self.keys, Type::BYTEA_ARRAY),
            (&self.fingerprints, Type::BYTEA_ARRAY),
            (&self.outcomes, Type::BYTEA_ARRAY),
            (&self.used_at, Type::INT8_ARRAY),
        ]
    }
}
