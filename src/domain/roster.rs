//! The seats of a development application: uniqueness of the limit is decided in this one stream.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::roster::{Event, Seated, Vacated};
use serde::{Deserialize, Serialize};

use super::Refusal;
use super::state::Recorded;

/// Most registered users of a development application.
pub const SEATS_MAX: usize = 100;

/// Who has a seat.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    seated: HashSet<SubjectRef>,
}

/// Gives a newly registered user a seat.
///
/// # Errors
/// All seats are taken.
pub fn seat(state: &State, app: &AppId, subject: SubjectRef) -> Result<Vec<Event>, Refusal> {
    if state.seated.contains(&subject) {
        Ok(vec![])
    } else if state.seated.len() >= SEATS_MAX {
        Err(Refusal::SeatsTaken)
    } else {
        Ok(vec![Seated { app: app.clone(), subject }.into()])
    }
}

/// Frees the seat of a user that is no more.
#[must_use]
pub fn vacate(state: &State, app: &AppId, subject: SubjectRef) -> Vec<Event> {
    if state.seated.contains(&subject) { vec![Vacated { app: app.clone(), subject }.into()] } else { vec![] }
}

impl Recorded for State {
    const VERSION: u32 = 1;

    fn entries(&self) -> usize {
        SEATS_MAX
    }
}

/// What an event makes of the state.
pub fn evolve(state: &mut State, event: &Event, _: DateTime<Utc>) {
    match event {
        Event::Seated(e) => {
            state.seated.insert(e.subject);
        }
        Event::Vacated(e) => {
            state.seated.remove(&e.subject);
        }
    }
}
