//! Friend requests, as the faces show them.

use chrono::{DateTime, Utc};
use rollcall_projections::friend_graph::{self, Direction, Request};
use rollcall_projections::{Neighbours, Seek, user_directory};
use rollcall_schemas::ids::{FriendRequestId, SubjectRef};
use rollcall_schemas::plain::RequestState;
use serde::Serialize;
use utoipa::ToSchema;

use crate::engine::{Caller, Engine, Error};

/// Which requests of a user are asked for; `None`: all of them.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Filter {
    /// From whose side.
    pub(super) direction: Option<Direction>,
    /// How far they have come.
    pub(super) state: Option<RequestState>,
}

/// One request, as one of its sides sees it.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ShownRequest {
    /// Names it where it is accepted, refused or cancelled.
    request_id: String,
    /// sent or received.
    direction: &'static str,
    /// The other user.
    user_id: String,
    /// What was written with it.
    text: Option<String>,
    /// pending, accepted, refused, cancelled or expired.
    state: &'static str,
    requested_at: DateTime<Utc>,
    /// Until when it waits for its answer.
    expires_at: DateTime<Utc>,
    ended_at: Option<DateTime<Utc>>,
}

/// The word for a side.
pub(super) fn direction(word: &str) -> Option<Direction> {
    match word {
        "sent" => Some(Direction::Sent),
        "received" => Some(Direction::Received),
        _ => None,
    }
}

/// A page of the requests of a user, the latest first, and where the pages beside it are. Requests with somebody who is
/// deactivated are not shown, so that a page may be shorter than asked for.
///
/// # Errors
/// The read models or the vault are unavailable, or the read could not be recorded.
pub(super) async fn page(
    engine: &Engine,
    caller: &Caller,
    owner: SubjectRef,
    filter: Filter,
    (seek, limit): (impl Into<Seek<FriendRequestId>>, u32),
) -> Result<(Vec<ShownRequest>, Neighbours<FriendRequestId>), Error> {
    let seek = seek.into();
    let directions = filter.direction.map_or(vec![Direction::Sent, Direction::Received], |direction| vec![direction]);
    let states = filter.state.map_or(RequestState::ALL.to_vec(), |state| vec![state]);
    let mut rows = friend_graph::requests(engine.read(), owner, (&directions, &states), seek, limit + 1).await?;
    let beside = seek.cut(&mut rows, limit, |row| Some(row.id));
    let now = engine.now();
    rows.retain(|row| filter.state.is_none_or(|state| row.state_at(now) == state));
    Ok((shown(engine, caller, owner, rows).await?, beside))
}

/// One request of a user; `None`: the user has no such request.
///
/// # Errors
/// The read models or the vault are unavailable, or the read could not be recorded.
pub(super) async fn one(
    engine: &Engine,
    caller: &Caller,
    owner: SubjectRef,
    id: FriendRequestId,
) -> Result<Option<ShownRequest>, Error> {
    let row = friend_graph::request(engine.read(), &caller.app, id).await?;
    let row = row.filter(|row| row.from == owner || row.to == owner);
    Ok(shown(engine, caller, owner, row.into_iter().collect()).await?.pop())
}

/// The request of one user to another that waits for its answer.
///
/// # Errors
/// The read models are unavailable.
pub(super) async fn pending(
    engine: &Engine,
    from: SubjectRef,
    to: SubjectRef,
) -> Result<Option<FriendRequestId>, Error> {
    Ok(friend_graph::pending(engine.read(), from, to).await?.map(|row| row.id))
}

async fn shown(
    engine: &Engine,
    caller: &Caller,
    owner: SubjectRef,
    rows: Vec<Request>,
) -> Result<Vec<ShownRequest>, Error> {
    let others: Vec<_> = rows.iter().map(|row| if row.from == owner { row.to } else { row.from }).collect();
    let users = user_directory::by_subjects(engine.read(), &caller.app, &others).await?;
    let now = engine.now();
    // The text of a request is its sender's.
    let subjects: Vec<_> = others.iter().copied().chain([owner]).collect();
    engine
        .disclose(caller, &subjects, |opener| {
            let mut requests = Vec::with_capacity(rows.len());
            for ((row, other), user) in rows.iter().zip(&others).zip(users) {
                let Some(sealed) = user.filter(|user| !user.deactivated).and_then(|user| user.user_id) else {
                    continue;
                };
                let Some(user_id) = opener.open(*other, "user_id", &sealed)? else { continue };
                let text = match &row.text {
                    Some(sealed) => opener.open(row.from, "text", sealed)?,
                    None => None,
                };
                let state = row.state_at(now);
                let lapsed = (state == RequestState::Expired).then_some(row.expires_at);
                requests.push(ShownRequest {
                    request_id: row.id.to_string(),
                    direction: if row.from == owner { "sent" } else { "received" },
                    user_id,
                    text,
                    state: state.as_str(),
                    requested_at: row.requested_at,
                    expires_at: row.expires_at,
                    ended_at: row.ended_at.or(lapsed),
                });
            }
            Ok(requests)
        })
        .await
}
