//! The decider loop: one thread that decides every command against states in memory, earlier commands of the same
//! batch included, and hands whole batches on. Nothing here waits for a disk.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;
use rollcall_schemas::Event;
use rollcall_schemas::envelope::Metadata;
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::stream::Stream;
use rollcall_schemas::{friendship, user};
use tokio::sync::{mpsc, oneshot};

use super::clock::Clock;
use super::directory::Hold;
use super::in_flight::{Belief, Dependencies, InFlight, beliefs_of};
use super::nodes::ForeignAppends;
use super::snapshots;
use crate::domain::{self, Context, Decision, Defect, DynDecide, Reads, Refusal, Reply, State, World};
use crate::privacy::Tag;
use crate::supervision;

/// A stream's state as it was loaded.
pub(super) struct Loaded {
    /// Which stream.
    pub stream: Stream,
    /// Its state.
    pub state: State,
    /// The revision the state is of.
    pub revision: u64,
    /// How many events stand in the stream since its state was last recorded.
    pub since_snapshot: u64,
}

impl Loaded {
    /// A stream without events.
    pub(super) fn empty(stream: Stream) -> Self {
        Self { state: State::of(&stream), revision: 0, since_snapshot: 0, stream }
    }
}

/// The retry guard of a command.
#[derive(Debug, Clone, Copy)]
pub(super) struct RetryGuard {
    /// Keyed hash of scope and key.
    pub key: [u8; 32],
    /// Keyed hash of the content.
    pub fingerprint: [u8; 32],
}

/// A command on its way through the loop.
pub(super) struct Submitted {
    /// Who asks, and why.
    pub metadata: Metadata,
    /// What is asked; every person is resolved.
    pub command: Box<dyn DynDecide>,
    /// What the command declares to read.
    pub reads: Reads,
    /// Fresh ids; the time is set by the loop.
    pub context: Context,
    /// The last decision when the submitter began to load and count: what was dropped after it is not taken from it.
    pub loaded_at: u64,
    /// States the submitter loaded because the loop did not have them.
    pub loaded: Vec<Loaded>,
    /// Numbers of friends the submitter counted.
    pub counted: Vec<(SubjectRef, usize)>,
    /// Reservations that live as long as the command.
    pub holds: Arc<Vec<Hold>>,
    /// Tags that are free once their subject is forgotten.
    pub forgets: Vec<(SubjectRef, Tag)>,
    /// The retry guard.
    pub guard: Option<RetryGuard>,
    /// Who waits for the answer.
    pub answer: oneshot::Sender<Answer>,
}

/// What became of a submitted command.
#[derive(Debug)]
pub(super) enum Answer {
    /// Durable up to this position.
    Done(Reply, u64),
    /// The state of the world does not allow it.
    Refused(Refusal),
    /// The command does not keep to what it declares.
    Defect(Defect),
    /// The loop does not have these states and counts: load them and submit again.
    Missing(Vec<Stream>, Vec<SubjectRef>),
    /// It was decided on a state that changed: submit again.
    Conflict,
    /// The key was used before: fingerprint and outcome of the first call.
    Replayed([u8; 32], Vec<u8>),
    /// The log or the vault could not take it; nothing was recorded.
    Failed(String),
    /// The log did not answer whether it took it.
    Unknown(String),
}

/// What a decision appends to one stream.
pub(super) struct StreamEvents {
    /// Which stream.
    pub stream: Stream,
    /// The revision it must have.
    pub expected: u64,
    /// Its state at that revision, where it is to be recorded with the first event.
    pub snapshot: Option<State>,
    /// The events.
    pub events: Vec<Event>,
}

/// A decided command.
pub(super) struct Decided {
    /// Who asked, and why.
    pub metadata: Metadata,
    /// Time of the decision.
    pub now: chrono::DateTime<chrono::Utc>,
    /// Events by stream.
    pub appends: Vec<StreamEvents>,
    /// Streams that must not have changed.
    pub asserts: Vec<(Stream, u64)>,
    /// What to answer.
    pub reply: Reply,
    /// As submitted.
    pub holds: Arc<Vec<Hold>>,
    /// Tags that are free once the command is recorded.
    pub forgets: Vec<Tag>,
    /// As submitted.
    pub guard: Option<RetryGuard>,
    /// As submitted.
    pub answer: oneshot::Sender<Answer>,
    /// What it rests on and what it changes.
    pub dependencies: Dependencies,
}

/// Commands decided one after the other, in order.
pub(super) type Batch = Vec<Decided>;

/// Bounds of the loop.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most commands decided as one batch.
    pub batch_max: usize,
    /// Most bytes of states kept in memory.
    pub cache_bytes_max: usize,
    /// Most events the read models may be behind; further commands are answered busy.
    pub lag_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { batch_max: 512, cache_bytes_max: 128 * 1024 * 1024, lag_max: 20_000 }
    }
}

