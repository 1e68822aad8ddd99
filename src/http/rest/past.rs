//! The past of users, as far as it may still be known.

use std::collections::BTreeSet;
use std::str::FromStr as _;
use std::sync::Arc;

use rollcall_projections::PAGE_MAX;
use rollcall_schemas::ids::SubjectRef;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use super::problem::{Answer, Problem};
use super::{Call, paging};
use crate::audit::as_of::{
    self, AsOf, BansAt, Diff, FriendsAt, Happened, Moment, Page, Past, Range, UserAt, When, Who,
};
use crate::domain::Refusal;
use crate::domain::values::Invalid;
use crate::engine::reads::{Read, fields_of};

/// A whole list of the past needs the whole log: one at a time.
static WHOLE: Semaphore = Semaphore::const_new(1);
const USER_ID: &str = "user_id";
/// What an answer about the past may tell of a user.
const FIELDS: [&str; 7] = [USER_ID, "name", "portrait", "profile", "tags", "remarks", "reason"];

impl From<as_of::Error> for Problem {
    fn from(error: as_of::Error) -> Self {
        match error {
            as_of::Error::AboveHead { .. } => {
                Self::Invalid("?at", Invalid::malformed("at", "a position the log has reached, or a time"))
            }
            as_of::Error::UnknownUser | as_of::Error::NoSuchApp(_) => Refusal::NotRegistered.into(),
            as_of::Error::Engine(error) => error.into(),
            error => Self::unavailable(&error),
        }
    }
}

/// The moment a parameter names; the newest where it is not given.
async fn moment(call: &Call<'_>, past: Past<'_>, name: &'static str, at: &'static str) -> Result<Moment, Problem> {
    let Some(text) = call.value(name) else { return Ok(past.newest().await?) };
    let malformed =
        |_| Problem::Invalid(at, Invalid::malformed(name, "a position, or a time such as 2026-01-31T12:00:00Z"));
    Ok(past.resolve(When::from_str(&text).map_err(malformed)?).await?)
}

/// The user of the path: a userId, or `subject:` and a reference of the log.
pub(super) async fn named(call: &Call<'_>, past: Past<'_>) -> Result<SubjectRef, Problem> {
    let who = Who::from_str(call.parameter(0)).map_err(|invalid| Problem::Invalid("{id}", invalid))?;
    Ok(past.subject(&call.app.id, &who).await?)
}

/// A view of the past that shows personal values.
trait Reveals: Serialize {
    /// Whose values it shows, and which.
    fn reads(&self) -> Vec<Read>;
}

impl Reveals for AsOf<UserAt> {
    fn reads(&self) -> Vec<Read> {
        let user = &self.view;
        let listed = user.blocklist.iter().chain(&user.allowlist).map(|other| other.subject);
        let others = listed.chain(user.friends.iter().map(|friend| friend.subject));
        read_of(user.subject, others)
    }
}

impl Reveals for AsOf<FriendsAt> {
    fn reads(&self) -> Vec<Read> {
        let friends = self.view.friends.iter();
        friends.map(|friend| fields_of(friend.subject, [USER_ID])).collect()
    }
}

impl Reveals for AsOf<BansAt> {
    fn reads(&self) -> Vec<Read> {
        self.view.bans.iter().map(|ban| fields_of(ban.subject, [USER_ID, "reason"])).collect()
    }
}

impl Reveals for Diff {
    fn reads(&self) -> Vec<Read> {
        // An entry of a list is named after the list and who is on it: `friends.<subject>`.
        let listed = |field: &str| field.rsplit_once('.')?.1.parse().ok().map(SubjectRef);
        read_of(self.subject, self.changes.iter().filter_map(|change| listed(&change.field)))
    }
}

/// What is read where a user is shown together with the userIds of others; each is named once.
pub(super) fn read_of(user: SubjectRef, others: impl Iterator<Item = SubjectRef>) -> Vec<Read> {
    let others: BTreeSet<_> = others.filter(|other| *other != user).collect();
    let others = others.into_iter().map(|other| fields_of(other, [USER_ID]));
    std::iter::once(fields_of(user, FIELDS)).chain(others).collect()
}

/// Answers a view of the past, once it is recorded who reads it.
async fn reveal(call: &Call<'_>, view: impl Reveals) -> Result<Answer, Problem> {
    call.engine.record_read(&call.caller, || view.reads()).await?;
    Answer::query(&view)
}

