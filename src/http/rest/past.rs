//! The past of users, as far as it may still be known.

use std::collections::BTreeSet;
use std::str::FromStr as _;
use std::sync::Arc;

use rollcall_projections::{NumberedPage, PAGE_MAX};
use rollcall_schemas::ids::{AppId, SubjectRef};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Call;
use super::paging::{PageLinks, PageQuery};
use super::problem::{Answer, Problem};
use crate::audit::as_of::{self, AsOf, BansAt, Diff, FriendsAt, Happened, Moment, Past, Range, UserAt, When, Who};
use crate::domain::Refusal;
use crate::domain::values::{self, Invalid};
use crate::engine;
use crate::engine::reads::{Read, fields_of};

const USER_ID: &str = "user_id";
/// What an answer about the past may tell of a user.
pub(super) const FIELDS: [&str; 8] =
    [USER_ID, "name", "portrait", "profile", "tags", "remarks", "friend_groups", "reason"];

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

/// Runs a replay for a call when it is the app's turn. It is cancelled when the caller disconnects.
pub(super) async fn replay<T: Send + 'static>(
    call: &Call<'_>,
    work: impl AsyncFnOnce(Past<'_>, AppId) -> Result<T, as_of::Error> + Send + 'static,
) -> Result<T, Problem> {
    let (engine, app) = (Arc::clone(call.engine), call.app.id.clone());
    let replayed = call.replays.run(&call.app.id, async move || work(Past::of(&engine).await?, app).await).await;
    Ok(replayed.map_err(|_| engine::Error::Busy)??)
}

/// The moment that a parameter names; `None` if it is not given, which means the newest.
fn when(call: &Call<'_>, name: &'static str, at: &'static str) -> Result<Option<When>, Problem> {
    let Some(text) = call.value(name) else { return Ok(None) };
    let malformed = |_| Invalid::malformed(name, "a position, or a time such as 2026-01-31T12:00:00Z");
    When::from_str(&text).map(Some).map_err(|error| Problem::Invalid(at, malformed(error)))
}

async fn moment(past: Past<'_>, when: Option<When>) -> Result<Moment, as_of::Error> {
    match when {
        Some(when) => past.resolve(when).await,
        None => past.newest().await,
    }
}

/// The user of the path: a userId, or `subject:` and a reference of the log.
pub(super) fn who(call: &Call<'_>) -> Result<Who, Problem> {
    Who::from_str(call.parameter(0)).map_err(|invalid| Problem::Invalid("{id}", invalid))
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
fn read_of(user: SubjectRef, others: impl Iterator<Item = SubjectRef>) -> Vec<Read> {
    read_of_all(&[user], others)
}

/// The same, of all subjects of a user.
pub(super) fn read_of_all(user: &[SubjectRef], others: impl Iterator<Item = SubjectRef>) -> Vec<Read> {
    let others: BTreeSet<_> = others.filter(|other| !user.contains(other)).collect();
    let others = others.into_iter().map(|other| fields_of(other, [USER_ID]));
    user.iter().map(|subject| fields_of(*subject, FIELDS)).chain(others).collect()
}

/// Records who reads a view of the past, then answers with it.
async fn reveal(call: &Call<'_>, view: impl Reveals) -> Result<Answer, Problem> {
    call.engine.record_read(&call.caller, || view.reads()).await?;
    Answer::query(&view)
}

/// `GET /users/{id}/as-of?at=`: the user at a position or a time; what was erased since is told as erased.
pub(super) async fn user(call: &Call<'_>) -> Result<Answer, Problem> {
    let (who, at) = (who(call)?, when(call, "at", "?at")?);
    let work = async move |past: Past<'_>, app: AppId| {
        let (subject, at) = (past.subject(&app, &who).await?, moment(past, at).await?);
        Box::pin(as_of::user_at(past, &app, subject, at)).await
    };
    reveal(call, replay(call, work).await?).await
}

/// `GET /users/{id}/friends/as-of?at=`.
pub(super) async fn friends(call: &Call<'_>) -> Result<Answer, Problem> {
    let (who, at) = (who(call)?, when(call, "at", "?at")?);
    let work = async move |past: Past<'_>, app: AppId| {
        let (subject, at) = (past.subject(&app, &who).await?, moment(past, at).await?);
        as_of::friends_at(past, &app, subject, at).await
    };
    reveal(call, replay(call, work).await?).await
}

/// `GET /users/{id}/diff?from=&to=`.
pub(super) async fn diff(call: &Call<'_>) -> Result<Answer, Problem> {
    let (who, from, to) = (who(call)?, when(call, "from", "?from")?, when(call, "to", "?to")?);
    let work = async move |past: Past<'_>, app: AppId| {
        let subject = past.subject(&app, &who).await?;
        let (from, to) = (moment(past, from).await?, moment(past, to).await?);
        Box::pin(as_of::diff(past, &app, subject, from, to)).await
    };
    reveal(call, replay(call, work).await?).await
}

#[derive(Serialize)]
struct History {
    subject: SubjectRef,
    events: Vec<Happened>,
    #[serde(flatten)]
    links: PageLinks,
}

/// `GET /users/{id}/history?cursor=&limit=`: what happened to a user, by whom and in which request, the earliest first.
pub(super) async fn history(call: &Call<'_>) -> Result<Answer, Problem> {
    let (asked, who) = (PageQuery::<u64>::read(call.query)?, who(call)?);
    let (seek, limit) = (asked.seek, asked.limit + 1);
    let work = async move |past: Past<'_>, app: AppId| {
        let (subject, newest) = (past.subject(&app, &who).await?, past.newest().await?);
        let range = Range { seek, until: newest.position, limit };
        Ok((subject, as_of::history(past, &app, subject, range, false).await?))
    };
    let (subject, mut events) = replay(call, work).await?;
    let links = asked.cut(&mut events, |event| Some(event.position));
    Answer::query(&History { subject, events, links })
}

/// `GET /bans/as-of?at=&page=`: who was banned then. The first page of a moment reads the log from its beginning; those
/// that follow soon, at the same position, do not.
pub(super) async fn bans(call: &Call<'_>) -> Result<Answer, Problem> {
    let last = NumberedPage::last(PAGE_MAX);
    let number = call.value("page").map_or(Some(1), |page| page.parse().ok().filter(|page| (1..=last).contains(page)));
    let page = number.and_then(|number| NumberedPage::new(number, PAGE_MAX).ok());
    let range = values::Problem::OutOfRange { min: 1, max: last.into() };
    let page = page.ok_or(Problem::Invalid("?page", Invalid::new("page", range)))?;
    let (at, replays) = (when(call, "at", "?at")?, Arc::clone(call.replays));
    let work = async move |past: Past<'_>, app: AppId| {
        let at = moment(past, at).await?;
        replays.lists().bans_at(past, &app, at, page).await
    };
    reveal(call, replay(call, work).await?).await
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
    let not_asked = |_| Problem::Invalid("#/command", Invalid::malformed("command", as_of::ASKED.as_str()));
    let command = as_of::command(&words).map_err(not_asked)?;
    let malformed = |_| Problem::Invalid("#/at", Invalid::malformed("at", "a position or a time"));
    let at = asked.at.as_deref().map(When::from_str).transpose().map_err(malformed)?;
    let work = async move |past: Past<'_>, app: AppId| {
        let at = moment(past, at).await?;
        as_of::explain(past, &app, &command, at).await
    };
    Answer::query(&replay(call, work).await?)
}
