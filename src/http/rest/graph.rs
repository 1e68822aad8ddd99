//! What the graph of friends tells about two users, and about whom a user may know.

use rollcall_projections::user_directory;
use rollcall_schemas::ids::SubjectRef;
use serde::Serialize;
use utoipa::ToSchema;

use super::Call;
use super::friends::Friend;
use super::paging::{ForwardQuery, PageLinks, PageQuery};
use super::problem::{Answer, Problem};
use super::users::{opened, owner};
use crate::domain::Refusal;
use crate::domain::values::{Invalid, UserId};
use crate::engine::graph::{Connection, Suggested, SuggestionCursor};
use crate::http::cursor::MutualFriend;
use crate::http::friend_list;

/// One page of mutual friends.
#[derive(Serialize, ToSchema)]
pub(super) struct MutualFriends {
    /// As the first of the two users sees them.
    users: Vec<Friend>,
    #[serde(flatten)]
    links: PageLinks,
}

/// A user that is named beside the first one of the path. 404: the userId was never used; 410: the user is deactivated.
async fn other(call: &Call<'_>, at: &'static str, id: &str) -> Result<SubjectRef, Problem> {
    let id = UserId::parse("user_id", id).map_err(|invalid| Problem::Invalid(at, invalid))?;
    let tag = call.engine.tag(&call.app.id, &id)?;
    match user_directory::by_tag(call.engine.read(), &call.app.id, tag).await? {
        Some(user) if user.deactivated => Err(Refusal::Deactivated.into()),
        Some(user) => Ok(user.subject),
        None => Err(Refusal::NotRegistered.into()),
    }
}

/// `GET /users/{id}/friends/mutual/{other}?cursor=&limit=`: who is a friend of both, in an order that does not change.
pub(super) async fn mutual(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked = PageQuery::<MutualFriend>::read(call.query)?;
    let one = owner(call).await?;
    let two = other(call, "{other}", call.parameter(1)).await?;
    let seek = asked.seek.map(|place| place.0);
    let mut found = call.engine.mutual_friends(&call.app.id, [one, two], seek, asked.limit + 1).await?;
    let links = asked.cut(&mut found, |subject| Some(MutualFriend(*subject)));
    let users = friend_list::among(call.engine, &call.caller, one, &found).await?;
    Answer::query(&MutualFriends { users: users.into_iter().map(Friend::of).collect(), links })
}

/// Somebody the user may know.
#[derive(Serialize, ToSchema)]
pub(super) struct Suggestion {
    user_id: String,
    name: Option<String>,
    /// How many friends both have.
    mutual_friends: u32,
}

/// A part of the suggestions.
#[derive(Serialize, ToSchema)]
pub(super) struct Suggestions {
    /// Those with the most mutual friends first.
    suggestions: Vec<Suggestion>,
    next: Option<String>,
}

/// `GET /users/{id}/friends/suggestions?cursor=&limit=`: friends of friends, those with the most mutual friends first.
pub(super) async fn suggestions(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked = ForwardQuery::<SuggestionCursor>::read(call.query)?;
    let user = owner(call).await?;
    let size = usize::try_from(asked.limit).unwrap_or(usize::MAX);
    let Suggested { suggestions, next } = call.engine.suggested_friends(&call.app.id, user, asked.cursor, size).await?;
    let subjects: Vec<_> = suggestions.iter().map(|suggestion| suggestion.subject).collect();
    let users = friend_list::names(call.engine, &call.app.id, &subjects).await?;
    let suggestions = call.engine.disclose(&call.caller, &subjects, |opener| {
        let mut told = Vec::with_capacity(subjects.len());
        for (suggestion, user) in suggestions.iter().zip(&users) {
            let Some((user_id, name)) = user.open(opener)? else { continue };
            told.push(Suggestion { user_id, name, mutual_friends: suggestion.mutual });
        }
        Ok::<_, Problem>(told)
    });
    Answer::query(&Suggestions { suggestions: suggestions.await?, next: next.map(|next| ForwardQuery::after(&next)) })
}

/// How two users are connected.
#[derive(Serialize, ToSchema)]
pub(super) struct FriendPath {
    /// The userIds from the one to the other, both included; each is a friend of the next.
    path: Vec<String>,
}

/// `GET /friends/path?from=&to=`: the shortest way from one user to another over at most four friendships.
pub(super) async fn path(call: &Call<'_>) -> Result<Answer, Problem> {
    call.engine.caught_up(&call.app.id).await?;
    let mut ends = [None; 2];
    for (end, (name, at)) in ends.iter_mut().zip([("from", "?from"), ("to", "?to")]) {
        let id = call.value(name).ok_or_else(|| Problem::Invalid(at, Invalid::missing(name)))?;
        *end = Some(other(call, at, &id).await?);
    }
    let [Some(from), Some(to)] = ends else { return Err(Refusal::NotRegistered.into()) };
    let subjects = match call.engine.connection(&call.app.id, [from, to]).await? {
        Connection::Path(subjects) => subjects,
        Connection::None => return Err(Problem::NoPath),
        Connection::TooWide => return Err(Problem::SearchTooWide),
    };
    let ids = user_directory::user_ids(call.engine.read(), &call.app.id, &subjects).await?;
    let path = call.engine.disclose(&call.caller, &subjects, |opener| {
        let mut path = Vec::with_capacity(subjects.len());
        for (subject, id) in subjects.iter().zip(&ids) {
            // Somebody on the way was forgotten at this moment.
            path.push(opened(opener, *subject, "user_id", id.as_deref())?.ok_or(Problem::NoPath)?);
        }
        Ok::<_, Problem>(path)
    });
    Answer::query(&FriendPath { path: path.await? })
}
