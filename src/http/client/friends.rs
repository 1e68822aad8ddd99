//! Friends of the user.

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use rollcall_projections::{Order, friend_graph};
use rollcall_schemas::ids::SubjectRef;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Call;
use super::me::time;
use super::people::{self, Person, Portrayed, Target, opened};
use super::problem::{Answer, Problem};
use crate::domain::Befriended;
use crate::domain::friendship::{Befriend, Describe, Unfriend};
use crate::domain::values::{self, Invalid, ProfileChanges, Remark, RequestText, extension_fields};
use crate::engine::graph::{Names, Searched};
use crate::engine::opening::Opener;
use crate::http::friend_requests;

/// Users one check may name.
const CHECKED_MAX: usize = 20;
/// Fields a friend may carry.
const FIELDS_MAX: usize = 10;

/// A friend.
#[derive(Serialize, ToSchema)]
pub(super) struct Friend {
    #[serde(flatten)]
    person: Person,
    /// What the user calls it.
    remark: Option<String>,
    /// What the user wrote about it, by field.
    fields: BTreeMap<String, String>,
    friends_since: String,
}

/// A page of friends.
#[derive(Serialize, ToSchema)]
#[schema(as = FriendPage)]
pub(super) struct Page {
    friends: Vec<Friend>,
    next: Option<String>,
}

/// Which friends.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FriendListParams)]
pub(super) struct ListParams {
    /// The `next` of an earlier answer.
    cursor: Option<String>,
    /// How many, from 1 to 100; 50 where it is not said.
    limit: Option<u32>,
    /// newest or oldest, the newest where it is not said.
    order: Option<String>,
    /// Only those whose remark or name contains this or whose userId begins with it, from 1 to 64 characters; letters in lower
    /// and upper case are the same.
    q: Option<String>,
}

/// `friends.list`.
pub(super) async fn list(call: &Call<'_>, asked: ListParams) -> Result<Answer, Problem> {
    let (limit, cursor) = (people::limit(asked.limit, 50, 100)?, people::cursor(asked.cursor.as_deref())?);
    let order = match asked.order.as_deref() {
        None | Some("newest") => Order::NewestFirst,
        Some("oldest") => Order::OldestFirst,
        Some(_) => return Err(Problem::Invalid(Invalid::malformed("order", "newest or oldest"), Some(35_025))),
    };
    if asked.q.as_ref().is_some_and(|q| !(1..=64).contains(&q.chars().count())) {
        let range = values::Problem::OutOfRange { min: 1, max: 64 };
        return Err(Problem::Invalid(Invalid::new("q", range), Some(34_325)));
    }
    call.engine.caught_up(&call.app.id).await?;
    let (rows, next) = match asked.q {
        None => {
            let mut rows = friend_graph::page(call.engine.read(), call.subject, cursor, limit + 1, order).await?;
            let next = people::cut(&mut rows, limit, |row| row.befriended_position);
            (rows, next)
        }
        Some(text) => {
            // What else is in their hosted profiles is not always shown to the user.
            let names = Names::Registered;
            let searched = Searched { text, names, seek: cursor.into(), order, size: limit };
            let found = call.engine.friends_named(&call.app.id, call.subject, searched).await?;
            (found.friends, found.beside.next.map(|place| people::next(&place)))
        }
    };
    let friends = described(call, &rows).await?;
    Answer::query(&Page { friends, next })
}

/// Friends with what the user wrote about them. Those who are deactivated are left out.
pub(super) async fn described(call: &Call<'_>, rows: &[friend_graph::Friend]) -> Result<Vec<Friend>, Problem> {
    let subjects: Vec<_> = rows.iter().map(|row| row.friend).collect();
    let ids = people::ids_of(call, &subjects).await?;
    let named = ids.into_iter().zip(&subjects).map(|(id, subject)| (id.unwrap_or_default(), *subject));
    let people = people::portrayed(call, named.collect()).await?;
    let descriptions = friend_graph::descriptions(call.engine.read(), call.subject, &subjects).await?;
    call.engine
        .disclose(&call.caller, &subjects, |opener| {
            let mut friends = Vec::with_capacity(rows.len());
            for ((row, person), description) in rows.iter().zip(&people).zip(&descriptions) {
                let Some(person) = person else { continue };
                let (remark, fields) = written(opener, row.friend, description)?;
                let friends_since = time(row.befriended_at);
                let friend = Friend { person: Portrayed::open(person, opener)?, remark, fields, friends_since };
                friends.push(friend);
            }
            Ok(friends)
        })
        .await
}

/// Remark and fields.
type Written = (Option<String>, BTreeMap<String, String>);

fn written(
    opener: &mut Opener<'_>,
    friend: SubjectRef,
    description: &friend_graph::Description,
) -> Result<Written, Problem> {
    let (mut remark, mut fields) = (None, BTreeMap::new());
    for (field, sealed) in description {
        let text = opened(opener, friend, field, Some(sealed))?;
        if field == friend_graph::REMARK {
            remark = text;
        } else if let Some(text) = text {
            fields.insert(field.clone(), text);
        }
    }
    Ok((remark, fields))
}

/// `friends.get`.
pub(super) async fn show(call: &Call<'_>, asked: Target) -> Result<Answer, Problem> {
    let id = asked.user_id()?;
    call.engine.caught_up(&call.app.id).await?;
    Answer::query(&friend(call, &id).await?)
}

