//! The access tokens of one user.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::stream::Stream;
use rollcall_schemas::token::{Event, InvalidatedBefore};
use serde::{Deserialize, Serialize};

use super::command::{Command, Decide, Found, Person};
use super::state::Recorded;
use super::user::{self, Status};
use super::values::UserId;
use super::{Error, Reads, Refusal, UnitOfWork};

/// What is known of a user's tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Tokens issued before this are invalid.
    pub invalid_before: Option<DateTime<Utc>>,
}

/// Invalidates the tokens issued before a time; an earlier time than was given before changes nothing.
#[must_use]
pub fn invalidate(state: &State, subject: SubjectRef, before: DateTime<Utc>) -> Vec<Event> {
    if state.invalid_before.is_some_and(|already| already >= before) {
        vec![]
    } else {
        vec![InvalidatedBefore { subject, before }.into()]
    }
}

impl Recorded for State {
    const VERSION: u32 = 1;
}

/// What an event makes of the state.
pub fn evolve(state: &mut State, event: &Event, _: DateTime<Utc>) {
    match event {
        Event::Issued(_) => {}
        Event::InvalidatedBefore(e) => state.invalid_before = Some(e.before),
    }
}

/// Invalidate the tokens that were issued to users before a time.
#[derive(Debug, Clone)]
pub struct Invalidate<P = UserId> {
    /// Whose.
    pub who: Vec<P>,
    /// Before when.
    pub before: DateTime<Utc>,
}

impl Command for Invalidate {
    type Resolved = Invalidate<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        self.who.iter().collect()
    }

    fn resolve(&self, found: &Found) -> Result<Invalidate<Person>, Error> {
        Ok(Invalidate { who: found.people(&self.who)?, before: self.before })
    }
}

impl Decide for Invalidate<Person> {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        self.who.iter().for_each(|person| reads.person(person, &[Stream::User, Stream::Token]));
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        for person in &self.who {
            let subject = person.known()?;
            match work.state::<user::State>(subject)?.status {
                Status::Registered | Status::Restricted | Status::Deactivated { .. } => {}
                Status::Unknown | Status::Named | Status::Forgotten => return Err(Refusal::NotRegistered.into()),
            }
            let invalidated = invalidate(work.state(subject)?, subject, self.before);
            work.record::<State>(subject, invalidated)?;
        }
        Ok(())
    }
}