/// `GET /users/{id}/as-of?at=`: the user at a position or a time; what was erased since is told as erased.
pub(super) async fn user(call: &Call<'_>) -> Result<Answer, Problem> {
    let past = Past::of(call.engine).await?;
    let (subject, at) = (named(call, past).await?, moment(call, past, "at", "?at").await?);
    reveal(call, as_of::user_at(past, &call.app.id, subject, at).await?).await
}

/// `GET /users/{id}/friends/as-of?at=`.
pub(super) async fn friends(call: &Call<'_>) -> Result<Answer, Problem> {
    let past = Past::of(call.engine).await?;
    let (subject, at) = (named(call, past).await?, moment(call, past, "at", "?at").await?);
    reveal(call, as_of::friends_at(past, &call.app.id, subject, at).await?).await
}

/// `GET /users/{id}/diff?from=&to=`.
pub(super) async fn diff(call: &Call<'_>) -> Result<Answer, Problem> {
    let past = Past::of(call.engine).await?;
    let subject = named(call, past).await?;
    let (from, to) = (moment(call, past, "from", "?from").await?, moment(call, past, "to", "?to").await?);
    reveal(call, as_of::diff(past, &call.app.id, subject, from, to).await?).await
}

#[derive(Serialize)]
struct History {
    subject: SubjectRef,
    events: Vec<Happened>,
    next: Option<String>,
}

/// `GET /users/{id}/history?cursor=&limit=`: what happened to a user, by whom and in which request, the earliest first.
pub(super) async fn history(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked = paging::PageQuery::read(call.query)?;
    let past = Past::of(call.engine).await?;
    let (subject, newest) = (named(call, past).await?, past.newest().await?);
    let range = Range { after: asked.cursor.unwrap_or(0), until: newest.position, limit: asked.limit + 1 };
    let mut events = as_of::history(past, &call.app.id, subject, range, false).await?;
    let next = asked.cut(&mut events, |event| Some(event.position));
    Answer::query(&History { subject, events, next })
}

/// `GET /bans/as-of?at=&page=`: who was banned then. It reads the log from its beginning; one call at a time does.
pub(super) async fn bans(call: &Call<'_>) -> Result<Answer, Problem> {
    let number = call.value("page").map_or(Some(1), |page| page.parse().ok().filter(|page| *page > 0));
    let malformed = || Problem::Invalid("?page", Invalid::malformed("page", "a number from 1"));
    let page = Page { number: number.ok_or_else(malformed)?, size: PAGE_MAX };
    let at = moment(call, Past::of(call.engine).await?, "at", "?at").await?;
    let one = WHOLE.try_acquire().map_err(|_| crate::engine::Error::Busy)?;
    let (engine, app) = (Arc::clone(call.engine), call.app.id.clone());
    let runtime = tokio::runtime::Handle::current();
    let found = tokio::task::spawn_blocking(move || {
        runtime.block_on(async {
            let past = Past::of(&engine).await?;
            as_of::bans_at(past, &app, at, page, &|_, _| {}).await
        })
    });
    let found = found.await.map_err(|error| Problem::unavailable(&error))??;
    drop(one);
    reveal(call, found).await
}

/// What to explain.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExplainBody {
    /// A command in words, such as `["befriend", "ada", "bob"]`.
    command: Vec<String>,
    /// At which position or time; now where it is not said.
    #[serde(default)]
    at: Option<String>,
}

/// `POST /explain`: whether a command is allowed, and if not, the facts that make it so.
pub(super) async fn explain(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked: ExplainBody = call.json()?;
    let words: Vec<&str> = asked.command.iter().map(String::as_str).collect();
    let not_asked = |_| Problem::Invalid("#/command", Invalid::malformed("command", as_of::ASKED));
    let command = as_of::command(&words).map_err(not_asked)?;
    let past = Past::of(call.engine).await?;
    let malformed = |_| Problem::Invalid("#/at", Invalid::malformed("at", "a position or a time"));
    let at = match asked.at.as_deref() {
        Some(text) => past.resolve(When::from_str(text).map_err(malformed)?).await?,
        None => past.newest().await?,
    };
    Answer::query(&as_of::explain(past, &call.app.id, command, at).await?)
}
