//! A queue of waiting work per app; the apps take turns.

use std::collections::{HashMap, HashSet, VecDeque};

use rollcall_schemas::ids::AppId;

/// What waits and what runs. At most one piece of work of an app runs at a time.
pub(super) struct Queues<W> {
    waiting: HashMap<AppId, VecDeque<W>>,
    /// The apps with work that waits, whose turn is next first.
    turns: VecDeque<AppId>,
    running: HashSet<AppId>,
}

impl<W> Default for Queues<W> {
    fn default() -> Self {
        Self { waiting: HashMap::new(), turns: VecDeque::new(), running: HashSet::new() }
    }
}

impl<W> Queues<W> {
    /// Adds work of an app unless `max` of it are waiting; those for which `is_wanted` is false are dropped first.
    /// Answers whether it was added.
    pub(super) fn push(&mut self, app: &AppId, work: W, max: usize, is_wanted: impl Fn(&W) -> bool) -> bool {
        let queue = self.waiting.entry(app.clone()).or_default();
        let was_empty = queue.is_empty();
        queue.retain(is_wanted);
        if queue.len() >= max {
            return false;
        }
        queue.push_back(work);
        if was_empty {
            self.turns.push_back(app.clone());
        }
        true
    }

    /// The next work, of the first app in turn that has none running; it runs from now on.
    pub(super) fn begin(&mut self) -> Option<(AppId, W)> {
        let next = self.turns.iter().position(|app| !self.running.contains(app))?;
        let app = self.turns.remove(next)?;
        let queue = self.waiting.get_mut(&app)?;
        let work = queue.pop_front();
        if queue.is_empty() {
            self.waiting.remove(&app);
        } else {
            self.turns.push_back(app.clone());
        }
        self.running.insert(app.clone());
        work.map(|work| (app, work))
    }

    /// The running work of an app has ended.
    pub(super) fn end(&mut self, app: &AppId) {
        self.running.remove(app);
    }

    /// How much work waits, of all apps.
    pub(super) fn waiting_in_all(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }

    /// How much work of an app waits.
    #[cfg(test)]
    pub(super) fn waiting(&self, app: &AppId) -> usize {
        self.waiting.get(app).map_or(0, VecDeque::len)
    }

    /// Drops everything that waits.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.turns.clear();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn app(key: &str) -> AppId {
        key.parse().unwrap()
    }

    #[test]
    fn apps_take_turns_and_none_has_two_running() {
        let mut queues = Queues::default();
        for (key, work) in [("one", 1), ("one", 2), ("one", 3), ("two", 4), ("two", 5)] {
            assert!(queues.push(&app(key), work, 3, |_| true));
        }
        assert!(!queues.push(&app("one"), 6, 3, |_| true), "the queue of an app is bounded");
        assert!(queues.push(&app("three"), 7, 3, |_| true), "and only its own");
        let mut next = || queues.begin();
        assert_eq!(next(), Some((app("one"), 1)));
        assert_eq!(next(), Some((app("two"), 4)));
        assert_eq!(next(), Some((app("three"), 7)));
        assert_eq!(next(), None);
        queues.end(&app("two"));
        assert_eq!(queues.begin(), Some((app("two"), 5)));
        queues.end(&app("one"));
        assert_eq!(queues.begin(), Some((app("one"), 2)));
    }

    #[test]
    fn work_that_nobody_wants_any_more_frees_its_place() {
        let mut queues = Queues::default();
        for work in 0..3 {
            assert!(queues.push(&app("one"), work, 3, |_| true));
        }
        assert!(queues.push(&app("one"), 3, 3, |work| *work != 1));
        let mut all = vec![];
        while let Some((of, work)) = queues.begin() {
            queues.end(&of);
            all.push(work);
        }
        assert_eq!(all, [0, 2, 3]);
        assert!(queues.push(&app("one"), 4, 3, |_| true));
        queues.clear();
        assert_eq!(queues.begin(), None);
    }
}
