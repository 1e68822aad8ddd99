//! Bans.

use actix_web::http::StatusCode;
use chrono::{DateTime, Utc};
use rollcall_projections::banned_users::{self, BanCursor};
use rollcall_projections::user_directory;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Call;
use super::paging::PageQuery;
use super::problem::{Answer, Problem};
use super::users::{opened, owner, user_id};
use crate::domain::ban;
use crate::domain::values::{BanMinutes, Invalid, Reason};

/// For how long a user is banned, and why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct BanBody {
    /// 1 to 43,200, from now on.
    minutes: i64,
    /// At most 512 characters.
    #[serde(default)]
    reason: Option<String>,
}

/// A ban that runs.
#[derive(Serialize, ToSchema)]
pub(super) struct Ban {
    user_id: String,
    banned_at: DateTime<Utc>,
    /// When it ends by itself.
    ends_at: DateTime<Utc>,
    reason: Option<String>,
}

/// The bans that run.
#[derive(Serialize, ToSchema)]
pub(super) struct Bans {
    bans: Vec<Ban>,
    next: Option<String>,
}

/// The ban of the user of the path that runs now.
async fn running(call: &Call<'_>) -> Result<Ban, Problem> {
    let subject = owner(call).await?;
    let found = banned_users::of(call.engine.read(), subject).await?;
    let ban = found.filter(|ban| ban.until > call.engine.now()).ok_or(Problem::NotBanned)?;
    let user_id = user_id(call.parameter(0))?.as_str().to_owned();
    let subjects = [subject];
    let told = call.engine.disclose(&call.caller, &subjects, |opener| {
        let reason = opened(opener, subject, "reason", ban.reason.as_deref())?;
        Ok::<_, Problem>(Ban { user_id, banned_at: ban.banned_at, ends_at: ban.until, reason })
    });
    told.await
}

/// `PUT /users/{id}/ban`: ban a user from now on, or give the ban that runs another end.
pub(super) async fn impose(call: &Call<'_>) -> Result<Answer, Problem> {
    let who = vec![user_id(call.parameter(0))?];
    let asked: BanBody = call.json()?;
    let minutes = BanMinutes::new(asked.minutes).map_err(|invalid| Problem::Invalid("#/minutes", invalid))?;
    let reason = asked.reason.as_deref().map(Reason::parse).transpose();
    let reason = reason.map_err(|invalid| Problem::Invalid("#/reason", invalid))?;
    let done = call.engine.execute(&call.caller, ban::Ban { who, minutes, reason }).await?;
    Answer::command(StatusCode::OK, &running(call).await?, done.position)
}

/// `GET /users/{id}/ban`: 404 where the user is not banned now.
pub(super) async fn show(call: &Call<'_>) -> Result<Answer, Problem> {
    Answer::query(&running(call).await?)
}

/// `DELETE /users/{id}/ban`: lift the ban; one that is over is none.
pub(super) async fn lift(call: &Call<'_>) -> Result<Answer, Problem> {
    let who = vec![user_id(call.parameter(0))?];
    Ok(Answer::done(call.engine.execute(&call.caller, ban::Lift { who }).await?.position))
}

/// `GET /bans?cursor=&limit=`: the bans that run, the latest end first.
pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked = PageQuery::<BanCursor>::read(call.query)?;
    if call.value("state").is_some_and(|state| state != "running") {
        return Err(Problem::Invalid("?state", Invalid::malformed("state", "`running`")));
    }
    call.engine.caught_up(&call.app.id).await?;
    let (read, app) = (call.engine.read(), &call.app.id);
    let mut rows = banned_users::running(read, app, call.engine.now(), asked.cursor, asked.limit + 1).await?;
    let next = asked.cut(&mut rows, |ban| Some(BanCursor { until: ban.until, subject: ban.subject }));
    let subjects: Vec<_> = rows.iter().map(|ban| ban.subject).collect();
    let ids = user_directory::user_ids(read, app, &subjects).await?;
    let bans = call.engine.disclose(&call.caller, &subjects, |opener| {
        let mut bans = Vec::with_capacity(rows.len());
        for (ban, id) in rows.iter().zip(&ids) {
            let Some(user_id) = opened(opener, ban.subject, "user_id", id.as_deref())? else { continue };
            let reason = opened(opener, ban.subject, "reason", ban.reason.as_deref())?;
            bans.push(Ban { user_id, banned_at: ban.banned_at, ends_at: ban.until, reason });
        }
        Ok::<_, Problem>(bans)
    });
    Answer::query(&Bans { bans: bans.await?, next })
}
