//! The last events in memory: a reader that keeps up never touches the disk.

use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock};

use bytes::Bytes;

use super::RawEvent;

const EVENTS_MAX: usize = 32_768;
const BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Default)]
struct Window {
    events: VecDeque<RawEvent>,
    bytes: usize,
}

/// A window over the end of the log; gapless.
#[derive(Default)]
pub(super) struct Tail(RwLock<Window>);

fn weight(event: &RawEvent) -> usize {
    event.core.len() + event.blobs.as_ref().map_or(0, Bytes::len) + event.stream.len() + 128
}

impl Tail {
    /// Adds what was just committed.
    pub(super) fn extend(&self, events: Vec<RawEvent>) {
        let mut window = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let next = events.first().map(|event| event.position);
        if window.events.back().is_some_and(|last| next.is_some_and(|next| next != last.position + 1)) {
            // Another node appended in between.
            *window = Window::default();
        }
        window.bytes += events.iter().map(weight).sum::<usize>();
        window.events.extend(events);
        while window.events.len() > EVENTS_MAX || window.bytes > BYTES_MAX {
            let Some(dropped) = window.events.pop_front() else { break };
            window.bytes -= weight(&dropped);
        }
    }

    /// The events after a position, if the window holds them all.
    pub(super) fn after(&self, position: u64, limit: usize) -> Option<Vec<RawEvent>> {
        let window = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let first = window.events.front()?.position;
        let skip = usize::try_from((position + 1).checked_sub(first)?).ok()?;
        Some(window.events.range(skip.min(window.events.len())..).take(limit).cloned().collect())
    }

    /// Replaces the blobs of an event, if the window holds it.
    pub(super) fn detach(&self, position: u64, blobs: Option<&Bytes>) {
        let mut window = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let Some(first) = window.events.front().map(|event| event.position) else { return };
        let Some(index) = position.checked_sub(first).and_then(|index| usize::try_from(index).ok()) else { return };
        let Some(event) = window.events.get_mut(index) else { return };
        let before = weight(event);
        event.blobs = blobs.cloned();
        let after = weight(event);
        window.bytes = (window.bytes + after).saturating_sub(before);
    }
}
