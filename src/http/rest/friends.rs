//! Friends and friend requests.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use chrono::{DateTime, Utc};
use rollcall_projections::Order;
use rollcall_schemas::ids::FriendRequestId;
use rollcall_schemas::plain::RequestState;
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::Call;
use super::paging::{PageLinks, PageQuery};
use super::problem::{Answer, Problem};
use super::users::{owner, user_id};
use crate::domain::friendship::{self, AnswerRequest, Befriend, ClearFriends, Describe, Unfriend};
use crate::domain::values::{self, Invalid, ProfileChanges, Remark, RequestText, UserId, extension_fields};
use crate::domain::{Befriended, Refusal};
use crate::engine::graph::{Names, Searched};
use crate::engine::{Done, Error};
use crate::http::friend_list::{self, FriendList, ShownFriend};
use crate::http::friend_requests::{self, Filter, ShownRequest};

/// Pairs one call may check.
const PAIRS_MAX: usize = 1_000;
/// Extension fields one call may set.
const FIELDS_MAX: usize = 10;
/// Characters a search may have.
const SEARCHED_CHARS_MAX: usize = 64;

/// A friend of a user.
#[derive(Serialize, ToSchema)]
pub(super) struct Friend {
    user_id: String,
    name: Option<String>,
    /// What the user calls the friend.
    remark: Option<String>,
    /// Extension fields that the user keeps about the friend.
    fields: BTreeMap<String, String>,
    friends_since: DateTime<Utc>,
}

impl Friend {
    pub(super) fn of(friend: ShownFriend) -> Self {
        let ShownFriend { user_id, name, remark, fields, befriended_at } = friend;
        Self { user_id, name, remark, fields, friends_since: befriended_at }
    }
}

/// The user a path names second.
fn target(call: &Call<'_>) -> Result<UserId, Problem> {
    UserId::parse("target", call.parameter(1)).map_err(|invalid| Problem::Invalid("{target}", invalid))
}

/// The friend a path names; 404 where they are not friends.
async fn one(call: &Call<'_>) -> Result<Friend, Problem> {
    let owner = owner(call).await?;
    let target = call.engine.find(&call.app.id, &target(call)?).await?;
    let found = friend_list::among(call.engine, &call.caller, owner, target.as_slice()).await?;
    found.into_iter().next().map(Friend::of).ok_or(Problem::NoSuchFriend)
}

/// `GET /users/{id}/friends/{target}`.
pub(super) async fn show(call: &Call<'_>) -> Result<Answer, Problem> {
    Answer::query(&one(call).await?)
}

/// `PUT /users/{id}/friends/{target}`: the two are friends, whether the target permits it or not. 201: they were not before.
pub(super) async fn add(call: &Call<'_>) -> Result<Answer, Problem> {
    let (who, target) = (user_id(call.parameter(0))?, target(call)?);
    let (status, position) =
        match call.engine.execute(&call.caller, Befriend { who, target, direct: true, text: None }).await {
            Ok(done) => (StatusCode::CREATED, done.position),
            Err(Error::Refused(Refusal::AlreadyFriends)) => (StatusCode::OK, 0),
            Err(error) => return Err(error.into()),
        };
    Answer::command(status, &one(call).await?, position)
}

/// Who is asked.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FriendWanted {
    user_id: String,
    /// What is written with the request; at most 128 characters.
    #[serde(default)]
    text: Option<String>,
}

/// What the wish came to.
#[derive(Serialize, ToSchema)]
pub(super) struct Wished {
    /// friends or requested.
    status: &'static str,
    /// The request that waits for its answer.
    request_id: Option<String>,
}

