//! One request of a person about their data: received, perhaps extended once, answered or refused.

use chrono::{DateTime, Months, Utc};
use rollcall_schemas::data_request::{Answered, Event, Extended, Received, Refused};
use rollcall_schemas::ids::{DataRequestId, SubjectRef};
use rollcall_schemas::personal::Personal;
use rollcall_schemas::plain::DataRequestKind;

use super::Refusal;
use super::values::Reason;

/// Within how many months it has to be answered, and by how many that may be extended (GDPR, Article 12(3)).
const DUE_WITHIN: Months = Months::new(1);
const EXTENDED_BY: Months = Months::new(2);

/// How far it has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum State {
    /// There is none.
    #[default]
    Unknown,
    /// It waits for its answer.
    Open {
        /// By when it has to be answered.
        due_at: DateTime<Utc>,
        /// Whether there was more time already.
        extended: bool,
    },
    /// It was answered or refused.
    Closed,
}

/// What may be done with it.
#[derive(Debug, Clone)]
pub enum Change {
    /// Take two more months, once.
    Extend,
    /// It was done.
    Answer,
    /// It was not done, and why.
    Refuse(Option<Reason>),
}

/// Records a request that was received now, and is due in a month unless the caller says otherwise.
#[must_use]
pub fn receive(
    request: DataRequestId,
    subject: SubjectRef,
    kind: DataRequestKind,
    due_at: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Event {
    let in_a_month = || now.checked_add_months(DUE_WITHIN).unwrap_or(now);
    Received { request, subject, kind, due_at: due_at.unwrap_or_else(in_a_month) }.into()
}

/// Decides a change.
///
/// # Errors
/// There is no such request, or it is closed or was extended already.
pub fn decide(
    state: State,
    request: DataRequestId,
    subject: SubjectRef,
    change: Change,
) -> Result<Vec<Event>, Refusal> {
    let State::Open { due_at, extended } = state else {
        return Err(if state == State::Closed { Refusal::DataRequestClosed } else { Refusal::NoSuchDataRequest });
    };
    Ok(vec![match change {
        Change::Extend if extended => return Err(Refusal::DataRequestExtended),
        Change::Extend => {
            let due_at = due_at.checked_add_months(EXTENDED_BY).unwrap_or(due_at);
            Extended { request, subject, due_at }.into()
        }
        Change::Answer => Answered { request, subject }.into(),
        Change::Refuse(reason) => {
            let reason = reason.map(|reason| Personal::Present(reason.as_str().to_owned()));
            Refused { request, subject, reason }.into()
        }
    }])
}

/// What an event makes of the state.
pub fn evolve(state: &mut State, event: &Event) {
    *state = match event {
        Event::Received(e) => State::Open { due_at: e.due_at, extended: false },
        Event::Extended(e) => State::Open { due_at: e.due_at, extended: true },
        Event::Answered(_) | Event::Refused(_) => State::Closed,
    };
}
