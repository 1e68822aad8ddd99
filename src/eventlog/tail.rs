//! The last events in memory: a reader that keeps up never touches the disk.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use bytes::Bytes;

use super::RawEvent;

const EVENTS_MAX: usize = 16_384;
const BYTES_MAX: usize = 32 * 1024 * 1024;

#[derive(Default)]
struct Window {
    events: BTreeMap<u64, RawEvent>,
    bytes: usize,
    /// Whether somebody else appends to the log as well.
    shared: bool,
}

impl Window {
    fn add(&mut self, events: impl IntoIterator<Item = RawEvent>) {
        for event in events {
            self.bytes += weight(&event);
            if let Some(before) = self.events.insert(event.position, event) {
                self.bytes -= weight(&before);
            }
        }
        while self.events.len() > EVENTS_MAX || self.bytes > BYTES_MAX {
            let Some((_, dropped)) = self.events.pop_first() else { break };
            self.bytes -= weight(&dropped);
        }
    }
}

/// A window over the end of the log. What others appended and nobody has read yet is missing in it.
#[derive(Default)]
pub(super) struct Tail(RwLock<Window>);

fn weight(event: &RawEvent) -> usize {
    event.core.len() + event.blobs.as_ref().map_or(0, Bytes::len) + event.stream.len() + 192
}

impl Tail {
    fn window(&self) -> RwLockWriteGuard<'_, Window> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns that somebody else appends as well.
    pub(super) fn share(&self) {
        self.window().shared = true;
    }

    /// Adds what was just committed.
    pub(super) fn extend(&self, events: Vec<RawEvent>) {
        let mut window = self.window();
        let next = window.events.last_key_value().map(|(last, _)| last + 1);
        window.shared |= next.zip(events.first()).is_some_and(|(next, first)| first.position != next);
        window.add(events);
    }

    /// Keeps what was read from the log because another node appended it: whoever reads it next need not ask again. Where
    /// nobody else appends, the window has it all, and what was read before a detachment must not come back.
    pub(super) fn fill(&self, read: &[RawEvent]) {
        let mut window = self.window();
        if window.shared {
            window.add(read.iter().cloned());
        }
    }

    /// The events after a position, if the window holds them all.
    pub(super) fn after(&self, position: u64, limit: usize) -> Option<Vec<RawEvent>> {
        let window = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (last, _) = window.events.last_key_value()?;
        let behind = usize::try_from(last.saturating_sub(position)).unwrap_or(usize::MAX);
        let mut held = Vec::with_capacity(limit.min(behind).min(window.events.len()));
        held.extend(window.events.range(position + 1..).take(limit).map(|(_, event)| event.clone()));
        let is_whole = match held.last() {
            Some(last) => last.position - position == held.len() as u64,
            None => limit == 0 || position >= *last,
        };
        is_whole.then_some(held)
    }

    /// What the window holds after a position and up to another one, and the positions that are missing there.
    pub(super) fn look(&self, after: u64, until: u64) -> (Vec<RawEvent>, Vec<u64>) {
        let window = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (mut held, mut missing, mut next) = (vec![], vec![], after + 1);
        if after >= until {
            return (held, missing);
        }
        for (position, event) in window.events.range(after + 1..=until) {
            missing.extend(next..*position);
            held.push(event.clone());
            next = position + 1;
        }
        missing.extend(next..=until);
        (held, missing)
    }

    /// Replaces the blobs of an event, if the window holds it.
    pub(super) fn detach(&self, position: u64, blobs: Option<&Bytes>) {
        let mut window = self.window();
        let Some(event) = window.events.get_mut(&position) else { return };
        let before = weight(event);
        event.blobs = blobs.cloned();
        let after = weight(event);
        window.bytes = (window.bytes + after).saturating_sub(before);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeSet;

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
        fn a_window_holds_what_it_was_given_and_tells_what_is_missing(steps in prop::collection::vec(step(), 1..60)) {
            let (tail, mut head, mut given) = (Tail::default(), 0_u64, BTreeSet::new());
            let mut is_shared = false;
            for step in steps {
                match step {
                    Step::Own(count) => {
                        tail.extend((head + 1..=head + count).map(event).collect());
                        is_shared |= given.last().is_some_and(|last| *last != head);
                        given.extend(head + 1..=head + count);
                        head += count;
                    }
                    Step::Foreign(count) => head += count,
                    Step::Read(from, count) => {
                        let from = from.index(usize::try_from(head + 1).unwrap()) as u64;
                        let read = from + 1..=(from + count).min(head);
                        tail.fill(&read.clone().map(event).collect::<Vec<_>>());
                        if is_shared {
                            given.extend(read);
                        }
                    }
                }
                for after in 0..=head {
                    let (held, missing) = tail.look(after, head);
                    let held: Vec<_> = held.iter().map(|event| event.position).collect();
                    prop_assert!((after + 1..=head).filter(|p| given.contains(p)).eq(held.iter().copied()));
                    prop_assert!((after + 1..=head).filter(|p| !given.contains(p)).eq(missing.iter().copied()));
                    // What others appended behind the last one that is held, it knows nothing of.
                    let whole = given.last().map(|last| (after + 1..=*last).take(3).collect::<Vec<_>>());
                    let whole = whole.filter(|wanted| wanted.iter().all(|position| given.contains(position)));
                    let told = tail.after(after, 3).map(|events| events.iter().map(|e| e.position).collect::<Vec<_>>());
                    prop_assert_eq!(told, whole);
                }
            }
        }
    }

    #[test]
    fn what_another_node_appended_is_read_once() {
        let tail = Tail::default();
        tail.extend(vec![event(1), event(2)]);
        tail.fill(&[event(3)]);
        assert_eq!(tail.look(2, 3).1, [3], "nobody else was heard of yet");
        tail.extend(vec![event(6)]);
        assert!(tail.after(2, 9).is_none());
        assert_eq!(tail.look(0, 8).1, [3, 4, 5, 7, 8]);
        tail.fill(&[event(3), event(4), event(5)]);
        assert_eq!(tail.after(2, 9).unwrap().len(), 4);
    }

    #[test]
    fn who_appends_nothing_reads_what_others_append_once_as_soon_as_it_hears_of_them() {
        let tail = Tail::default();
        tail.fill(&[event(1)]);
        assert!(tail.after(0, 9).is_none());
        tail.share();
        tail.fill(&[event(1), event(2)]);
        assert_eq!(tail.after(0, 9).unwrap().len(), 2);
    }

    #[test]
    fn the_window_stays_as_large_as_it_may_be_and_keeps_the_newest() {
        let (tail, all) = (Tail::default(), EVENTS_MAX as u64 + 10);
        (1..=all).for_each(|position| tail.extend(vec![event(position)]));
        assert!(tail.after(9, 1).is_none());
        assert_eq!(tail.after(10, usize::MAX).unwrap().len(), EVENTS_MAX);
    }

    #[test]
    fn what_was_detached_is_detached_in_the_window() {
        let tail = Tail::default();
        tail.extend(vec![RawEvent { blobs: Some(Bytes::from_static(b"sealed")), ..event(1) }, event(2)]);
        tail.detach(1, None);
        tail.detach(7, None);
        assert_eq!(tail.after(0, 9).unwrap(), [event(1), event(2)]);
    }
}
