//! The past of users, as far as it may still be known.

use std::str::FromStr as _;
use std::sync::Arc;

use rollcall_projections::{NumberedPage, PAGE_MAX};
use rollcall_schemas::ids::SubjectRef;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use super::problem::{Answer, Problem};
use super::{Call, paging};
use crate::audit::as_of::{self, Happened, Moment, Past, Range, When, Who};
use crate::domain::Refusal;
use crate::domain::values::{self, Invalid};
use crate::engine::reads::fields_of;

/// A whole list of the past needs the whole log: one at a time.
static WHOLE: Semaphore = Semaphore::const_new(1);
/// What an answer about the past may tell of a user.
const FIELDS: [&str; 7] = ["user_id", "name", "portrait", "profile", "tags", "remarks", "reason"];

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

pub(super) async fn recorded(call: &Call<'_>, subject: SubjectRef) -> Result<(), Problem> {
    Ok(call.engine.record_read(&call.caller, || vec![fields_of(subject, FIELDS)]).await?)
}

/// `GET /users/{id}/as-of?at=`: the user at a position or a time; what was erased since is told as erased.
pub(super) async fn user(call: &Call<'_>) -> Result<Answer, Problem> {
    let past = Past::of(call.engine).await?;
    let (subject, at) = (named(call, past).await?, moment(call, past, "at", "?at").await?);
    recorded(call, subject).await?;
    Answer::query(&as_of::user_at(past, &call.app.id, subject, at).await?)
}

/// `GET /users/{id}/friends/as-of?at=`.
pub(super) async fn friends(call: &Call<'_>) -> Result<Answer, Problem> {
    let past = Past::of(call.engine).await?;
    let (subject, at) = (named(call, past).await?, moment(call, past, "at", "?at").await?);
    recorded(call, subject).await?;
    Answer::query(&as_of::friends_at(past, &call.app.id, subject, at).await?)
}

/// `GET /users/{id}/diff?from=&to=`.
pub(super) async fn diff(call: &Call<'_>) -> Result<Answer, Problem> {
    let past = Past::of(call.engine).await?;
    let subject = named(call, past).await?;
    let (from, to) = (moment(call, past, "from", "?from").await?, moment(call, past, "to", "?to").await?);
    recorded(call, subject).await?;
    Answer::query(&as_of::diff(past, &call.app.id, subject, from, to).await?)
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
    let last = NumberedPage::last(PAGE_MAX);
    let number = call.value("page").map_or(Some(1), |page| page.parse().ok().filter(|page| (1..=last).contains(page)));
    let page = number.and_then(|number| NumberedPage::new(number, PAGE_MAX).ok());
    let range = values::Problem::OutOfRange { min: 1, max: last.into() };
    let page = page.ok_or(Problem::Invalid("?page", Invalid::new("page", range)))?;
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
    let reads = || found.view.bans.iter().map(|ban| fields_of(ban.subject, ["user_id", "reason"])).collect();
    call.engine.record_read(&call.caller, reads).await?;
    Answer::query(&found)
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
    Answer::query(&as_of::explain(past, &call.app.id, &command, at).await?)
}
