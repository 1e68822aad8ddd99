//! Commands that were decided and have not come to an end: what they change, and what no longer counts because one of
//! them failed.
//!
//! A command is decided on streams as earlier commands will have left them. Where one of those is not appended after all,
//! whatever was decided on what it would have changed is decided again, and so on for what was decided on that. Everything
//! else goes on. What reaches the log in spite of this is refused there, by its revisions or because it rests on an item
//! of the same append that is refused; and no append is sent while one that it rests on is in flight.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::stream::Stream;
use tokio::sync::Notify;

/// What a decision may rest on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Belief {
    /// The state of a stream.
    Stream(Stream),
    /// How many friends and requests a subject has.
    Tally(SubjectRef),
}

/// All that changes with a stream.
pub(super) fn beliefs_of(stream: &Stream) -> impl Iterator<Item = Belief> + use<> {
    let counted = match stream {
        Stream::Friendship(pair) => Some(pair.both()),
        _ => None,
    };
    std::iter::once(Belief::Stream(stream.clone())).chain(counted.into_iter().flatten().map(Belief::Tally))
}

/// What a decided command rests on and changes.
#[derive(Debug, Default)]
pub(super) struct Dependencies {
    /// Its place in the order of decisions, from 1.
    pub(super) number: u64,
    /// What it changes; it rests on that too.
    pub(super) changes: Vec<Belief>,
    /// What it only looked at.
    pub(super) reads: Vec<Belief>,
    /// The commands that changed any of it last and had not come to an end, by their numbers. What those rest on in turn
    /// is not repeated here.
    rests_on: Vec<u64>,
}

impl Dependencies {
    /// Whether it was decided directly on one of these commands, none of which had come to its end.
    pub(super) fn rest_on(&self, commands: &RangeInclusive<u64>) -> bool {
        self.rests_on.iter().any(|number| commands.contains(number))
    }
}

/// Commands after `after` and before `before` that rest on it are to be decided again.
#[derive(Debug, Clone, Copy)]
struct Invalid {
    after: u64,
    /// `None`: the decider has not dropped what it believes yet.
    before: Option<u64>,
}

/// Commands in flight that change one belief.
#[derive(Debug, Default)]
struct Changing {
    count: u32,
    /// Number of the last of them.
    last: u64,
}

#[derive(Default)]
struct Inner {
    /// Number of the last decision.
    last: u64,
    changing: HashMap<Belief, Changing>,
    invalid: HashMap<Belief, Invalid>,
    /// What the decider has to drop.
    dropped: Vec<Belief>,
}

/// The commands in flight.
#[derive(Default)]
pub(super) struct InFlight {
    inner: Mutex<Inner>,
    ended: Notify,
}

impl InFlight {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        // The maps are whole after every statement: a panic elsewhere does not make them wrong.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of the last decision: who loads a state notes it first, so that it can be told whether the state was
    /// dropped meanwhile.
    pub(super) fn last(&self) -> u64 {
        self.inner().last
    }

    /// A number of its own in the order of decisions.
    pub(super) fn next(&self) -> u64 {
        let mut inner = self.inner();
        inner.last += 1;
        inner.last
    }

    /// A command was decided.
    pub(super) fn begin(&self, changes: Vec<Belief>, reads: Vec<Belief>) -> Dependencies {
        let mut inner = self.inner();
        inner.last += 1;
        let number = inner.last;
        let changing = changes.iter().chain(&reads).filter_map(|belief| inner.changing.get(belief));
        let rests_on = changing.map(|changing| changing.last).collect();
        for belief in &changes {
            let changing = inner.changing.entry(belief.clone()).or_default();
            changing.count += 1;
            changing.last = number;
        }
        Dependencies { number, changes, reads, rests_on }
    }

    /// Whether a command in flight changes it.
    pub(super) fn is_changing(&self, belief: &Belief) -> bool {
        self.inner().changing.contains_key(belief)
    }

    /// Whether a command was decided on what did not happen.
    pub(super) fn is_invalid(&self, Dependencies { number, changes, reads, .. }: &Dependencies) -> bool {
        let inner = self.inner();
        if inner.invalid.is_empty() {
            return false;
        }
        changes.iter().chain(reads).any(|belief| {
            let invalid = inner.invalid.get(belief);
            invalid
                .is_some_and(|invalid| *number > invalid.after && invalid.before.is_none_or(|before| *number < before))
        })
    }

    /// A command came to its end and what it changes stands in the log.
    pub(super) fn succeed(&self, dependencies: &Dependencies) {
        self.end(&mut self.inner(), dependencies);
    }

    /// A command came to its end, and what it would have changed did not happen, or not for certain. Nor is what is known
    /// of `also` as it was believed.
    pub(super) fn fail(&self, dependencies: &Dependencies, also: impl IntoIterator<Item = Belief>) {
        let mut inner = self.inner();
        let after = dependencies.number;
        for belief in dependencies.changes.iter().cloned().chain(also) {
            let invalid = inner.invalid.entry(belief.clone()).or_insert(Invalid { after, before: None });
            *invalid = Invalid { after: invalid.after.min(after), before: None };
            inner.dropped.push(belief);
        }
        self.end(&mut inner, dependencies);
    }

    fn end(&self, inner: &mut Inner, dependencies: &Dependencies) {
        for belief in &dependencies.changes {
            if let Some(changing) = inner.changing.get_mut(belief) {
                changing.count -= 1;
                if changing.count == 0 {
                    inner.changing.remove(belief);
                }
            }
        }
        self.ended.notify_waiters();
    }

    /// What the decider must not believe any more. Whatever it decides from now on counts again.
    pub(super) fn take_dropped(&self) -> Vec<Belief> {
        let mut inner = self.inner();
        if inner.dropped.is_empty() {
            return vec![];
        }
        inner.last += 1;
        let (before, dropped) = (inner.last, std::mem::take(&mut inner.dropped));
        for belief in &dropped {
            if let Some(invalid) = inner.invalid.get_mut(belief) {
                invalid.before.get_or_insert(before);
            }
        }
        dropped
    }

    /// No command decided before this number is still to be looked at.
    pub(super) fn passed(&self, number: u64) {
        let mut inner = self.inner();
        if !inner.invalid.is_empty() {
            inner.invalid.retain(|_, invalid| invalid.before.is_none_or(|before| before > number));
        }
    }

    /// Waits until no command in flight changes any of these: what is loaded then lacks nothing that was decided before.
    pub(super) async fn settled(&self, beliefs: &[Belief]) {
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            // Before looking: what ends meanwhile is not missed.
            ended.as_mut().enable();
            if !beliefs.iter().any(|belief| self.is_changing(belief)) {
                return;
            }
            ended.await;
        }
    }
}

#[cfg(test)]
mod tests;
