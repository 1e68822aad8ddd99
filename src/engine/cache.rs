//! The states that the decider keeps in memory, and how many friends and requests subjects have: bounded, and dropped where they
//! may be wrong.

use std::num::NonZeroUsize;

use lru::LruCache;
use rollcall_schemas::Event;
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::stream::Stream;

use super::in_flight::{Belief, InFlight, beliefs_of};
use super::snapshots::{self, Loaded};
use crate::domain::friendship::Tally;
use crate::domain::{State, World};

/// A state in memory.
pub(super) struct Cached {
    state: State,
    /// The revision the state is of.
    pub(super) revision: u64,
    since_snapshot: u64,
}

/// The states the loop keeps.
pub(super) struct Cache {
    pub(super) states: LruCache<Stream, Cached>,
    pub(super) tallies: LruCache<SubjectRef, Tally>,
    bytes: usize,
    dropped: Dropped,
}

/// What was dropped, and at which decision: what somebody began to load before may lack what was decided meanwhile.
struct Dropped {
    at: LruCache<Belief, u64>,
    /// What is not remembered one by one any more was dropped by then.
    all: u64,
}

const DROPPED_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add((1 << 16) - 1);

impl Dropped {
    pub(super) fn new() -> Self {
        Self { at: LruCache::new(DROPPED_MAX), all: 0 }
    }

    fn add(&mut self, belief: Belief, at: u64) {
        if let Some((pushed, before)) = self.at.push(belief.clone(), at)
            && pushed != belief
        {
            self.all = self.all.max(before);
        }
    }

    /// Whether it was dropped after somebody began to load it.
    fn is_since(&self, belief: &Belief, loaded_at: u64) -> bool {
        self.at.peek(belief).copied().unwrap_or(self.all) > loaded_at
    }
}

const COUNTED_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add((1 << 16) - 1);
const ENTRY_BYTES: usize = 96;

impl World for Cache {
    fn state(&self, stream: &Stream) -> Option<&State> {
        self.states.peek(stream).map(|cached| &cached.state)
    }
    fn tally(&self, subject: SubjectRef) -> Option<Tally> {
        self.tallies.peek(&subject).copied()
    }
    fn revision(&self, stream: &Stream) -> Option<u64> {
        self.states.peek(stream).map(|cached| cached.revision)
    }
}

impl Cache {
    pub(super) fn new() -> Self {
        let (states, tallies) = (LruCache::unbounded(), LruCache::new(COUNTED_MAX));
        Self { states, tallies, bytes: 0, dropped: Dropped::new() }
    }

    /// Takes over what a submitter loaded, unless it may lack what was decided since.
    pub(super) fn take_over(&mut self, loaded: Vec<Loaded>, counted: Vec<(SubjectRef, Tally)>, loaded_at: u64) {
        for loaded in loaded {
            if !self.dropped.is_since(&Belief::Stream(loaded.stream.clone()), loaded_at) {
                self.install(loaded);
            }
        }
        for (subject, tally) in counted {
            if !self.tallies.contains(&subject) && !self.dropped.is_since(&Belief::Tally(subject), loaded_at) {
                self.tallies.put(subject, tally);
            }
        }
    }

    pub(super) fn install(&mut self, loaded: Loaded) {
        match self.states.peek(&loaded.stream) {
            // What was decided since it was loaded counts; what another node appended meanwhile does too.
            Some(cached) if cached.revision >= loaded.revision => return,
            Some(_) => self.drop_state(&loaded.stream),
            None => {}
        }
        self.bytes += loaded.state.weight() + ENTRY_BYTES;
        let Loaded { stream, state, revision, since_snapshot } = loaded;
        self.states.put(stream, Cached { state, revision, since_snapshot });
    }

    /// The state of a stream, if it is to be recorded with the next event. `left`: how many entries of lists may still be
    /// recorded with the command.
    ///
    /// A command in flight may still fail, and another node then append something else at the same revision: nothing may be
    /// recorded of a state that such a command made. Where none is in flight, every event that made the state stands in the
    /// log, and the append fails unless the stream still has that revision.
    pub(super) fn due_snapshot(&mut self, stream: &Stream, in_flight: &InFlight, left: &mut usize) -> Option<State> {
        let cached = self.states.get_mut(stream)?;
        let is_due = snapshots::is_due(&cached.state, cached.since_snapshot)
            && !in_flight.is_changing(&Belief::Stream(stream.clone()));
        (is_due && cached.state.entries() <= *left).then(|| {
            *left -= cached.state.entries();
            cached.since_snapshot = 0;
            cached.state.clone()
        })
    }

    /// Believes nothing of this any more.
    pub(super) fn drop_belief(&mut self, belief: Belief, at: u64) {
        match &belief {
            Belief::Stream(stream) => self.drop_state(stream),
            Belief::Tally(subject) => drop(self.tallies.pop(subject)),
        }
        self.dropped.add(belief, at);
    }

    fn drop_state(&mut self, stream: &Stream) {
        if let Some(cached) = self.states.pop(stream) {
            self.bytes = self.bytes.saturating_sub(cached.state.weight() + ENTRY_BYTES);
        }
    }

    /// The log holds an event of this stream at this revision, appended here or by another node.
    pub(super) fn learn(&mut self, stream: &Stream, revision: u64, at: u64) {
        if self.states.peek(stream).is_none_or(|cached| cached.revision < revision) {
            beliefs_of(stream).for_each(|belief| self.drop_belief(belief, at));
        }
    }

    pub(super) fn shrink(&mut self, bytes_max: usize, in_flight: &InFlight) {
        if self.bytes <= bytes_max {
            return;
        }
        let at = in_flight.next();
        while self.bytes > bytes_max {
            let Some((stream, cached)) = self.states.pop_lru() else { break };
            self.bytes = self.bytes.saturating_sub(cached.state.weight() + ENTRY_BYTES);
            self.dropped.add(Belief::Stream(stream), at);
        }
    }

    pub(super) fn apply(&mut self, stream: &Stream, event: &Event, at: chrono::DateTime<chrono::Utc>) {
        let Some(cached) = self.states.get_mut(stream) else { return };
        let before = cached.state.weight();
        let counts_before = counts(stream, &cached.state);
        if let Err(misplaced) = cached.state.evolve(event, at) {
            // A decision can only record events of the stream's own aggregate.
            tracing::error!(%stream, %misplaced, "a decision has a defect; its state is loaded again");
            return self.drop_state(stream);
        }
        cached.revision += 1;
        cached.since_snapshot += 1;
        let counts_now = counts(stream, &cached.state);
        self.bytes = (self.bytes + cached.state.weight()).saturating_sub(before);
        for ((subject, before), (_, now)) in counts_before.into_iter().flatten().zip(counts_now.into_iter().flatten()) {
            if let Some(tally) = self.tallies.get_mut(&subject) {
                tally.change(before, now);
            }
        }
    }
}

/// What a friendship adds to the tallies of its two users; `None`: it is another stream.
fn counts(stream: &Stream, state: &State) -> Option<[(SubjectRef, Tally); 2]> {
    match (stream, state) {
        (Stream::Friendship(pair), State::Friendship(state)) => {
            Some(pair.both().map(|subject| (subject, Tally::of(state, subject))))
        }
        _ => None,
    }
}
