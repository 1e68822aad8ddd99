//! The ban of one user.

use chrono::{DateTime, Utc};
use rollcall_schemas::ban::{Event, Expired, Imposed, Lifted, Replaced};
use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::personal::Personal;
use rollcall_schemas::stream::Stream;
use serde::{Deserialize, Serialize};

use super::command::{Command, Decide, Found, Person};
use super::state::Recorded;
use super::values::{BanMinutes, Reason, UserId};
use super::{Error, Reads, UnitOfWork};

/// Until when the user is banned.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The end of the last ban that was not lifted; it may have passed.
    pub until: Option<DateTime<Utc>>,
}

/// Bans for so long from now on, or replaces the end of the ban there is.
#[must_use]
pub fn impose(
    state: &State,
    subject: SubjectRef,
    (minutes, reason): (BanMinutes, Option<&Reason>),
    now: DateTime<Utc>,
) -> Event {
    let reason = reason.map(|reason| Personal::Present(reason.as_str().to_owned()));
    let end = now + minutes.duration();
    match state.until {
        Some(until) if until > now => Replaced { subject, until: end, reason }.into(),
        Some(_) | None => Imposed { subject, until: end, reason }.into(),
    }
}

/// Lifts the ban there is; records that it came to its end where it did.
#[must_use]
pub fn lift(state: &State, subject: SubjectRef, now: DateTime<Utc>) -> Vec<Event> {
    match state.until {
        Some(until) if until > now => vec![Lifted { subject }.into()],
        Some(_) | None => expire(state, subject, now),
    }
}

/// Records that the ban came to its end, where it did.
#[must_use]
pub fn expire(state: &State, subject: SubjectRef, now: DateTime<Utc>) -> Vec<Event> {
    match state.until {
        Some(until) if until <= now => vec![Expired { subject, until }.into()],
        Some(_) | None => vec![],
    }
}

impl Recorded for State {
    const VERSION: u32 = 1;
}

/// What an event makes of the state.
pub fn evolve(state: &mut State, event: &Event, _: DateTime<Utc>) {
    match event {
        Event::Imposed(e) => state.until = Some(e.until),
        Event::Replaced(e) => state.until = Some(e.until),
        Event::Lifted(_) | Event::Expired(_) => state.until = None,
    }
}

/// Ban users.
#[derive(Debug, Clone)]
pub struct Ban<P = UserId> {
    /// Whom.
    pub who: Vec<P>,
    /// For how long from now on.
    pub minutes: BanMinutes,
    /// Why.
    pub reason: Option<Reason>,
}

impl Command for Ban {
    type Resolved = Ban<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        self.who.iter().collect()
    }

    fn introduces(&self) -> bool {
        true
    }

    fn resolve(&self, found: &Found) -> Result<Ban<Person>, Error> {
        Ok(Ban { who: found.people(&self.who)?, minutes: self.minutes, reason: self.reason.clone() })
    }
}

impl Decide for Ban<Person> {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        self.who.iter().for_each(|person| reads.person(person, &[Stream::User, Stream::Ban]));
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        for person in &self.who {
            let subject = work.unfenced(person)?;
            let imposed = impose(work.state(subject)?, subject, (self.minutes, self.reason.as_ref()), work.now());
            work.record::<State>(subject, [imposed])?;
        }
        Ok(())
    }
}

/// Lift the bans of users; who is not banned stays so.
#[derive(Debug, Clone)]
pub struct Lift<P = UserId> {
    /// Whose.
    pub who: Vec<P>,
}

impl Command for Lift {
    type Resolved = Lift<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        self.who.iter().collect()
    }

    fn resolve(&self, found: &Found) -> Result<Lift<Person>, Error> {
        Ok(Lift { who: found.people(&self.who)? })
    }
}

impl Decide for Lift<Person> {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        self.who.iter().for_each(|person| reads.person(person, &[Stream::User, Stream::Ban]));
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        for subject in self.who.iter().filter_map(|person| person.subject) {
            let lifted = lift(work.state(subject)?, subject, work.now());
            work.record::<State>(subject, lifted)?;
        }
        Ok(())
    }
}

/// Record that the ban of a subject came to its end.
#[derive(Debug, Clone)]
pub struct Expire(pub SubjectRef);

impl Decide for Expire {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        reads.stream(Stream::Ban(self.0));
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        let expired = expire(work.state(self.0)?, self.0, work.now());
        Ok(work.record::<State>(self.0, expired)?)
    }
}