struct Cached {
    state: State,
    revision: u64,
    since_snapshot: u64,
}

/// The states the loop keeps.
struct Cache {
    states: LruCache<Stream, Cached>,
    friends: LruCache<SubjectRef, usize>,
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
    fn new() -> Self {
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

const FRIENDS_COUNTED_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add((1 << 16) - 1);
const ENTRY_BYTES: usize = 96;

impl World for Cache {
    fn state(&self, stream: &Stream) -> Option<&State> {
        self.states.peek(stream).map(|cached| &cached.state)
    }
    fn friends(&self, subject: SubjectRef) -> Option<usize> {
        self.friends.peek(&subject).copied()
    }
}

impl Cache {
    fn new() -> Self {
        let (states, friends) = (LruCache::unbounded(), LruCache::new(FRIENDS_COUNTED_MAX));
        Self { states, friends, bytes: 0, dropped: Dropped::new() }
    }

    /// Takes over what a submitter loaded, unless it may lack what was decided since.
    fn take_over(&mut self, loaded: Vec<Loaded>, counted: Vec<(SubjectRef, usize)>, loaded_at: u64) {
        for loaded in loaded {
            if !self.dropped.is_since(&Belief::Stream(loaded.stream.clone()), loaded_at) {
                self.install(loaded);
            }
        }
        for (subject, count) in counted {
            if !self.friends.contains(&subject) && !self.dropped.is_since(&Belief::Friends(subject), loaded_at) {
                self.friends.put(subject, count);
            }
        }
    }

    fn install(&mut self, loaded: Loaded) {
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
    fn due_snapshot(&mut self, stream: &Stream, in_flight: &InFlight, left: &mut usize) -> Option<State> {
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
    fn drop_belief(&mut self, belief: Belief, at: u64) {
        match &belief {
            Belief::Stream(stream) => self.drop_state(stream),
            Belief::Friends(subject) => drop(self.friends.pop(subject)),
        }
        self.dropped.add(belief, at);
    }

    fn drop_state(&mut self, stream: &Stream) {
        if let Some(cached) = self.states.pop(stream) {
            self.bytes = self.bytes.saturating_sub(cached.state.weight() + ENTRY_BYTES);
        }
    }

    /// The log holds an event of this stream at this revision, appended here or by another node.
    fn learn(&mut self, stream: &Stream, revision: u64, at: u64) {
        if self.states.peek(stream).is_none_or(|cached| cached.revision < revision) {
            beliefs_of(stream).for_each(|belief| self.drop_belief(belief, at));
        }
    }

    fn shrink(&mut self, bytes_max: usize, in_flight: &InFlight) {
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

    fn apply(&mut self, stream: &Stream, event: &Event, at: chrono::DateTime<chrono::Utc>) {
        let Some(cached) = self.states.get_mut(stream) else { return };
        let before = cached.state.weight();
        let friends = |state: &State| *state == State::Friendship(domain::friendship::State::Friends);
        let were_friends = friends(&cached.state);
        if let Err(misplaced) = cached.state.evolve(event, at) {
            // A decision can only record events of the stream's own aggregate.
            tracing::error!(%stream, %misplaced, "a decision has a defect; its state is loaded again");
            return self.drop_state(stream);
        }
        cached.revision += 1;
        cached.since_snapshot += 1;
        let are_friends = friends(&cached.state);
        self.bytes = (self.bytes + cached.state.weight()).saturating_sub(before);
        if let (
            Event::Friendship(friendship::Event::Befriended(_) | friendship::Event::Ended(_)),
            Stream::Friendship(pair),
        ) = (event, stream)
        {
            for subject in pair.both() {
                if let Some(count) = self.friends.get_mut(&subject) {
                    *count = (*count + usize::from(are_friends)).saturating_sub(usize::from(were_friends));
                }
            }
        }
    }
}

/// Runs until it is sent `None`.
///
/// # Errors
/// Nobody takes what it decides.
pub(super) fn run(
    mut commands: mpsc::Receiver<Option<Submitted>>,
    batches: &mpsc::Sender<Batch>,
    in_flight: &InFlight,
    clock: &Clock,
    limits: Limits,
    foreign_appends: &ForeignAppends,
) -> Result<(), String> {
    let mut cache = Cache::new();
    let mut taken = Vec::with_capacity(limits.batch_max);
    while commands.blocking_recv_many(&mut taken, limits.batch_max) > 0 {
        supervision::reach("decider");
        drop_what_changed(&mut cache, in_flight, foreign_appends);
        let stopping = taken.iter().any(Option::is_none);
        let decided: Batch =
            taken.drain(..).flatten().filter_map(|submitted| decide(&mut cache, in_flight, submitted, clock)).collect();
        if !decided.is_empty() && batches.blocking_send(decided).is_err() {
            return Err("nobody takes what it decides".into());
        }
        if stopping {
            return Ok(());
        }
        cache.shrink(limits.cache_bytes_max, in_flight);
    }
    Ok(())
}

/// Drops what commands that failed would have changed, and what other nodes changed.
fn drop_what_changed(cache: &mut Cache, in_flight: &InFlight, foreign_appends: &ForeignAppends) {
    let (dropped, foreign) = (in_flight.take_dropped(), foreign_appends.take());
    if dropped.is_empty() && foreign.is_empty() {
        return;
    }
    let at = in_flight.next();
    dropped.into_iter().for_each(|belief| cache.drop_belief(belief, at));
    foreign.iter().for_each(|(stream, revision)| cache.learn(stream, *revision, at));
}

fn decide(cache: &mut Cache, in_flight: &InFlight, mut submitted: Submitted, clock: &Clock) -> Option<Decided> {
    let (loaded, counted) = (std::mem::take(&mut submitted.loaded), std::mem::take(&mut submitted.counted));
    cache.take_over(loaded, counted, submitted.loaded_at);
    submitted.context.now = clock.now();
    match outcome(cache, in_flight, &submitted) {
        Ok((appends, asserts, reply)) => {
            let Submitted { metadata, reads: declared, context, holds, forgets, guard, answer, .. } = submitted;
            // An erasure that waits leaves the userId taken.
            let is_forgotten = |subject: SubjectRef| {
                let mut events = appends.iter().flat_map(|append: &StreamEvents| &append.events);
                events.any(|event| matches!(event, Event::User(user::Event::Forgotten(e)) if e.subject == subject))
            };
            let forgets =
                forgets.into_iter().filter(|(subject, _)| is_forgotten(*subject)).map(|(_, tag)| tag).collect();
            let changes = appends.iter().flat_map(|append| beliefs_of(&append.stream)).collect();
            let looked_at = asserts.iter().map(|(stream, _): &(Stream, _)| Belief::Stream(stream.clone()));
            let reads = looked_at.chain(declared.tallies().iter().copied().map(Belief::Friends)).collect();
            let (now, dependencies) = (context.now, in_flight.begin(changes, reads));
            Some(Decided { metadata, now, appends, asserts, reply, holds, forgets, guard, answer, dependencies })
        }
        Err(answer) => {
            // The caller may have gone away; its answer is dropped.
            let _ = submitted.answer.send(answer);
            None
        }
    }
}

type Asserts = Vec<(Stream, u64)>;

fn outcome(
    cache: &mut Cache,
    in_flight: &InFlight,
    submitted: &Submitted,
) -> Result<(Vec<StreamEvents>, Asserts, Reply), Answer> {
    let Submitted { metadata, command, reads, context, .. } = submitted;
    let missing: Vec<_> =
        reads.streams().iter().filter(|stream| cache.states.get(*stream).is_none()).cloned().collect();
    let uncounted: Vec<_> =
        reads.tallies().iter().filter(|subject| cache.friends.get(*subject).is_none()).copied().collect();
    if !missing.is_empty() || !uncounted.is_empty() {
        return Err(Answer::Missing(missing, uncounted));
    }
    let decided = domain::decide(&metadata.app, cache, context, command.as_ref(), reads);
    let Decision { events, reply } = decided.map_err(|error| match error {
        domain::Error::Refused(refusal) => Answer::Refused(refusal),
        domain::Error::Defect(defect) => Answer::Defect(defect),
    })?;
    let mut appends: Vec<StreamEvents> = vec![];
    let mut left = snapshots::ENTRIES_MAX;
    let mut written: HashMap<Stream, usize> = HashMap::with_capacity(events.len());
    for (stream, event) in events {
        let index = *written.entry(stream).or_insert_with_key(|stream| {
            let expected = cache.states.peek(stream).map_or(0, |cached| cached.revision);
            // An erasure's stream is as new as its id: the decision writes it without having read it.
            cache.install(Loaded { revision: expected, ..Loaded::empty(stream.clone()) });
            let snapshot = cache.due_snapshot(stream, in_flight, &mut left);
            appends.push(StreamEvents { stream: stream.clone(), expected, snapshot, events: vec![] });
            appends.len() - 1
        });
        if let Some(append) = appends.get_mut(index) {
            cache.apply(&append.stream, &event, context.now);
            append.events.push(event);
        }
    }
    let only_read = reads.streams().iter().filter(|stream| !written.contains_key(*stream));
    let revision = |stream: &Stream| Some((stream.clone(), cache.states.peek(stream)?.revision));
    let asserts = only_read.filter_map(revision).collect();
    Ok((appends, asserts, reply))
}

#[cfg(test)]
mod tests;
