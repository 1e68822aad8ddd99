//! A batch planned without asking: each item is presumed to find its streams as it expects them, and its key unused.

use std::sync::Arc;

use foldhash::{HashMap, HashSet};

use super::stored;
use crate::eventlog::plan::Plan;
use crate::eventlog::{Item, Outcome};

/// What becomes of a batch if it is as presumed, and what must be so for it.
pub(super) struct Presumed {
    /// With positions behind the last event of the log, whichever that is: it begins at 1.
    pub(super) plan: Plan,
    /// Streams of which the revision must be the one at the same place in `seen_at`.
    pub(super) seen: Vec<String>,
    pub(super) seen_at: Vec<i64>,
}

impl Presumed {
    /// Nothing where an item would be refused even so, or where there is nothing to append: then it is asked.
    pub(super) fn of(items: &[Item]) -> Option<Self> {
        let mut expected = HashMap::<&str, u64>::default();
        for item in items {
            let appends = item.appends.iter().map(|append| (&append.stream, append.expected));
            let asserts = item.asserts.iter().map(|assert| (&assert.stream, assert.expected));
            for (stream, revision) in appends.chain(asserts) {
                // What a later item expects of it includes what this one appends.
                expected.entry(stream).or_insert(revision);
            }
        }
        let revisions = expected.iter().map(|(stream, revision)| (Arc::from(*stream), *revision)).collect();
        let mut plan = Plan { revisions, ..Plan::default() };
        plan.outcomes_told = items.iter().map(|item| plan.add(item)).collect();
        let appends = plan.outcomes_told.iter().all(|outcome| matches!(outcome, Outcome::Appended { .. }));
        if !appends || plan.events.is_empty() {
            return None;
        }
        let begun: HashSet<_> =
            plan.events.iter().filter(|event| event.revision == 1).map(|event| &*event.stream).collect();
        let (seen, seen_at) = expected
            .iter()
            .filter(|(stream, _)| !begun.contains(*stream))
            .map(|(stream, revision)| ((*stream).to_owned(), stored(*revision)))
            .unzip();
        Some(Self { plan, seen, seen_at })
    }
}