/// `POST /users/{id}/friends`: befriend another user as that one permits. Asking twice is asking once.
pub(super) async fn befriend(call: &Call<'_>) -> Result<Answer, Problem> {
    let who = user_id(call.parameter(0))?;
    let asked: FriendWanted = call.json()?;
    let target = UserId::parse("user_id", &asked.user_id).map_err(|invalid| Problem::Invalid("#/user_id", invalid))?;
    let text = asked.text.as_deref().filter(|text| !text.is_empty()).map(RequestText::parse).transpose();
    let text = text.map_err(|invalid| Problem::Invalid("#/text", invalid))?;
    let command = Befriend { who: who.clone(), target: target.clone(), direct: false, text };
    match call.engine.execute(&call.caller, command).await {
        Ok(Done { reply: Befriended::Waiting, position }) => {
            call.engine.caught_up(&call.app.id).await?;
            let subjects = call.engine.find_all(&call.app.id, &[who, target]).await?;
            let request = match subjects[..] {
                [Some(from), Some(to)] => friend_requests::pending(call.engine, from, to).await?,
                _ => None,
            };
            let request_id = request.map(|request| request.to_string());
            Answer::command(StatusCode::ACCEPTED, &Wished { status: "requested", request_id }, position)
        }
        Ok(Done { reply: Befriended::Friends, position }) => {
            Answer::command(StatusCode::OK, &Wished { status: "friends", request_id: None }, position)
        }
        Err(Error::Refused(Refusal::AlreadyFriends)) => Answer::query(&Wished { status: "friends", request_id: None }),
        Err(error) => Err(error.into()),
    }
}

/// What a user writes about a friend (JSON Merge Patch).
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct FriendPatch {
    /// At most 64 characters; null takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    remark: Option<Option<String>>,
    /// Extension fields; null takes one away.
    #[serde(default)]
    #[schema(value_type = Object)]
    fields: serde_json::Map<String, serde_json::Value>,
}

/// A member that is there, be it null.
#[allow(clippy::option_option)] // Absent, null, or a value.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// `PATCH /users/{id}/friends/{target}`: describe a friend.
pub(super) async fn describe(call: &Call<'_>) -> Result<Answer, Problem> {
    let (owner, about) = (user_id(call.parameter(0))?, target(call)?);
    let asked: FriendPatch = call.json()?;
    let remark = match asked.remark {
        Some(Some(text)) if !text.is_empty() => {
            Some(Some(Remark::parse(&text).map_err(|invalid| Problem::Invalid("#/remark", invalid))?))
        }
        Some(_) => Some(None),
        None => None,
    };
    let changes = if asked.fields.is_empty() {
        ProfileChanges::new()
    } else {
        extension_fields("fields", &asked.fields, FIELDS_MAX)
            .map_err(|invalid| Problem::Invalid("#/fields", invalid))?
    };
    let done = call.engine.execute(&call.caller, Describe { owner, about, remark, changes }).await?;
    Answer::command(StatusCode::OK, &one(call).await?, done.position)
}

/// `DELETE /users/{id}/friends/{target}`: the two are friends no longer.
pub(super) async fn remove(call: &Call<'_>) -> Result<Answer, Problem> {
    let command = Unfriend { who: user_id(call.parameter(0))?, targets: vec![target(call)?] };
    Ok(Answer::done(call.engine.execute(&call.caller, command).await?.position))
}

/// `DELETE /users/{id}/friends`: the user has no friends any more.
pub(super) async fn clear(call: &Call<'_>) -> Result<Answer, Problem> {
    let command = ClearFriends { who: user_id(call.parameter(0))? };
    Ok(Answer::done(call.engine.execute(&call.caller, command).await?.position))
}

/// One page of friends.
#[derive(Serialize, ToSchema)]
pub(super) struct Friends {
    friends: Vec<Friend>,
    #[serde(flatten)]
    links: PageLinks,
    /// How many friends the user has, whether they are searched for or not.
    total: u64,
}

/// `GET /users/{id}/friends?cursor=&limit=&order=&q=`: the oldest friendship first, or with `order=newest` the newest; with
/// `q` only friends whose remark or name contains it or whose userId begins with it.
pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked = PageQuery::<u64>::read(call.query)?;
    let order = match call.value("order").as_deref() {
        None | Some("oldest") => Order::OldestFirst,
        Some("newest") => Order::NewestFirst,
        Some(_) => {
            return Err(Problem::Invalid("?order", Invalid::malformed("order", "oldest or newest")));
        }
    };
    let q = call.value("q");
    if q.as_ref().is_some_and(|q| !(1..=SEARCHED_CHARS_MAX).contains(&q.chars().count())) {
        let range = values::Problem::OutOfRange { min: 1, max: 64 };
        return Err(Problem::Invalid("?q", Invalid::new("q", range)));
    }
    let owner = owner(call).await?;
    let listed = match q {
        None => friend_list::page(call.engine, &call.caller, owner, (asked.seek, asked.limit, order)).await?,
        Some(text) => {
            let searched = Searched { text, names: Names::HostedFirst, seek: asked.seek, order, size: asked.limit };
            friend_list::named(call.engine, &call.caller, owner, searched).await?
        }
    };
    let FriendList { friends, beside, total } = listed;
    let friends = friends.into_iter().map(Friend::of).collect();
    Answer::query(&Friends { friends, links: PageLinks::to(beside), total })
}

