//! Packs events for the writer, and decides what comes to stand in the dictionary.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use rusqlite::Connection;

use super::dictionary::{Dictionary, Kind, Table};
use super::pack::{self, Context, Packed};
use super::stream_key::{Key, Name};
use crate::eventlog::RawEvent;

/// Most terms that are remembered as wanted once.
const WANTED_MAX: usize = 8_192;

/// An event as its row holds it.
pub(super) struct Row {
    pub(super) stream: Key,
    pub(super) core: Vec<u8>,
    pub(super) blobs: Option<Vec<u8>>,
}

/// Packs what is inserted.
pub(super) struct Packer {
    pub(super) dictionary: Arc<Dictionary>,
    /// Hashes of terms that one event could have used. A term is added for the second: what only ever stands in one event
    /// must not fill the dictionary.
    wanted: HashSet<u64>,
}

impl Packer {
    pub(super) fn new(dictionary: Arc<Dictionary>) -> Self {
        Self { dictionary, wanted: HashSet::new() }
    }

    /// The number of an event's name, which is added if it is new; `None`: there is no room for it.
    pub(super) fn event_name(&self, connection: &Connection, name: &str) -> rusqlite::Result<Option<u32>> {
        self.dictionary.number(connection, Kind::EventName, name.as_bytes())
    }

    /// Packs an event, adding to the dictionary in the transaction at hand.
    pub(super) fn row(&mut self, connection: &Connection, event: &RawEvent) -> rusqlite::Result<Row> {
        let name = Name::of(&event.stream);
        if let Some(shape) = name.shape() {
            // With the first stream of the shape, or never: a stream has one key for good.
            self.dictionary.number(connection, Kind::StreamShape, shape)?;
        }
        let stream = name.key(&self.dictionary.read());
        let context = Context { uuids: &name.uuids, recorded_at: event.recorded_at.timestamp_millis() };
        let core = self.pack(connection, |table| pack::core(table, context, &event.core))?;
        let blobs = event.blobs.as_deref().map(|blobs| self.blobs(connection, blobs)).transpose()?;
        Ok(Row { stream, core, blobs })
    }

    pub(super) fn blobs(&mut self, connection: &Connection, blobs: &[u8]) -> rusqlite::Result<Vec<u8>> {
        self.pack(connection, |table| pack::blobs(table, blobs))
    }

    fn pack(&mut self, connection: &Connection, pack: impl Fn(&Table) -> Packed) -> rusqlite::Result<Vec<u8>> {
        let packed = pack(&self.dictionary.read());
        let mut is_added = false;
        for (kind, term) in &packed.unknown {
            if self.is_wanted_again(*kind, term) {
                is_added |= self.dictionary.number(connection, *kind, term)?.is_some();
            }
        }
        Ok(if is_added { pack(&self.dictionary.read()).bytes } else { packed.bytes })
    }

    fn is_wanted_again(&mut self, kind: Kind, term: &[u8]) -> bool {
        let hash = BuildHasherDefault::<DefaultHasher>::new().hash_one((kind.number(), term));
        if self.wanted.remove(&hash) {
            return true;
        }
        if self.wanted.len() >= WANTED_MAX {
            self.wanted.clear();
        }
        self.wanted.insert(hash);
        false
    }
}

#[cfg(test)]
mod tests;
