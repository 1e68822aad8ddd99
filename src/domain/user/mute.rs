//! A user's mute: it sends no direct messages, until a time or until it is unmuted.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::stream::Stream;
use rollcall_schemas::user::{
    DirectMessagesMuteExpired, DirectMessagesMuted, DirectMessagesMutedV2, DirectMessagesUnmuted, Event,
};
use serde::{Deserialize, Serialize};

use super::State;
use crate::domain::command::{Command, Decide, Found, Person};
use crate::domain::values::{MuteMinutes, UserId};
use crate::domain::{Error, Reads, Refusal, UnitOfWork};

/// A mute that nobody ended, as far as that is recorded; its time may be over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mute {
    /// When it ends by itself; `None`: never.
    pub ends_at: Option<DateTime<Utc>>,
}

/// What the clock has made of a mute and is not recorded yet, and what is left of it.
fn settled(mute: Option<Mute>, subject: SubjectRef, now: DateTime<Utc>) -> (Vec<Event>, Option<Mute>) {
    match mute {
        Some(Mute { ends_at: Some(until) }) if until <= now => {
            (vec![DirectMessagesMuteExpired { subject, until }.into()], None)
        }
        mute => (vec![], mute),
    }
}

/// Mutes until a time, or for good; a mute that runs gets this end.
pub(super) fn mute(
    mute: Option<Mute>,
    subject: SubjectRef,
    ends_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Vec<Event> {
    let (mut events, current) = settled(mute, subject, now);
    // The first version is recorded wherever it says everything: whoever follows only that one misses no such mute.
    match (current, ends_at) {
        (Some(Mute { ends_at: None }), None) => {}
        (_, None) => events.push(DirectMessagesMuted { subject }.into()),
        (_, Some(_)) => events.push(DirectMessagesMutedV2 { subject, ends_at }.into()),
    }
    events
}

/// Ends the mute that runs.
pub(super) fn unmute(mute: Option<Mute>, subject: SubjectRef, now: DateTime<Utc>) -> Vec<Event> {
    let (mut events, current) = settled(mute, subject, now);
    events.extend(current.map(|_| DirectMessagesUnmuted { subject }.into()));
    events
}

/// When a mute ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MuteEnd {
    /// So long from now on.
    After(MuteMinutes),
    /// At this time.
    At(DateTime<Utc>),
    /// Once the user is unmuted.
    Never,
}

impl MuteEnd {
    /// As it is decided at a time; `None`: never.
    fn at(self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self {
            Self::After(minutes) => Some(now + minutes.duration()),
            Self::At(at) => Some(at),
            Self::Never => None,
        }
    }
}

/// Mute a user that may be muted already, as an import does. An end that has passed mutes nobody.
#[derive(Debug, Clone)]
pub struct ImportMute<P = UserId> {
    /// Whom.
    pub who: P,
    /// Until when.
    pub end: MuteEnd,
    /// Whether a mute that runs gets this end; otherwise it is refused.
    pub updates: bool,
}

impl Command for ImportMute {
    type Resolved = ImportMute<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        vec![&self.who]
    }

    fn introduces(&self) -> bool {
        true
    }

    fn resolve(&self, found: &Found) -> Result<ImportMute<Person>, Error> {
        Ok(ImportMute { who: found.person(&self.who)?, end: self.end, updates: self.updates })
    }
}

impl Decide for ImportMute<Person> {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        reads.person(&self.who, &[Stream::User]);
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        let now = work.now();
        let ends_at = self.end.at(now);
        if ends_at.is_some_and(|at| at <= now) {
            return Ok(());
        }
        let subject = work.unfenced(&self.who)?;
        let before = work.state::<State>(subject)?.mute;
        let (_, running) = settled(before, subject, now);
        if running.is_some() && !self.updates {
            return Err(Refusal::AlreadyMuted.into());
        }
        Ok(work.record::<State>(subject, mute(before, subject, ends_at, now))?)
    }
}

/// Record that the mute of a subject came to its end.
#[derive(Debug, Clone)]
pub struct ExpireMute(pub SubjectRef);

impl Decide for ExpireMute {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        reads.stream(Stream::User(self.0));
    }

    /// Also where the user is restricted: its mute must not be found running once it is restored.
    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        let (expired, _) = settled(work.state::<State>(self.0)?.mute, self.0, work.now());
        Ok(work.record::<State>(self.0, expired)?)
    }
}
