//! The ban of one user.

use chrono::{DateTime, Utc};
use rollcall_schemas::ban::{Event, Expired, Imposed, Lifted, Replaced};
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::personal::Personal;

use super::values::{BanMinutes, Reason};

/// What may be asked of a ban.
#[derive(Debug, Clone)]
pub enum Command {
    /// Ban for so long from now on, or replace the end of the ban there is.
    Ban(BanMinutes, Option<Reason>),
    /// Lift the ban there is.
    Lift,
    /// Record that the ban came to its end.
    Expire,
}

/// Until when the user is banned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The end of the last ban that was not lifted; it may have passed.
    pub until: Option<DateTime<Utc>>,
}

/// Decides a command; none is ever refused.
#[must_use]
pub fn decide(state: &State, subject: SubjectRef, command: Command, now: DateTime<Utc>) -> Vec<Event> {
    match (state.until, command) {
        (until, Command::Ban(minutes, reason)) => {
            let reason = reason.map(|reason| Personal::Present(reason.as_str().to_owned()));
            let end = now + minutes.duration();
            match until {
                Some(until) if until > now => vec![Replaced { subject, until: end, reason }.into()],
                Some(_) | None => vec![Imposed { subject, until: end, reason }.into()],
            }
        }
        (Some(until), Command::Lift) if until > now => vec![Lifted { subject }.into()],
        (Some(until), Command::Lift | Command::Expire) if until <= now => vec![Expired { subject, until }.into()],
        (Some(_) | None, Command::Lift | Command::Expire) => vec![],
    }
}

/// What an event makes of the state.
pub fn evolve(state: &mut State, event: &Event) {
    match event {
        Event::Imposed(e) => state.until = Some(e.until),
        Event::Replaced(e) => state.until = Some(e.until),
        Event::Lifted(_) | Event::Expired(_) => state.until = None,
    }
}
