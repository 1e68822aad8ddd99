//! A bulk operation: requested, dealt with user by user, perhaps taken back.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, BatchId};
use rollcall_schemas::operation::{Act, Event, Progressed, ReasonGiven, Requested, UndoProgressed, UndoRequested};
use rollcall_schemas::personal::Personal;
use rollcall_schemas::plain::OwnText;
use rollcall_schemas::stream::Stream;
use serde::{Deserialize, Serialize};

use super::ban::{Length, Term};
use super::command::{Command, Decide, Found, Person};
use super::state::Recorded;
use super::values::{Reason, UserId};
use super::{Error, Reads, Refusal, UnitOfWork};

/// How far an operation has come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// What is done; `None`: there is no such operation.
    pub act: Option<Act>,
    /// How many users it is about.
    pub total: u32,
    /// With how many it has dealt.
    pub done: u32,
    /// For how many it has been taken back or not; `None`: it is not to be taken back.
    pub undone: Option<u32>,
}

impl Recorded for State {
    const VERSION: u32 = 1;
}

/// What an event makes of the state.
pub fn evolve(state: &mut State, event: &Event, _: DateTime<Utc>) {
    let count = |results: &[OwnText]| u32::try_from(results.len()).unwrap_or(u32::MAX);
    match event {
        Event::Requested(e) => {
            state.act = Some(e.act);
            state.total = u32::try_from(e.subjects.len()).unwrap_or(u32::MAX);
        }
        Event::ReasonGiven(_) => {}
        Event::Progressed(e) => state.done = e.from.saturating_add(count(&e.results)),
        Event::UndoRequested(_) => state.undone = Some(0),
        Event::UndoProgressed(e) => state.undone = Some(e.from.saturating_add(count(&e.results))),
    }
}

/// What is asked to be done to many users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BulkAct {
    /// Ban them from now on; who is banned for longer stays so.
    Ban(Length),
    /// Lift their bans, and call off those that are to begin.
    Unban,
    /// Deactivate them.
    Deactivate,
}

impl BulkAct {
    /// As it is recorded.
    #[must_use]
    pub const fn act(self) -> Act {
        match self {
            Self::Ban(_) => Act::Ban,
            Self::Unban => Act::Unban,
            Self::Deactivate => Act::Deactivate,
        }
    }
}

/// Begin an operation. It is about those of the users whose userIds are known; a ban makes them known.
#[derive(Debug, Clone)]
pub struct Request<P = UserId> {
    /// Whom it is about, each once.
    pub who: Vec<P>,
    /// What is to be done to each.
    pub asked: BulkAct,
    /// Why.
    pub reason: Option<Reason>,
}

impl Command for Request {
    type Resolved = Request<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        self.who.iter().collect()
    }

    fn introduces(&self) -> bool {
        self.asked.act() == Act::Ban
    }

    fn resolve(&self, found: &Found) -> Result<Request<Person>, Error> {
        Ok(Request { who: found.people(&self.who)?, asked: self.asked, reason: self.reason.clone() })
    }
}

impl Decide for Request<Person> {
    type Reply = BatchId;

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        self.who.iter().for_each(|person| reads.person(person, &[Stream::User]));
    }

    fn fresh_ids(&self) -> usize {
        1
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<BatchId, Error> {
        let ends_at = match self.asked {
            BulkAct::Ban(length) => Term { starts_at: None, length }.span(work.now())?.ends_at,
            BulkAct::Unban | BulkAct::Deactivate => None,
        };
        let mut subjects = Vec::with_capacity(self.who.len());
        for person in &self.who {
            if person.subject.is_some() {
                subjects.push(work.mentioned(person)?);
            }
        }
        let batch = BatchId(work.fresh()?);
        let requested = Requested { batch, act: self.asked.act(), subjects: subjects.clone(), ends_at };
        work.record::<State>(batch, [requested.into()])?;
        if let Some(reason) = &self.reason {
            let mut given = vec![];
            for (number, subject) in (0..).zip(subjects) {
                // The keys of somebody who is erased are destroyed: nothing can be sealed for it.
                if work.state::<super::user::State>(subject)?.unfenced().is_ok() {
                    let reason = Personal::Present(reason.as_str().to_owned());
                    given.push(ReasonGiven { batch, number, subject, reason }.into());
                }
            }
            work.record::<State>(batch, given)?;
        }
        Ok(batch)
    }
}

/// Record what became of the next users; what was recorded already is not recorded again.
#[derive(Debug, Clone)]
pub struct Progress {
    /// Which operation.
    pub batch: BatchId,
    /// Whether it is being taken back.
    pub undoes: bool,
    /// How many were dealt with before.
    pub from: u32,
    /// What became of each.
    pub results: Vec<String>,
}

impl Decide for Progress {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        reads.stream(Stream::Operation(self.batch));
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        let (batch, from) = (self.batch, self.from);
        let state: &State = work.state(batch)?;
        let reached = if self.undoes { state.undone } else { state.act.map(|_| state.done) };
        if reached != Some(from) || self.results.is_empty() {
            return Ok(());
        }
        let results = self.results.iter().cloned().map(OwnText).collect();
        let event: Event = match self.undoes {
            false => Progressed { batch, from, results }.into(),
            true => UndoProgressed { batch, from, results }.into(),
        };
        Ok(work.record::<State>(batch, [event])?)
    }
}

/// Take an operation back that has ended, as far as nobody has changed anything since. Repeating it changes nothing.
#[derive(Debug, Clone)]
pub struct Undo {
    /// Which.
    pub batch: BatchId,
}

impl Decide for Undo {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        reads.stream(Stream::Operation(self.batch));
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        let batch = self.batch;
        let state: &State = work.state(batch)?;
        match state.act {
            None => return Err(Refusal::NoSuchOperation.into()),
            Some(Act::Unban | Act::Deactivate) => return Err(Refusal::OperationHasNoUndo.into()),
            Some(Act::Ban) => {}
        }
        if state.done < state.total {
            return Err(Refusal::OperationRuns.into());
        }
        if state.undone.is_some() {
            return Ok(());
        }
        Ok(work.record::<State>(batch, [UndoRequested { batch }.into()])?)
    }
}
