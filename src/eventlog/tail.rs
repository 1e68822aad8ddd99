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
    /// Whether somebody else appends to the log as well.
    shared: bool,
}

impl Window {
    fn clear(&mut self) {
        self.events.clear();
        self.bytes = 0;
    }

    fn add(&mut self, events: Vec<RawEvent>) {
        self.bytes += events.iter().map(weight).sum::<usize>();
        self.events.extend(events);
        while self.events.len() > EVENTS_MAX || self.bytes > BYTES_MAX {
            let Some(dropped) = self.events.pop_front() else { break };
            self.bytes -= weight(&dropped);
        }
    }
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
            window.clear();
            window.shared = true;
        }
        window.add(events);
    }

    /// Keeps what was read from the log because another node appended it: whoever reads it next need not ask again. Where
    /// nobody else appends, the window has it all, and what was read before a detachment must not come back.
    pub(super) fn fill(&self, read: &[RawEvent]) {
        let mut window = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let (Some(from), Some(to)) = (read.first().map(|e| e.position), read.last().map(|e| e.position)) else {
            return;
        };
        let held = window.events.front().map(|e| e.position).zip(window.events.back().map(|e| e.position));
        let (first, last) = match held {
            _ if !window.shared => return,
            // They do not touch: the newer ones count.
            Some((first, last)) if from > last + 1 || to + 1 < first => {
                if to < first {
                    return;
                }
                window.clear();
                (from, from - 1)
            }
            Some(held) => held,
            None => (from, from - 1),
        };
        for event in read.iter().rev().filter(|event| event.position < first) {
            window.bytes += weight(event);
            window.events.push_front(event.clone());
        }
        window.add(read.iter().filter(|event| event.position > last).cloned().collect());
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use chrono::DateTime;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn event(position: u64) -> RawEvent {
        RawEvent {
            position,
            stream: "s".into(),
            revision: position,
            id: Uuid::from_u128(position.into()),
            name: "n".into(),
            version: 1,
            recorded_at: DateTime::UNIX_EPOCH,
            core: Bytes::new(),
            blobs: None,
        }
    }

    /// What a node does: its own append, one of another node, or a read of so many events from somewhere.
    #[derive(Debug, Clone)]
    enum Step {
        Own(u64),
        Foreign(u64),
        Read(prop::sample::Index, u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1_u64..6).prop_map(Step::Own),
            (1_u64..6).prop_map(Step::Foreign),
            (any::<prop::sample::Index>(), 1_u64..20).prop_map(|(from, count)| Step::Read(from, count)),
        ]
    }

    proptest! {
        #[test]
        fn a_window_holds_what_the_log_holds_without_a_gap(steps in prop::collection::vec(step(), 1..60)) {
            let (tail, mut head) = (Tail::default(), 0_u64);
            for step in steps {
                match step {
                    Step::Own(count) => {
                        tail.extend((head + 1..=head + count).map(event).collect());
                        head += count;
                    }
                    Step::Foreign(count) => head += count,
                    Step::Read(from, count) => {
                        let from = from.index(usize::try_from(head + 1).unwrap()) as u64;
                        tail.fill(&(from + 1..=(from + count).min(head)).map(event).collect::<Vec<_>>());
                    }
                }
                let mut held = vec![];
                for after in 0..=head {
                    if let Some(found) = tail.after(after, 1_000) {
                        held = found;
                        break;
                    }
                }
                let first = held.first().map_or(1, |event| event.position);
                prop_assert!(held.iter().map(|event| event.position).eq(first..first + held.len() as u64), "{held:?}");
                prop_assert!(held.last().is_none_or(|last| last.position <= head));
            }
        }
    }

    #[test]
    fn what_another_node_appended_is_read_once() {
        let tail = Tail::default();
        tail.extend(vec![event(1), event(2)]);
        tail.fill(&[event(3)]);
        assert_eq!(tail.after(2, 9).unwrap().len(), 0, "nobody else was heard of yet");
        tail.extend(vec![event(6)]);
        assert!(tail.after(2, 9).is_none());
        tail.fill(&[event(3), event(4), event(5), event(6)]);
        assert_eq!(tail.after(2, 9).unwrap().len(), 4);
        tail.fill(&[event(7), event(8)]);
        assert_eq!(tail.after(2, 9).unwrap().len(), 6);
        tail.fill(&[event(1)]);
        assert_eq!(tail.after(2, 9).unwrap().len(), 6, "what does not touch it and is older stays away");
    }
}
