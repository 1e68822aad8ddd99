//! One decision: over the streams that its command declares, and nothing else.

use chrono::{DateTime, Utc};
use rollcall_schemas::Event;
use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::stream::Stream;
use uuid::Uuid;

use super::command::{DynDecide, Person};
use super::friendship::Tally;
use super::state::{Aggregate, State};
use super::user::Status;
use super::{Defect, Error, Refusal, Reply, app, user};

/// What a decision may know besides the state: all that is not pure, as data.
#[derive(Debug, Clone)]
pub struct Context {
    /// The time of the decision, in milliseconds.
    pub now: DateTime<Utc>,
    /// Fresh random ids, at least as many as [`Decide::fresh_ids`](super::Decide::fresh_ids) asks for.
    pub fresh: Vec<Uuid>,
}

/// What a decision reads: declared before it is made, so that it can be loaded and must not change meanwhile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reads {
    /// In order, each once.
    streams: Vec<Stream>,
    tallies: Vec<SubjectRef>,
    expected: Option<Expected>,
}

/// A stream must have one of these revisions, or the command is refused: what the caller decided on has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// Which stream.
    pub stream: Stream,
    /// The revisions; 0: it must not exist.
    pub revisions: Vec<u64>,
}

impl Reads {
    /// What `declare` declares, and the stream of the app, which every command reads.
    #[must_use]
    pub(super) fn of(app: &AppId, declare: impl FnOnce(&mut Self)) -> Self {
        let mut reads = Self::of_app(app);
        declare(&mut reads);
        reads.in_order()
    }

    fn of_app(app: &AppId) -> Self {
        let mut streams = Vec::with_capacity(8);
        streams.push(Stream::App(app.clone()));
        Self { streams, tallies: vec![], expected: None }
    }

    fn in_order(mut self) -> Self {
        self.streams.sort_unstable();
        self.streams.dedup();
        self
    }

    /// Declares a stream.
    pub fn stream(&mut self, stream: Stream) {
        self.streams.push(stream);
    }

    /// Declares streams of a person; of one who was never named there are none.
    pub fn person(&mut self, person: &Person, kinds: &[fn(SubjectRef) -> Stream]) {
        for subject in person.subjects() {
            self.streams.extend(kinds.iter().map(|kind| kind(subject)));
        }
    }

    /// Declares how many friends and requests a subject has.
    pub fn tally(&mut self, subject: SubjectRef) {
        self.tallies.push(subject);
    }

    /// Has the command refused unless a stream has the revision that its caller expects. The stream is read, so that it
    /// cannot change before the command is recorded.
    pub fn expect(&mut self, expected: Expected) {
        if let Err(place) = self.streams.binary_search(&expected.stream) {
            self.streams.insert(place, expected.stream.clone());
        }
        self.expected = Some(expected);
    }

    /// The streams, in order, each once.
    #[must_use]
    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// The subjects whose tally is read.
    #[must_use]
    pub fn tallies(&self) -> &[SubjectRef] {
        &self.tallies
    }

    fn declares(&self, stream: &Stream) -> bool {
        self.streams.binary_search(stream).is_ok()
    }
}

/// The states there are. A decision never sees it but through its [`Reads`].
pub trait World {
    /// The state of a stream; `None`: it is not loaded.
    fn state(&self, stream: &Stream) -> Option<&State>;
    /// How many friends and requests a subject has; `None`: they are not counted.
    fn tally(&self, subject: SubjectRef) -> Option<Tally>;
    /// The revision that the state of a stream is of; `None`: it is not loaded, or this world has no revisions.
    fn revision(&self, _stream: &Stream) -> Option<u64> {
        None
    }
}

/// What a command comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What happened, in order, each in its stream.
    pub events: Vec<(Stream, Event)>,
    /// What the caller is answered.
    pub reply: Reply,
}

/// Decides a command of `app` over what it declares to read.
///
/// # Errors
/// Why the state of the world does not allow it, or that it does not keep to its declarations; then nothing happened at
/// all.
pub fn decide(
    app: &AppId,
    world: &dyn World,
    context: &Context,
    command: &dyn DynDecide,
    reads: &Reads,
) -> Result<Decision, Error> {
    if let Some(Expected { stream, revisions }) = &reads.expected {
        let revision = world.revision(stream).ok_or_else(|| Defect::NotLoaded(stream.clone()))?;
        if !revisions.contains(&revision) {
            return Err(Refusal::Changed.into());
        }
    }
    let mut work = UnitOfWork { app, world, context, reads, taken: 0, events: vec![] };
    if command.needs_app() && work.application()?.registered.is_none() {
        return Err(Refusal::NoSuchApp.into());
    }
    let reply = command.decide(&mut work)?;
    Ok(Decision { events: work.events, reply })
}

