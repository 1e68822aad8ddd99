//! What a leaf of the tree is: the event without its ciphertexts, as JSON of which every byte is fixed.

use crate::audit::merkle::{self, Hash};
use crate::eventlog::RawEvent;

/// The bytes of an event's leaf. Members stand in this order, without white space; the core stands as it was recorded:
/// `{"position":…,"stream":…,"revision":…,"id":…,"name":…,"version":…,"recorded_at":<ms>,"core":…}`.
#[must_use]
pub fn bytes(event: &RawEvent) -> Vec<u8> {
    // Streams and names are made of letters, digits, dots, colons and hyphens: there is nothing to escape.
    let head = format!(
        r#"{{"position":{},"stream":{:?},"revision":{},"id":"{}","name":{:?},"version":{},"recorded_at":{},"core":"#,
        event.position,
        event.stream,
        event.revision,
        event.id,
        event.name,
        event.version,
        event.recorded_at.timestamp_millis(),
    );
    let mut bytes = Vec::with_capacity(head.len() + event.core.len() + 1);
    bytes.extend_from_slice(head.as_bytes());
    bytes.extend_from_slice(&event.core);
    bytes.push(b'}');
    bytes
}

/// The hash of an event's leaf.
#[must_use]
pub fn hash(event: &RawEvent) -> Hash {
    merkle::leaf(&[&bytes(event)])
}
