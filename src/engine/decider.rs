//! The decider loop: one thread that decides every command against states in memory, earlier commands of the same
//! batch included, and hands whole batches on. Nothing here waits for a disk.

use std::collections::HashMap;
use std::sync::Arc;

use rollcall_schemas::Event;
use rollcall_schemas::envelope::Metadata;
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::stream::Stream;
use rollcall_schemas::user;
use tokio::sync::{mpsc, oneshot};

use super::cache::Cache;
use super::clock::Clock;
use super::directory::Hold;
use super::in_flight::{Belief, Dependencies, InFlight, beliefs_of};
use super::nodes::ForeignAppends;
use super::snapshots::{self, Loaded};
use crate::domain::friendship::Tally;
use crate::domain::{self, Context, Decision, Defect, DynDecide, Reads, Refusal, Reply, State};
use crate::privacy::Tag;
use crate::supervision;

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
    /// Friends and requests that the submitter counted.
    pub counted: Vec<(SubjectRef, Tally)>,
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

/// Bounds of an engine.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most commands decided as one batch.
    pub batch_max: usize,
    /// Most bytes of states kept in memory.
    pub cache_bytes_max: usize,
    /// Most events the read models may be behind; further commands are answered busy.
    pub lag_max: u64,
    /// Friendships of friends that are looked at to suggest friends. Of a user whose friends have more, a part of the friends
    /// is looked at.
    pub suggestions_looked_at_max: usize,
    /// Friendships that are looked at to find a path from one user to another.
    pub path_looked_at_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch_max: 512,
            cache_bytes_max: 64 * 1024 * 1024,
            lag_max: 20_000,
            suggestions_looked_at_max: 5_000,
            path_looked_at_max: 500_000,
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
            let reads = looked_at.chain(declared.tallies().iter().copied().map(Belief::Tally)).collect();
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
        reads.tallies().iter().filter(|subject| cache.tallies.get(*subject).is_none()).copied().collect();
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
