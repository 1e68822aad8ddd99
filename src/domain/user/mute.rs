//! A user's mute: it sends no direct messages, until a time or until it is unmuted.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::stream::Stream;
use rollcall_schemas::user::{
    DirectMessagesMuteExpired, DirectMessagesMuted, DirectMessagesMutedV2, DirectMessagesUnmuted, Event,
};
use serde::{Deserialize, Serialize};

use super::State;
use crate::domain::command::Decide;
use crate::domain::values::MuteMinutes;
use crate::domain::{Error, Reads, UnitOfWork};

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

/// Mutes for so long, or for good; a mute that runs gets this end.
pub(super) fn mute(
    mute: Option<Mute>,
    subject: SubjectRef,
    minutes: Option<MuteMinutes>,
    now: DateTime<Utc>,
) -> Vec<Event> {
    let (mut events, current) = settled(mute, subject, now);
    let ends_at = minutes.map(|minutes| now + minutes.duration());
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
