//! Bans: impose or schedule, lift, and what there is of one user.

use actix_web::http::StatusCode;
use chrono::{DateTime, Datelike as _, Utc};
use rollcall_projections::{Seek, banned_users};
use rollcall_schemas::ids::SubjectRef;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Call;
use super::paging::{PageLinks, PageQuery};
use super::problem::{Answer, Problem};
use super::users::{opened, owner, user_id};
use crate::domain::ban::{self, Length, Term};
use crate::domain::values::{BanMinutes, Invalid, Note, Reason};
use crate::engine::opening::Opener;

/// Times from this year on are not taken.
const YEARS_END: i32 = 9_999;

/// When a user is banned, for how long, and why. Exactly one of `minutes`, `ends_at` and `permanent` says how long.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"starts_at": "2031-05-01T08:00:00Z", "minutes": 1440, "reason": "spam", "note": "third time"}))]
pub(super) struct BanBody {
    /// When the ban begins; absent, or a time that has passed: now.
    #[serde(default)]
    starts_at: Option<DateTime<Utc>>,
    /// 1 to 43,200, from its start on.
    #[serde(default)]
    minutes: Option<i64>,
    /// When it ends by itself.
    #[serde(default)]
    ends_at: Option<DateTime<Utc>>,
    /// Whether it lasts until it is lifted.
    #[serde(default)]
    permanent: Option<bool>,
    /// At most 512 characters.
    #[serde(default)]
    reason: Option<String>,
    /// What moderators tell each other; at most 2,000 characters.
    #[serde(default)]
    note: Option<String>,
}

/// A time that every part of the service can write.
fn time(
    pointer: &'static str,
    field: &'static str,
    at: Option<DateTime<Utc>>,
) -> Result<Option<DateTime<Utc>>, Problem> {
    let is_writable = |at: &DateTime<Utc>| (1_970..YEARS_END).contains(&at.year());
    match at {
        Some(at) if !is_writable(&at) => {
            Err(Problem::Invalid(pointer, Invalid::malformed(field, "a time from 1970 to 9998")))
        }
        // Everything that tells or compares it counts milliseconds.
        at => Ok(at.and_then(|at| DateTime::from_timestamp_millis(at.timestamp_millis()))),
    }
}

/// How long a ban lasts, as one of three members says it.
pub(super) fn length(
    minutes: Option<i64>,
    ends_at: Option<DateTime<Utc>>,
    permanent: Option<bool>,
) -> Result<Length, Problem> {
    match (minutes, ends_at, permanent.unwrap_or(false)) {
        (Some(minutes), None, false) => {
            let minutes = BanMinutes::new(minutes).map_err(|invalid| Problem::Invalid("#/minutes", invalid))?;
            Ok(Length::Minutes(minutes))
        }
        (None, Some(_), false) => {
            time("#/ends_at", "ends_at", ends_at)?.map(Length::Until).ok_or_else(|| one_of("ends_at"))
        }
        (None, None, true) => Ok(Length::Permanent),
        _ => Err(one_of("minutes, ends_at, permanent")),
    }
}

fn one_of(field: &'static str) -> Problem {
    Problem::Invalid("#", Invalid::malformed(field, "exactly one: how long the ban lasts"))
}

pub(super) fn reason(text: Option<&str>) -> Result<Option<Reason>, Problem> {
    text.map(Reason::parse).transpose().map_err(|invalid| Problem::Invalid("#/reason", invalid))
}

/// One ban.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"user_id": "ada", "state": "running", "banned_at": "2031-05-01T08:00:00Z",
    "starts_at": "2031-05-01T08:00:00Z", "ends_at": null, "permanent": true, "reason": "spam", "note": null,
    "actor": "api_key:2", "set_at": "2031-04-30T16:20:00Z"}))]
pub(super) struct Ban {
    user_id: String,
    /// scheduled, running or ended.
    state: &'static str,
    /// Since when the user is banned without a break.
    banned_at: DateTime<Utc>,
    /// When this ban begins; another end or another reason makes another ban of it.
    starts_at: DateTime<Utc>,
    /// When it ends by itself; null: never.
    ends_at: Option<DateTime<Utc>>,
    permanent: bool,
    reason: Option<String>,
    note: Option<String>,
    /// Who banned: `server:` or `api_key:` with its number, or `operator`.
    actor: String,
    /// When that was.
    set_at: DateTime<Utc>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<DateTime<Utc>>,
    /// Who ended it; `system`: its time was over.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_by: Option<String>,
    /// expired, lifted, replaced, or cancelled before it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    ending: Option<&'static str>,
}

