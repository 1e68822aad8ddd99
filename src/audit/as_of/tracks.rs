//! One input of a decision, as it was after each event that changed it.

use std::collections::{HashMap, VecDeque};

use chrono::{DateTime, Utc};
use rollcall_projections::PAGE_MAX;
use rollcall_schemas::Event;
use rollcall_schemas::ids::{Pair, SubjectRef};
use rollcall_schemas::stream::Stream;
use serde::Serialize;

use super::error::Error;
use super::past::Past;
use super::scratch::events_about;
use crate::domain::friendship::{self, Tally};
use crate::domain::{Misplaced, State};
use crate::engine::journal;
use crate::eventlog::RawEvent;

/// Most events of one input that are tried. Of an input with more, the latest are tried.
pub(super) const EVENTS_MAX: usize = 10_000;
const PAGE: usize = 512;

/// An event without which, all else being as it is, the command would not be refused in this way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// Its place in the log.
    pub position: u64,
    /// When it was recorded.
    pub at: DateTime<Utc>,
    /// Its name, such as `blocklist.blocked`.
    pub event: String,
    /// The stream it belongs to.
    pub stream: String,
    /// Its place in the stream.
    pub revision: u64,
}

/// Something a decision looks at.
#[derive(Clone)]
pub(super) enum Input {
    /// The state of a stream.
    State(Stream, State),
    /// The friendships and requests of a subject.
    Friendships(SubjectRef, HashMap<Pair, friendship::State>),
}

impl Input {
    fn evolve(&mut self, event: &Event, at: DateTime<Utc>) -> Result<(), Misplaced> {
        match self {
            Self::State(_, state) => state.evolve(event, at)?,
            Self::Friendships(_, states) => {
                let (one, other) = event.about();
                let pair = one.zip(other).and_then(|(one, other)| Pair::of(one, other));
                if let (Event::Friendship(event), Some(pair)) = (event, pair) {
                    friendship::evolve(states.entry(pair).or_default(), event, at);
                }
            }
        }
        Ok(())
    }

    /// How many friends and requests those are.
    pub(super) fn tally(subject: SubjectRef, states: &HashMap<Pair, friendship::State>) -> Tally {
        let mut tally = Tally::default();
        states.values().for_each(|state| tally += Tally::of(state, subject));
        tally
    }
}

/// An input with the events that made it what it is.
pub(super) struct Track {
    /// Before the first of the events.
    first: Input,
    last: Input,
    events: VecDeque<(Event, Fact)>,
    /// Whether there were more events than are kept.
    cut: bool,
    /// Index of the first event whose absence is tried: without the creation of an app there is nothing to decide on.
    least: usize,
}

impl Track {
    fn new(first: Input) -> Self {
        let least = usize::from(matches!(&first, Input::State(Stream::App(_), _)));
        Self { last: first.clone(), first, events: VecDeque::new(), cut: false, least }
    }

    /// The track of a stream up to a position.
    pub(super) async fn of_stream(past: Past<'_>, stream: Stream, until: u64) -> Result<Self, Error> {
        let name = stream.to_string();
        let mut track = Self::new(Input::State(stream.clone(), State::of(&stream)));
        let mut after = 0;
        loop {
            // A replay whose caller has gone is cancelled here.
            tokio::task::yield_now().await;
            let page = past.log.read_stream(&name, after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(track) };
            after = last.revision;
            for raw in page.iter().take_while(|raw| raw.position <= until) {
                track.see(raw)?;
            }
            if last.position > until {
                return Ok(track);
            }
        }
    }

    /// The track of a subject's friendships up to a position.
    pub(super) async fn of_friendships(past: Past<'_>, subject: SubjectRef, until: u64) -> Result<Self, Error> {
        let mut track = Self::new(Input::Friendships(subject, HashMap::new()));
        let mut after = 0;
        loop {
            let page = events_about(past, subject, after, until, PAGE_MAX).await?;
            let Some(last) = page.last() else { return Ok(track) };
            after = last.position;
            for raw in page.iter().filter(|raw| raw.name.starts_with("friendship.")) {
                track.see(raw)?;
            }
        }
    }

    fn see(&mut self, raw: &RawEvent) -> Result<(), Error> {
        let recorded = journal::decode(raw)?;
        let fact = Fact {
            position: raw.position,
            at: raw.recorded_at,
            event: raw.name.to_string(),
            stream: raw.stream.to_string(),
            revision: raw.revision,
        };
        self.last.evolve(&recorded.event, raw.recorded_at)?;
        self.events.push_back((recorded.event, fact));
        if self.events.len() > EVENTS_MAX
            && let Some((event, fact)) = self.events.pop_front()
        {
            self.first.evolve(&event, fact.at)?;
            (self.cut, self.least) = (true, 0);
        }
        Ok(())
    }

    /// The input as it is after all of it.
    pub(super) fn last(&self) -> Input {
        self.last.clone()
    }

    /// Whether there were more events than are tried.
    pub(super) fn is_cut(&self) -> bool {
        self.cut
    }

    /// The stream or the friends that it follows.
    pub(super) fn name(&self) -> String {
        match &self.first {
            Input::State(stream, _) => stream.to_string(),
            Input::Friendships(subject, _) => format!("friends of {subject}"),
        }
    }

    /// The event from which on `holds` is true to the end; `None` where it is true from the start.
    ///
    /// # Errors
    /// An event is of another aggregate.
    pub(super) fn since(&self, mut holds: impl FnMut(Input) -> bool) -> Result<Option<Fact>, Misplaced> {
        let mut input = self.first.clone();
        let mut since = None;
        let mut held = self.least > 0 || holds(input.clone());
        for (index, (event, fact)) in self.events.iter().enumerate() {
            input.evolve(event, fact.at)?;
            let holds = index < self.least || holds(input.clone());
            match (held, holds) {
                (false, true) => since = Some(fact.clone()),
                (true, false) => since = None,
                (true, true) | (false, false) => {}
            }
            held = holds;
        }
        Ok(since)
    }
}
