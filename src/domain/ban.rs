//! The ban of one user: it runs, or is to begin later. A user has one at most.

use chrono::{DateTime, Utc};
use rollcall_schemas::ban::{
    Cancelled, Event, Expired, Imposed, ImposedV2, Lifted, Replaced, ReplacedV2, Scheduled, Started,
};
use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::personal::Personal;
use rollcall_schemas::stream::Stream;
use serde::{Deserialize, Serialize};

use super::command::{Command, Decide, Found, Person};
use super::state::Recorded;
use super::values::{BanMinutes, Note, Reason, UserId};
use super::{Error, Reads, Refusal, UnitOfWork};

/// From when until when a user is banned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    /// When the ban begins; `None`: it has begun, and that is recorded.
    pub starts_at: Option<DateTime<Utc>>,
    /// When it ends by itself; `None`: never.
    pub ends_at: Option<DateTime<Utc>>,
}

/// The ban of a user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The last ban that was neither lifted nor called off, as far as it is recorded; it may have ended.
    pub span: Option<Span>,
}

impl State {
    /// What the clock has made of the ban and is not recorded yet, and what is left of it.
    fn settled(&self, subject: SubjectRef, now: DateTime<Utc>) -> (Vec<Event>, Option<Span>) {
        let (mut events, mut span) = (vec![], self.span);
        if let Some(Span { starts_at: Some(starts_at), ends_at }) = span
            && starts_at <= now
        {
            events.push(Started { subject, starts_at, ends_at }.into());
            span = Some(Span { starts_at: None, ends_at });
        }
        if let Some(Span { starts_at: None, ends_at: Some(until) }) = span
            && until <= now
        {
            events.push(Expired { subject, until }.into());
            span = None;
        }
        (events, span)
    }
}

/// How long a ban lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// So long from its start on.
    Minutes(BanMinutes),
    /// Until this time.
    Until(DateTime<Utc>),
    /// Until it is lifted.
    Permanent,
}

/// When a ban begins and how long it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term {
    /// When it begins; `None`, or a time that has passed: now.
    pub starts_at: Option<DateTime<Utc>>,
    /// How long it lasts.
    pub length: Length,
}

impl From<BanMinutes> for Term {
    fn from(minutes: BanMinutes) -> Self {
        Self { starts_at: None, length: Length::Minutes(minutes) }
    }
}

impl Term {
    /// As it is decided at a time.
    pub(super) fn span(self, now: DateTime<Utc>) -> Result<Span, Refusal> {
        let starts_at = self.starts_at.filter(|at| *at > now);
        let begins = starts_at.unwrap_or(now);
        let ends_at = match self.length {
            Length::Minutes(minutes) => {
                Some(begins.checked_add_signed(minutes.duration()).ok_or(Refusal::BanEndsTooEarly)?)
            }
            Length::Until(at) => Some(at),
            Length::Permanent => None,
        };
        if ends_at.is_some_and(|at| at <= begins) {
            Err(Refusal::BanEndsTooEarly)
        } else {
            Ok(Span { starts_at, ends_at })
        }
    }
}

/// Over what a ban is imposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Whatever there is.
    Any,
    /// No ban, or one that ends earlier; one that runs and ends no earlier stays as it is.
    Shorter,
    /// This ban; over another one it is refused.
    This(Span),
    /// No ban; where one runs or is to begin it is refused.
    Nothing,
}

/// Whether a ban that ends at `one` ends no earlier than one that ends at `other`.
fn ends_no_earlier(one: Option<DateTime<Utc>>, other: Option<DateTime<Utc>>) -> bool {
    match (one, other) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(one), Some(other)) => one >= other,
    }
}

/// Bans as ordered, or replaces the ban there is.
///
/// # Errors
/// It would end before it begins, it is to begin later and a ban runs, or there is another ban than it is to replace.
pub fn impose(
    state: &State,
    subject: SubjectRef,
    ordered: &Ban<Person>,
    now: DateTime<Utc>,
) -> Result<Vec<Event>, Refusal> {
    let Span { starts_at, ends_at } = ordered.term.span(now)?;
    let (mut events, current) = state.settled(subject, now);
    let running = current.filter(|span| span.starts_at.is_none());
    match ordered.over {
        Over::Shorter if running.is_some_and(|span| ends_no_earlier(span.ends_at, ends_at)) => return Ok(events),
        Over::This(seen) if current != Some(seen) => return Err(Refusal::BanChanged),
        Over::Nothing if current.is_some() => return Err(Refusal::AlreadyBanned),
        Over::Any | Over::Shorter | Over::This(_) | Over::Nothing => {}
    }
    let reason = ordered.reason.as_ref().map(|reason| Personal::Present(reason.as_str().to_owned()));
    let note = ordered.note.as_ref().map(|note| Personal::Present(note.as_str().to_owned()));
    // The first version is recorded wherever it says everything: whoever follows only that one misses no such ban.
    events.push(match (starts_at, running, ends_at, note) {
        (Some(_), Some(_), ..) => return Err(Refusal::BanRuns),
        (Some(starts_at), None, ends_at, note) => Scheduled { subject, starts_at, ends_at, reason, note }.into(),
        (None, None, Some(until), None) => Imposed { subject, until, reason }.into(),
        (None, None, ends_at, note) => ImposedV2 { subject, ends_at, reason, note }.into(),
        (None, Some(_), Some(until), None) => Replaced { subject, until, reason }.into(),
        (None, Some(_), ends_at, note) => ReplacedV2 { subject, ends_at, reason, note }.into(),
    });
    Ok(events)
}

