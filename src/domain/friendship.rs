//! The friendship of two users.

use chrono::{DateTime, Duration, Utc};
use rollcall_schemas::friendship::{Befriended, Described, Ended, Event, Requested};
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::personal::Personal;
use rollcall_schemas::plain::{EndCause, FriendPermission};
use serde_json::Value;

use super::Refusal;
use super::values::{ProfileChanges, Remark, RequestText};

/// How long a request waits for its answer.
pub const REQUEST_DAYS: i64 = 7;

/// What two users are to each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum State {
    /// Nothing.
    #[default]
    Strangers,
    /// One asked.
    Requested {
        /// Who asked.
        from: SubjectRef,
        /// When the request lapses.
        expires_at: DateTime<Utc>,
    },
    /// Friends.
    Friends,
}

/// `from` wants `to` as a friend; `permission` is what `to` allows, `None` to add directly.
///
/// # Errors
/// They are friends already, or `to` allows nobody.
pub fn befriend(
    state: &State,
    (from, to): (SubjectRef, SubjectRef),
    permission: Option<FriendPermission>,
    text: Option<&RequestText>,
    now: DateTime<Utc>,
) -> Result<Vec<Event>, Refusal> {
    let befriended = || Ok(vec![Befriended { from, to }.into()]);
    match (state, permission) {
        (State::Friends, _) => Err(Refusal::AlreadyFriends),
        (_, None | Some(FriendPermission::Anyone)) => befriended(),
        // Both asked: nobody is left to approve.
        (State::Requested { from: asked, expires_at }, Some(_)) if *asked == to && *expires_at > now => befriended(),
        (State::Requested { from: asked, expires_at }, Some(FriendPermission::Approval))
            if *asked == from && *expires_at > now =>
        {
            Ok(vec![])
        }
        (State::Strangers | State::Requested { .. }, Some(FriendPermission::Approval)) => Ok(vec![
            Requested {
                from,
                to,
                text: text.map(|text| Personal::Present(text.as_str().to_owned())),
                expires_at: now + Duration::days(REQUEST_DAYS),
            }
            .into(),
        ]),
        (State::Strangers | State::Requested { .. }, Some(FriendPermission::Nobody)) => Err(Refusal::TargetRefusesAll),
    }
}

/// Ends the friendship, and for a cause other than a plain removal the request too.
#[must_use]
pub fn end(state: &State, by: SubjectRef, other: SubjectRef, cause: EndCause) -> Vec<Event> {
    match (state, cause) {
        (State::Strangers, _) | (State::Requested { .. }, EndCause::Removed | EndCause::Cleared) => vec![],
        (State::Friends, _) | (State::Requested { .. }, EndCause::Deactivated) => {
            vec![Ended { by, other, cause }.into()]
        }
    }
}

/// `owner` describes `about` for itself; an empty remark is taken away.
///
/// # Errors
/// They are not friends.
pub fn describe(
    state: &State,
    (owner, about): (SubjectRef, SubjectRef),
    remark: Option<Option<&Remark>>,
    changes: &ProfileChanges,
) -> Result<Vec<Event>, Refusal> {
    if *state != State::Friends {
        return Err(Refusal::NotFriends);
    }
    if remark.is_none() && changes.is_empty() {
        return Ok(vec![]);
    }
    let text = |value: &Option<Value>| value.as_ref().and_then(Value::as_str).map(str::to_owned);
    Ok(vec![
        Described {
            owner,
            about,
            remark: remark.flatten().map(|remark| Personal::Present(remark.as_str().to_owned())),
            remark_cleared: remark.is_some_and(|remark| remark.is_none()),
            fields: changes.iter().filter_map(|(k, v)| Some((k.clone(), Personal::Present(text(v)?)))).collect(),
            cleared: changes.iter().filter(|(_, v)| v.is_none()).map(|(k, _)| k.clone()).collect(),
        }
        .into(),
    ])
}

/// What an event makes of the state.
pub fn evolve(state: &mut State, event: &Event) {
    match event {
        Event::Requested(e) => *state = State::Requested { from: e.from, expires_at: e.expires_at },
        Event::Befriended(_) => *state = State::Friends,
        Event::Ended(_) => *state = State::Strangers,
        Event::Described(_) => {}
    }
}
