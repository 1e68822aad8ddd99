//! The access tokens of one user.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::token::{Event, InvalidatedBefore};

/// What is known of a user's tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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

/// What an event makes of the state.
pub fn evolve(state: &mut State, event: &Event) {
    match event {
        Event::Issued(_) => {}
        Event::InvalidatedBefore(e) => state.invalid_before = Some(e.before),
    }
}
