//! What a node knows of the log as of its last event: enough, mostly, to append without asking first.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;

use lru::LruCache;
use uuid::Uuid;

use crate::eventlog::Item;
use crate::eventlog::plan::{Plan, streams};

const STREAMS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add((1 << 17) - 1);

/// Revisions of streams that were used lately, true as long as the log ends with this event.
pub(super) struct Known {
    pub(super) last: (u64, Uuid),
    /// Whether nobody else had appended before the last batch. Where somebody does, what is known is mostly old, and to try
    /// it is work for nothing.
    alone: bool,
    revisions: LruCache<String, u64>,
}

impl Known {
    pub(super) fn new() -> Self {
        Self { last: (0, Uuid::nil()), alone: false, revisions: LruCache::new(STREAMS_MAX) }
    }

    /// A plan for a batch, if what is known is enough for one: whether the log still ends where it is believed to, and
    /// whether a new stream is new, the database checks.
    pub(super) fn plan(&mut self, items: &[Item]) -> Option<Plan> {
        if !self.alone || self.last.0 == 0 || items.iter().any(|item| item.idempotency.is_some()) {
            return None;
        }
        let asserted: HashSet<_> =
            items.iter().flat_map(|item| &item.asserts).map(|assert| assert.stream.as_str()).collect();
        // In the order of the items backwards: of a stream that comes twice, the first one counts.
        let appends = items.iter().rev().flat_map(|item| item.appends.iter().rev());
        let expected: HashMap<_, _> = appends.map(|append| (append.stream.as_str(), append.expected)).collect();
        let is_new = |stream: &str| expected.get(stream) == Some(&0) && !asserted.contains(stream);
        let mut plan = Plan { head: self.last.0, ..Plan::default() };
        for stream in streams(items) {
            match self.revisions.get(stream) {
                Some(revision) => drop(plan.revisions.insert(stream.to_owned(), *revision)),
                None if is_new(stream) => {}
                None => return None,
            }
        }
        Some(plan)
    }

    /// Learns what was committed; `before` is the event the log ended with before.
    pub(super) fn learn(&mut self, before: u64, plan: &Plan) {
        self.alone = before == self.last.0;
        if !self.alone {
            // Another node appended in between.
            self.revisions.clear();
        }
        for (stream, revision) in &plan.revisions {
            self.revisions.put(stream.clone(), *revision);
        }
        if let Some(last) = plan.events.last() {
            self.last = (last.position, last.id);
        } else if !self.alone {
            self.last = (0, Uuid::nil());
        }
    }

    /// Nothing is certain any more.
    pub(super) fn forget(&mut self) {
        *self = Self::new();
    }
}