impl Ban {
    /// Why the user is banned.
    pub(super) fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

/// Bans.
#[derive(Serialize, ToSchema)]
pub(super) struct Bans {
    pub(super) bans: Vec<Ban>,
    #[serde(flatten)]
    pub(super) links: PageLinks,
}

/// A ban as it is told at a time.
pub(super) fn shown(
    opener: &mut Opener<'_>,
    user_id: String,
    ban: &banned_users::Ban,
    now: DateTime<Utc>,
) -> Result<Ban, Problem> {
    let recorded = ban.end.as_ref().map(|end| (end.at, end.by.clone(), end.ending.as_str()));
    // That its time is over is recorded a moment later.
    let over = ban.ends_at.filter(|at| *at <= now).map(|at| (at, "system".to_owned(), "expired"));
    let end = recorded.or(over);
    let state = match &end {
        Some(_) => "ended",
        None if ban.starts_at > now => "scheduled",
        None => "running",
    };
    let (ended_at, ended_by, ending) = match end {
        Some((at, by, ending)) => (Some(at), Some(by), Some(ending)),
        None => (None, None, None),
    };
    Ok(Ban {
        user_id,
        state,
        banned_at: ban.banned_at,
        starts_at: ban.starts_at,
        ends_at: ban.ends_at,
        permanent: ban.ends_at.is_none(),
        reason: opened(opener, ban.subject, "reason", ban.reason.as_deref())?,
        note: opened(opener, ban.subject, "note", ban.note.as_deref())?,
        actor: ban.actor.clone(),
        set_at: ban.set_at,
        ended_at,
        ended_by,
        ending,
    })
}

/// The ban of the user of the path that runs now or is to begin.
async fn current(call: &Call<'_>) -> Result<Ban, Problem> {
    let (subject, now) = (owner(call).await?, call.engine.now());
    let found = banned_users::of(call.engine.read(), subject).await?;
    let ban = found.filter(|ban| ban.ends_at.is_none_or(|at| at > now)).ok_or(Problem::NotBanned)?;
    let user_id = user_id(call.parameter(0))?.as_str().to_owned();
    call.engine.disclose(&call.caller, &[subject], |opener| shown(opener, user_id, &ban, now)).await
}

/// `PUT /users/{id}/ban`: ban a user from now on or later, or give the ban that runs another end.
pub(super) async fn impose(call: &Call<'_>) -> Result<Answer, Problem> {
    let who = vec![user_id(call.parameter(0))?];
    let asked: BanBody = call.json()?;
    let starts_at = time("#/starts_at", "starts_at", asked.starts_at)?;
    let length = length(asked.minutes, asked.ends_at, asked.permanent)?;
    let note = asked.note.as_deref().map(Note::parse).transpose();
    let note = note.map_err(|invalid| Problem::Invalid("#/note", invalid))?;
    let reason = reason(asked.reason.as_deref())?;
    let command = ban::Ban { who, term: Term { starts_at, length }, reason, note, over: ban::Over::Any };
    let done = call.engine.execute(&call.caller, command).await?;
    Answer::command(StatusCode::OK, &current(call).await?, done.position)
}

/// `GET /users/{id}/ban`: 404 where the user has no ban that runs or is to begin.
pub(super) async fn show(call: &Call<'_>) -> Result<Answer, Problem> {
    Answer::query(&current(call).await?)
}

/// `DELETE /users/{id}/ban`: lift the ban, or call it off; one that is over is none.
pub(super) async fn lift(call: &Call<'_>) -> Result<Answer, Problem> {
    let who = vec![user_id(call.parameter(0))?];
    Ok(Answer::done(call.engine.execute(&call.caller, ban::Lift { who, scheduled: true, only: None }).await?.position))
}

/// `GET /users/{id}/bans?cursor=&limit=`: every ban of the user, the one that was set last first.
pub(super) async fn history(call: &Call<'_>) -> Result<Answer, Problem> {
    let (asked, subject) = (PageQuery::<u64>::read(call.query)?, owner(call).await?);
    let (read, now) = (call.engine.read(), call.engine.now());
    let mut rows = banned_users::history(read, subject, asked.seek, asked.limit + 1).await?;
    let current = banned_users::of(read, subject).await?;
    let is_asked = |ban: &banned_users::Ban| {
        let is_new = rows.first().is_none_or(|first| first.imposed_position < ban.imposed_position);
        let is_in_part = match asked.seek {
            Seek::After(place) => place.is_none_or(|place| ban.imposed_position < place),
            Seek::UpTo(place) => ban.imposed_position >= place,
        };
        is_new && is_in_part
    };
    if let Some(current) = current.filter(is_asked) {
        rows.insert(0, current);
    }
    let links = asked.cut(&mut rows, |ban| Some(ban.imposed_position));
    let user_id = user_id(call.parameter(0))?.as_str().to_owned();
    let subjects = [subject];
    let bans = call.engine.disclose(&call.caller, &subjects, |opener| {
        rows.iter().map(|ban| shown(opener, user_id.clone(), ban, now)).collect::<Result<Vec<_>, Problem>>()
    });
    Answer::query(&Bans { bans: bans.await?, links })
}

/// Whose rows an answer tells, in their order.
pub(super) fn subjects_of(rows: &[banned_users::Ban]) -> Vec<SubjectRef> {
    rows.iter().map(|ban| ban.subject).collect()
}