async fn friend(call: &Call<'_>, id: &values::UserId) -> Result<Friend, Problem> {
    let not_friends = || Problem::Engine(crate::domain::Refusal::NotFriends.into());
    let subject = call.engine.find(&call.app.id, id).await?.ok_or_else(not_friends)?;
    let row = friend_graph::among(call.engine.read(), call.subject, &[subject]).await?.pop().flatten();
    let row = row.ok_or_else(not_friends)?;
    described(call, &[row]).await?.pop().ok_or_else(not_friends)
}

/// Whom to befriend.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Addition {
    user_id: String,
    /// What the other is told, at most 128 characters.
    text: Option<String>,
}

/// What came of it.
#[derive(Serialize, ToSchema)]
pub(super) struct Added {
    /// friends or requested.
    status: &'static str,
    /// The request that waits for its answer.
    request_id: Option<String>,
}

/// `friends.add`: 201 `friends`, or 202 `requested`. To ask twice changes nothing.
pub(super) async fn add(call: &Call<'_>, asked: Addition) -> Result<Answer, Problem> {
    let target = people::user_id(&asked.user_id)?;
    let too_long = |invalid| Problem::Invalid(Invalid { field: "text", ..invalid }, Some(34_314));
    let text = asked.text.as_deref().filter(|text| !text.is_empty());
    let text = text.map(RequestText::parse).transpose().map_err(too_long)?;
    // A client may name anybody; a userId that nobody has must not become known by it.
    call.engine.caught_up(&call.app.id).await?;
    let subject = call.engine.find(&call.app.id, &target).await?.ok_or(Problem::NoSuchUser)?;
    let command = Befriend { who: call.me.clone(), target, direct: false, text };
    let done = call.engine.execute(&call.caller, command).await?;
    if done.reply == Befriended::Friends {
        return Answer::command(StatusCode::CREATED, &Added { status: "friends", request_id: None }, done.position);
    }
    call.engine.caught_up(&call.app.id).await?;
    let request = friend_requests::pending(call.engine, call.subject, subject).await?;
    let request_id = request.map(|request| request.to_string());
    Answer::command(StatusCode::ACCEPTED, &Added { status: "requested", request_id }, done.position)
}

/// `friends.remove`.
pub(super) async fn remove(call: &Call<'_>, asked: Target) -> Result<Answer, Problem> {
    let command = Unfriend { who: call.me.clone(), targets: vec![asked.user_id()?] };
    Ok(Answer::done(call.engine.execute(&call.caller, command).await?.position))
}

/// What changes of what the user wrote about a friend (JSON merge patch).
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Description {
    user_id: String,
    /// At most 64 characters; null takes it away.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    #[allow(clippy::option_option)] // Unchanged, taken away, or set.
    remark: Option<Option<String>>,
    /// Declared fields, at most 10; null takes one away.
    #[serde(default)]
    fields: Map<String, Value>,
}

/// A member that may be null and is given: absent is something else.
#[allow(clippy::option_option)]
fn given<'d, D: serde::Deserializer<'d>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// `friends.update`.
pub(super) async fn describe(call: &Call<'_>, asked: Description) -> Result<Answer, Problem> {
    let about = people::user_id(&asked.user_id)?;
    let remark = match asked.remark {
        None => None,
        Some(None) => Some(None),
        Some(Some(text)) if text.is_empty() => Some(None),
        Some(Some(text)) => {
            Some(Some(Remark::parse(&text).map_err(|invalid| Problem::Invalid(invalid, Some(34_327)))?))
        }
    };
    let changes: ProfileChanges = extension_fields("fields", &asked.fields, FIELDS_MAX).map_err(|invalid| {
        let number = if matches!(invalid.problem, values::Problem::TooMany { .. }) { 34_335 } else { 25_407 };
        Problem::Invalid(invalid, Some(number))
    })?;
    let command = Describe { owner: call.me.clone(), about: about.clone(), remark, changes };
    let done = call.engine.execute(&call.caller, command).await?;
    call.engine.caught_up(&call.app.id).await?;
    Answer::command(StatusCode::OK, &friend(call, &about).await?, done.position)
}

/// Whom to look for among the friends.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckParams {
    /// From 1 to 20.
    user_ids: Vec<String>,
}

/// Whether somebody is a friend.
#[derive(Serialize, ToSchema)]
pub(super) struct Checked {
    user_id: String,
    friends: bool,
}

/// Who is a friend, in the order asked.
#[derive(Serialize, ToSchema)]
pub(super) struct CheckedAll {
    results: Vec<Checked>,
}

/// `friends.check`.
pub(super) async fn check(call: &Call<'_>, asked: CheckParams) -> Result<Answer, Problem> {
    let ids = people::user_ids(&asked.user_ids, CHECKED_MAX)?;
    call.engine.caught_up(&call.app.id).await?;
    let subjects = call.engine.find_all(&call.app.id, &ids).await?;
    let known: Vec<_> = subjects.iter().copied().flatten().collect();
    let are = friend_graph::among(call.engine.read(), call.subject, &known).await?;
    let active = rollcall_projections::user_directory::by_subjects(call.engine.read(), &call.app.id, &known).await?;
    let is_fenced = |user: Option<rollcall_projections::user_directory::User>| user.is_none_or(|user| user.deactivated);
    let mut friends = are.into_iter().zip(active).map(|(are_friends, user)| are_friends.is_some() && !is_fenced(user));
    let results = ids.iter().zip(subjects).map(|(id, subject)| Checked {
        user_id: id.as_str().to_owned(),
        friends: subject.and_then(|_| friends.next()) == Some(true),
    });
    Answer::query(&CheckedAll { results: results.collect() })
}
