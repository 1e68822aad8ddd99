//! Requests to become friends, of either side.

use actix_web::http::StatusCode;
use rollcall_schemas::ids::FriendRequestId;
use rollcall_schemas::plain::RequestState;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Call;
use super::people;
use super::problem::{Answer, Problem};
use crate::domain::Refusal;
use crate::domain::friendship::{self, AnswerRequest};
use crate::domain::values::Invalid;
use crate::engine;
use crate::http::friend_requests::{self, Filter, ShownRequest};

/// Which requests.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RequestListParams)]
pub(super) struct ListParams {
    /// sent or received; both where it is not said.
    direction: Option<String>,
    /// pending, accepted, refused, cancelled or expired; all where it is not said.
    state: Option<String>,
    /// The `next` of an earlier answer.
    cursor: Option<String>,
    /// How many, from 1 to 100; 50 where it is not said.
    limit: Option<u32>,
}

/// A page of requests, the latest first.
#[derive(Serialize, ToSchema)]
#[schema(as = RequestPage)]
pub(super) struct Page {
    friend_requests: Vec<ShownRequest>,
    next: Option<String>,
}

/// `friend_requests.list`.
pub(super) async fn list(call: &Call<'_>, asked: ListParams) -> Result<Answer, Problem> {
    let limit = people::limit(asked.limit, 50, 100)?;
    let cursor = people::cursor::<FriendRequestId>(asked.cursor.as_deref())?;
    let direction = asked
        .direction
        .map(|word| friend_requests::direction(&word).ok_or(Invalid::malformed("direction", "sent or received")));
    let state = asked.state.map(|word| {
        let expected = "pending, accepted, refused, cancelled or expired";
        word.parse::<RequestState>().map_err(|_| Invalid::malformed("state", expected))
    });
    let filter = Filter { direction: direction.transpose()?, state: state.transpose()? };
    call.engine.caught_up(&call.app.id).await?;
    let (friend_requests, beside) =
        friend_requests::page(call.engine, &call.caller, call.subject, filter, (cursor, limit)).await?;
    Answer::query(&Page { friend_requests, next: beside.next.map(|next| people::next(&next)) })
}

/// One request.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RequestParams {
    request_id: String,
}

/// `friend_requests.accept`.
pub(super) async fn accept(call: &Call<'_>, asked: RequestParams) -> Result<Answer, Problem> {
    answer(call, &asked, friendship::Answer::Accept).await
}

/// `friend_requests.refuse`.
pub(super) async fn refuse(call: &Call<'_>, asked: RequestParams) -> Result<Answer, Problem> {
    answer(call, &asked, friendship::Answer::Refuse).await
}

/// `friend_requests.cancel`.
pub(super) async fn cancel(call: &Call<'_>, asked: RequestParams) -> Result<Answer, Problem> {
    answer(call, &asked, friendship::Answer::Cancel).await
}

async fn answer(call: &Call<'_>, asked: &RequestParams, answer: friendship::Answer) -> Result<Answer, Problem> {
    let unknown = || Problem::Engine(engine::Error::Refused(Refusal::NoSuchFriendRequest));
    let request: FriendRequestId = asked.request_id.parse().map_err(|_| unknown())?;
    let command = AnswerRequest { who: call.me.clone(), request, answer };
    let done = call.engine.execute(&call.caller, command).await?;
    call.engine.caught_up(&call.app.id).await?;
    let shown = friend_requests::one(call.engine, &call.caller, call.subject, request).await?;
    Answer::command(StatusCode::OK, &shown.ok_or_else(unknown)?, done.position)
}