/// A decision while it is made: shows what was declared, and collects what happens.
pub struct UnitOfWork<'w> {
    app: &'w AppId,
    world: &'w dyn World,
    context: &'w Context,
    reads: &'w Reads,
    /// How many of the fresh ids are used.
    taken: usize,
    events: Vec<(Stream, Event)>,
}

impl<'w> UnitOfWork<'w> {
    /// The app whose command it is.
    #[must_use]
    pub fn app(&self) -> &'w AppId {
        self.app
    }

    /// The time of the decision.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.context.now
    }

    /// The state of the app.
    ///
    /// # Errors
    /// It is not loaded.
    pub fn application(&self) -> Result<&'w app::State, Defect> {
        self.state(self.app.clone())
    }

    /// The state of an aggregate.
    ///
    /// # Errors
    /// Its stream is not declared, or not loaded.
    pub fn state<A: Aggregate>(&self, id: A::Id) -> Result<&'w A, Defect> {
        let stream = A::stream(id);
        if !self.reads.declares(&stream) {
            return Err(Defect::UndeclaredRead(stream));
        }
        let Some(state) = self.world.state(&stream) else { return Err(Defect::NotLoaded(stream)) };
        A::of(state).ok_or(Defect::OtherAggregate(stream))
    }

    /// How many friends and requests a subject has.
    ///
    /// # Errors
    /// They are not declared, or not counted.
    pub fn tally(&self, subject: SubjectRef) -> Result<Tally, Defect> {
        if !self.reads.tallies.contains(&subject) {
            return Err(Defect::UndeclaredTally(subject));
        }
        self.world.tally(subject).ok_or(Defect::NotCounted(subject))
    }

    /// A random id that nobody has used.
    ///
    /// # Errors
    /// The command declares too few of them.
    pub fn fresh(&mut self) -> Result<Uuid, Defect> {
        let fresh = self.context.fresh.get(self.taken).copied().ok_or(Defect::FreshIds)?;
        self.taken += 1;
        Ok(fresh)
    }

    /// Records what happened to an aggregate.
    ///
    /// # Errors
    /// Its stream is neither declared nor one of a fresh id.
    pub fn record<A: Aggregate>(
        &mut self,
        id: A::Id,
        events: impl IntoIterator<Item = A::Event>,
    ) -> Result<(), Defect> {
        let stream = A::stream(id);
        if !self.reads.declares(&stream) && !self.is_fresh(&stream) {
            return Err(Defect::UndeclaredWrite(stream));
        }
        self.events.extend(events.into_iter().map(|event| (stream.clone(), event.into())));
        Ok(())
    }

    /// Whether the stream is of an id that this decision made up: it cannot exist.
    fn is_fresh(&self, stream: &Stream) -> bool {
        let taken = self.context.fresh.get(..self.taken).unwrap_or_default();
        stream.made_up().is_some_and(|id| taken.contains(&id))
    }

    /// Makes sure that the userId of `person` is known; refuses one behind the fence.
    ///
    /// # Errors
    /// The person is fenced or forgotten.
    pub fn unfenced(&mut self, person: &Person) -> Result<SubjectRef, Error> {
        let subject = self.mentioned(person)?;
        self.state::<user::State>(subject)?.unfenced()?;
        Ok(subject)
    }

    /// Makes sure that the userId of `person` is known.
    ///
    /// # Errors
    /// The person is forgotten, or not found by a command that introduces nobody.
    pub fn mentioned(&mut self, person: &Person) -> Result<SubjectRef, Error> {
        let subject = person.known()?;
        let state = self.state::<user::State>(subject)?;
        if state.status == Status::Forgotten {
            return Err(Refusal::NotRegistered.into());
        }
        // A command may name a person twice, such as in two remarks.
        let stream = Stream::User(subject);
        if !self.events.iter().any(|(written, _)| *written == stream) {
            self.record::<user::State>(subject, user::mention(state, subject, &person.user_id))?;
        }
        Ok(subject)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_stream_with_an_expected_revision_is_among_those_that_are_read_once() {
        let app: AppId = "app".parse().unwrap();
        let subject = |number| SubjectRef(Uuid::from_u128(number));
        let mut reads = Reads::of(&app, |reads| reads.stream(Stream::User(subject(2))));
        for expected in [1, 2, 3] {
            reads.expect(Expected { stream: Stream::User(subject(expected)), revisions: vec![7] });
        }
        assert!(reads.streams().is_sorted_by(|a, b| a < b), "{:?}", reads.streams());
        assert_eq!(reads.streams().len(), 4);
    }
}
