//! Mutes of direct messages: for a time or for good, of one user and of an app.

use chrono::{DateTime, Utc};
use rollcall_projections::{mutes, user_directory};
use rollcall_schemas::ids::SubjectRef;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Call;
use super::paging::{PageLinks, PageQuery};
use super::problem::{Answer, Problem};
use super::users::{opened, owner, user_id};
use crate::domain::user::Change;
use crate::domain::values::MuteMinutes;

/// How a user is muted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MuteBody {
    /// 1 to 43,200; absent: until the user is unmuted.
    #[serde(default)]
    minutes: Option<i64>,
}

/// One mute.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"user_id": "ada", "muted_at": "2031-05-01T08:00:00Z", "until": "2031-05-01T09:00:00Z"}))]
pub(super) struct Mute {
    user_id: String,
    /// Since when the user is muted without a break.
    muted_at: DateTime<Utc>,
    /// When it ends by itself; null: never.
    until: Option<DateTime<Utc>>,
}

impl Mute {
    fn of(user_id: String, mute: &mutes::Mute) -> Self {
        Self { user_id, muted_at: mute.muted_at, until: mute.ends_at }
    }
}

/// Mutes.
#[derive(Serialize, ToSchema)]
pub(super) struct Mutes {
    mutes: Vec<Mute>,
    #[serde(flatten)]
    links: PageLinks,
}

/// The mute of a user that runs now; `None`: it may send direct messages.
pub(super) async fn running(call: &Call<'_>, subject: SubjectRef) -> Result<Option<mutes::Mute>, Problem> {
    let (found, now) = (mutes::of(call.engine.read(), subject).await?, call.engine.now());
    Ok(found.filter(|mute| mute.runs_at(now)))
}

async fn changed(call: &Call<'_>, change: Change) -> Result<Answer, Problem> {
    let command = change.of(vec![user_id(call.parameter(0))?]);
    Ok(Answer::done(call.engine.execute(&call.caller, command).await?.position))
}

/// `PUT /users/{id}/mute`: the user sends no direct messages for so long, or until it is unmuted; a mute that runs gets this
/// end.
pub(super) async fn mute(call: &Call<'_>) -> Result<Answer, Problem> {
    let minutes = if call.body.is_empty() { None } else { call.json::<MuteBody>()?.minutes };
    let minutes = minutes.map(MuteMinutes::new).transpose();
    let minutes = minutes.map_err(|invalid| Problem::Invalid("#/minutes", invalid))?;
    changed(call, Change::MuteDirectMessages(minutes)).await
}

/// `DELETE /users/{id}/mute`.
pub(super) async fn unmute(call: &Call<'_>) -> Result<Answer, Problem> {
    changed(call, Change::UnmuteDirectMessages).await
}

/// `GET /users/{id}/mute`: 404 where the user is not muted.
pub(super) async fn show(call: &Call<'_>) -> Result<Answer, Problem> {
    let mute = running(call, owner(call).await?).await?.ok_or(Problem::NotMuted)?;
    Answer::query(&Mute::of(user_id(call.parameter(0))?.as_str().to_owned(), &mute))
}

/// `GET /mutes`: who is muted, in the order of muting.
pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let (asked, engine) = (PageQuery::<u64>::read(call.query)?, call.engine);
    engine.caught_up(&call.app.id).await?;
    let (app, now) = (&call.app.id, engine.now());
    let mut rows = mutes::listed(engine.read(), app, now, asked.seek, asked.limit + 1).await?;
    let links = asked.cut(&mut rows, |mute| Some(mute.muted_position));
    let subjects: Vec<_> = rows.iter().map(|mute| mute.subject).collect();
    let ids = user_directory::user_ids(engine.read(), app, &subjects).await?;
    let mutes = engine.disclose(&call.caller, &subjects, |opener| {
        let mut mutes = Vec::with_capacity(rows.len());
        for (mute, id) in rows.iter().zip(&ids) {
            let user_id = opened(opener, mute.subject, "user_id", id.as_deref())?;
            mutes.extend(user_id.map(|user_id| Mute::of(user_id, mute)));
        }
        Ok::<_, Problem>(mutes)
    });
    Answer::query(&Mutes { mutes: mutes.await?, links })
}