/// Which pairs are asked about.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Pairs {
    /// At most 1,000 pairs of userIds.
    pairs: Vec<[String; 2]>,
}

/// Whether two users are friends.
#[derive(Serialize, ToSchema)]
pub(super) struct CheckedPair {
    from: String,
    to: String,
    friends: bool,
    /// The same the other way round: friendship is mutual.
    reverse: bool,
}

/// What was asked, in its order.
#[derive(Serialize, ToSchema)]
pub(super) struct CheckedPairs {
    results: Vec<CheckedPair>,
}

/// `POST /friends/check`.
pub(super) async fn check(call: &Call<'_>) -> Result<Answer, Problem> {
    let Pairs { pairs } = call.json()?;
    if pairs.len() > PAIRS_MAX {
        let too_many = Invalid::new("pairs", values::Problem::TooMany { max: PAIRS_MAX });
        return Err(Problem::Invalid("#/pairs", too_many));
    }
    let parse = |id: &String| UserId::parse("pairs", id).map_err(|invalid| Problem::Invalid("#/pairs", invalid));
    let asked = pairs.iter().map(|[from, to]| Ok((parse(from)?, parse(to)?))).collect::<Result<_, Problem>>()?;
    let found = call.engine.friends_between(&call.app.id, asked).await?;
    let told = pairs.into_iter().zip(found);
    let results = told.map(|([from, to], friends)| CheckedPair { from, to, friends, reverse: friends });
    Answer::query(&CheckedPairs { results: results.collect() })
}

/// One page of friend requests.
#[derive(Serialize, ToSchema)]
pub(super) struct FriendRequests {
    friend_requests: Vec<ShownRequest>,
    #[serde(flatten)]
    links: PageLinks,
}

/// `GET /users/{id}/friend-requests?direction=&state=&cursor=&limit=`: the latest first.
pub(super) async fn list_requests(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked = PageQuery::<FriendRequestId>::read(call.query)?;
    let direction = call.value("direction").map(|word| {
        let malformed = Problem::Invalid("?direction", Invalid::malformed("direction", "sent or received"));
        friend_requests::direction(&word).ok_or(malformed)
    });
    let state = call.value("state").map(|word| {
        let words = "pending, accepted, refused, cancelled or expired";
        word.parse::<RequestState>().map_err(|_| Problem::Invalid("?state", Invalid::malformed("state", words)))
    });
    let filter = Filter { direction: direction.transpose()?, state: state.transpose()? };
    let owner = owner(call).await?;
    let (friend_requests, beside) =
        friend_requests::page(call.engine, &call.caller, owner, filter, (asked.seek, asked.limit)).await?;
    Answer::query(&FriendRequests { friend_requests, links: PageLinks::to(beside) })
}

/// `POST /users/{id}/friend-requests/{request_id}/accept`.
pub(super) async fn accept(call: &Call<'_>) -> Result<Answer, Problem> {
    answer(call, friendship::Answer::Accept).await
}

/// `POST /users/{id}/friend-requests/{request_id}/refuse`.
pub(super) async fn refuse(call: &Call<'_>) -> Result<Answer, Problem> {
    answer(call, friendship::Answer::Refuse).await
}

/// `POST /users/{id}/friend-requests/{request_id}/cancel`.
pub(super) async fn cancel(call: &Call<'_>) -> Result<Answer, Problem> {
    answer(call, friendship::Answer::Cancel).await
}

async fn answer(call: &Call<'_>, answer: friendship::Answer) -> Result<Answer, Problem> {
    let who = user_id(call.parameter(0))?;
    let request: FriendRequestId = call.parameter(1).parse().map_err(|_| Refusal::NoSuchFriendRequest)?;
    let done = call.engine.execute(&call.caller, AnswerRequest { who, request, answer }).await?;
    let owner = owner(call).await?;
    let shown = friend_requests::one(call.engine, &call.caller, owner, request).await?;
    Answer::command(StatusCode::OK, &shown.ok_or(Refusal::NoSuchFriendRequest)?, done.position)
}