/// Lifts the ban that runs, and calls off one that is to begin where that is asked for; records what the clock did.
///
/// # Errors
/// There is another ban than the one that is to be lifted.
pub fn lift(
    state: &State,
    subject: SubjectRef,
    asked: &Lift<Person>,
    now: DateTime<Utc>,
) -> Result<Vec<Event>, Refusal> {
    let (mut events, current) = state.settled(subject, now);
    if asked.only.is_some_and(|seen| current != Some(seen)) {
        return Err(Refusal::BanChanged);
    }
    match current {
        Some(Span { starts_at: None, .. }) => events.push(Lifted { subject }.into()),
        Some(Span { starts_at: Some(_), .. }) if asked.scheduled => events.push(Cancelled { subject }.into()),
        Some(_) | None => {}
    }
    Ok(events)
}

/// Records that the ban began or came to its end, where it did.
#[must_use]
pub fn expire(state: &State, subject: SubjectRef, now: DateTime<Utc>) -> Vec<Event> {
    state.settled(subject, now).0
}

impl Recorded for State {
    const VERSION: u32 = 2;
}

/// What an event makes of the state.
pub fn evolve(state: &mut State, event: &Event, _: DateTime<Utc>) {
    let running = |ends_at| Some(Span { starts_at: None, ends_at });
    state.span = match event {
        Event::Imposed(e) => running(Some(e.until)),
        Event::ImposedV2(e) => running(e.ends_at),
        Event::Replaced(e) => running(Some(e.until)),
        Event::ReplacedV2(e) => running(e.ends_at),
        Event::Scheduled(e) => Some(Span { starts_at: Some(e.starts_at), ends_at: e.ends_at }),
        Event::Started(e) => running(e.ends_at),
        Event::Cancelled(_) | Event::Lifted(_) | Event::Expired(_) => None,
    };
}

/// Ban users.
#[derive(Debug, Clone)]
pub struct Ban<P = UserId> {
    /// Whom.
    pub who: Vec<P>,
    /// From when on and for how long.
    pub term: Term,
    /// Why.
    pub reason: Option<Reason>,
    /// What moderators tell each other.
    pub note: Option<Note>,
    /// Over what.
    pub over: Over,
}

impl Ban {
    /// From now on for so many minutes, without a word why.
    #[must_use]
    pub fn minutes(who: Vec<UserId>, minutes: BanMinutes) -> Self {
        Self { who, term: minutes.into(), reason: None, note: None, over: Over::Any }
    }
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
        Ok(Ban {
            who: found.people(&self.who)?,
            term: self.term,
            reason: self.reason.clone(),
            note: self.note.clone(),
            over: self.over,
        })
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
            let imposed = impose(work.state(subject)?, subject, self, work.now())?;
            work.record::<State>(subject, imposed)?;
        }
        Ok(())
    }
}

/// Lift the bans of users; who is not banned stays so.
#[derive(Debug, Clone)]
pub struct Lift<P = UserId> {
    /// Whose.
    pub who: Vec<P>,
    /// Whether bans that are to begin later are called off as well.
    pub scheduled: bool,
    /// The only ban that is lifted; over another one it is refused. `None`: whatever there is.
    pub only: Option<Span>,
}

impl Command for Lift {
    type Resolved = Lift<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        self.who.iter().collect()
    }

    fn resolve(&self, found: &Found) -> Result<Lift<Person>, Error> {
        Ok(Lift { who: found.people(&self.who)?, scheduled: self.scheduled, only: self.only })
    }
}

impl Decide for Lift<Person> {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        self.who.iter().for_each(|person| reads.person(person, &[Stream::User, Stream::Ban]));
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        for subject in self.who.iter().filter_map(|person| person.subject) {
            let lifted = lift(work.state(subject)?, subject, self, work.now())?;
            work.record::<State>(subject, lifted)?;
        }
        Ok(())
    }
}

/// Record that the ban of a subject began or came to its end.
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
