//! Users.

use actix_web::http::StatusCode;
use chrono::{DateTime, SecondsFormat, Utc};
use rollcall_projections::user_directory;
use rollcall_schemas::ids::{OperationId, SubjectRef};
use rollcall_schemas::plain::Scope;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::patch::Patch;
use super::problem::{Answer, Problem};
use super::version::Version;
use super::{Call, mutes};
use crate::domain::Refusal;
use crate::domain::erasure::{Erase, Request};
use crate::domain::user::{Change, Register};
use crate::domain::values::{Invalid, Name, Portrait, UserId};
use crate::engine::opening::Opener;

/// Who is registered.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Registration {
    pub(super) name: String,
    #[serde(default)]
    pub(super) portrait_uri: Option<String>,
}

impl Registration {
    pub(super) fn parse(&self) -> Result<(Name, Option<Portrait>), Problem> {
        let name = Name::parse(&self.name).map_err(|invalid| Problem::Invalid("#/name", invalid))?;
        let portrait = self.portrait_uri.as_deref().map(Portrait::parse).transpose();
        Ok((name, portrait.map_err(|invalid| Problem::Invalid("#/portrait_uri", invalid))?))
    }
}

/// Who was registered, and the access token.
#[derive(Serialize, ToSchema)]
pub(super) struct Registered {
    id: String,
    token: String,
}

pub(super) fn user_id(id: &str) -> Result<UserId, Problem> {
    UserId::parse("id", id).map_err(|invalid| Problem::Invalid("{id}", invalid))
}

async fn directory_entry(call: &Call<'_>, id: &UserId) -> Result<Option<user_directory::User>, Problem> {
    call.engine.caught_up(&call.app.id).await?;
    let tag = call.engine.tag(&call.app.id, id)?;
    Ok(user_directory::by_tag(call.engine.read(), &call.app.id, tag).await?)
}

/// The subject of the user whom a path names first, once the read models have what was acknowledged. 404: the userId was
/// never used; 410: the user is deactivated.
pub(super) async fn owner(call: &Call<'_>) -> Result<SubjectRef, Problem> {
    match directory_entry(call, &user_id(call.parameter(0))?).await? {
        Some(user) if user.deactivated => Err(Refusal::Deactivated.into()),
        Some(user) => Ok(user.subject),
        None => Err(Refusal::NotRegistered.into()),
    }
}

/// `PUT /users/{id}`: register a user, or register it again. 201 for a new user, 200 for a known one.
pub(super) async fn register(call: &Call<'_>) -> Result<Answer, Problem> {
    let id = user_id(call.parameter(0))?;
    let asked: Registration = call.json()?;
    let (name, portrait) = asked.parse()?;
    let done = call.engine.execute(&call.caller, Register { who: id.clone(), name, portrait }).await?;
    let token = call.engine.token_text(&call.app.id, &done.reply.token)?;
    let status = if done.reply.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Answer::command(status, &Registered { id: id.as_str().to_owned(), token }, done.position)
}

/// One user.
#[derive(Serialize, ToSchema)]
pub(super) struct User {
    id: String,
    /// How the log and the feed name the user.
    #[schema(value_type = String)]
    subject: SubjectRef,
    name: Option<String>,
    portrait_uri: Option<String>,
    registered_at: Option<String>,
    /// active or deactivated.
    state: &'static str,
}

/// One user who is registered and not deactivated.
#[derive(Serialize, ToSchema)]
pub(super) struct ActiveUser {
    #[serde(flatten)]
    user: User,
    /// Absent: the user may send direct messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    mute: Option<MuteOfUser>,
}

/// How long a user is muted.
#[derive(Serialize, ToSchema)]
pub(super) struct MuteOfUser {
    /// When the mute ends by itself; null: never.
    until: Option<String>,
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

pub(super) fn opened(
    opener: &mut Opener<'_>,
    subject: SubjectRef,
    field: &str,
    sealed: Option<&[u8]>,
) -> Result<Option<String>, Problem> {
    match sealed {
        Some(sealed) => Ok(opener.open(subject, field, sealed)?),
        None => Ok(None),
    }
}

pub(super) fn shown(opener: &mut Opener<'_>, id: String, user: &user_directory::User) -> Result<User, Problem> {
    Ok(User {
        id,
        subject: user.subject,
        name: opened(opener, user.subject, "name", user.name.as_deref())?,
        portrait_uri: opened(opener, user.subject, "portrait", user.portrait.as_deref())?,
        registered_at: user.registered_at.map(time),
        state: if user.deactivated { "deactivated" } else { "active" },
    })
}

/// `GET /users/{id}`: one user. 410 for a deactivated one.
pub(super) async fn show(call: &Call<'_>) -> Result<Answer, Problem> {
    let version = Version::of_user(call, owner(call).await?).await?;
    if let Some(known) = version.known(call) {
        return Ok(known);
    }
    Ok(Answer::query(&active(call).await?)?.tagged(version.etag()))
}

/// The user that a path names first, who must be registered and not deactivated.
async fn active(call: &Call<'_>) -> Result<ActiveUser, Problem> {
    let id = user_id(call.parameter(0))?;
    match directory_entry(call, &id).await? {
        Some(user) if user.deactivated => Err(Refusal::Deactivated.into()),
        Some(user) if user.is_active() => {
            let mute = mutes::running(call, user.subject).await?;
            let mute = mute.map(|mute| MuteOfUser { until: mute.ends_at.map(time) });
            let answer = |opener: &mut Opener<'_>| shown(opener, id.as_str().to_owned(), &user);
            let user = call.engine.disclose(&call.caller, &[user.subject], answer).await?;
            Ok(ActiveUser { user, mute })
        }
        Some(_) | None => Err(Refusal::NotRegistered.into()),
    }
}

/// Changes the user that a path names first, if it is as the caller expects. Answers the position of the change, and the revision of
/// what is read from here on.
pub(super) async fn changed(call: &Call<'_>, change: Change) -> Result<(u64, Version), Problem> {
    let who = vec![user_id(call.parameter(0))?];
    let subject = owner(call).await?;
    let expected = Version::of_user(call, subject).await?.expected(call);
    let done = call.engine.execute_expecting(&call.caller, change.of(who), expected).await?;
    Ok((done.position, Version::of_user(call, subject).await?))
}

/// `GET /users/by-unique-id/{uniqueId}`: the user with this field of its hosted profile.
pub(super) async fn find(call: &Call<'_>) -> Result<Answer, Problem> {
    call.engine.caught_up(&call.app.id).await?;
    let found = call.engine.find_by_unique_id(&call.app.id, call.parameter(0)).await?;
    let user = found.ok_or(Refusal::NotRegistered)?;
    let answer = |opener: &mut Opener<'_>| match opened(opener, user.subject, "user_id", user.user_id.as_deref())? {
        Some(id) => shown(opener, id, &user),
        None => Err(Refusal::NotRegistered.into()),
    };
    Answer::query(&call.engine.disclose(&call.caller, &[user.subject], answer).await?)
}

/// What changes of a user: a merge patch (RFC 7396).
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct UserPatch {
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    name: Patch<String>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    portrait_uri: Patch<String>,
}

fn given(patch: Patch<String>, pointer: &'static str, field: &'static str) -> Result<Option<String>, Problem> {
    match patch {
        Patch::Keep => Ok(None),
        Patch::Set(text) => Ok(Some(text)),
        Patch::Clear => Err(Problem::Invalid(pointer, Invalid::malformed(field, "a text; it cannot be taken away"))),
    }
}

/// `PATCH /users/{id}`: change name, portrait or both.
pub(super) async fn modify(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked: UserPatch = call.json()?;
    let name = given(asked.name, "#/name", "name")?.map(|name| Name::parse(&name)).transpose();
    let name = name.map_err(|invalid| Problem::Invalid("#/name", invalid))?;
    let portrait = given(asked.portrait_uri, "#/portrait_uri", "portrait_uri")?;
    let portrait = portrait.map(|portrait| Portrait::parse(&portrait)).transpose();
    let portrait = portrait.map_err(|invalid| Problem::Invalid("#/portrait_uri", invalid))?;
    let (position, version) = changed(call, Change::Modify(name, portrait)).await?;
    Ok(Answer::command(StatusCode::OK, &active(call).await?, position)?.tagged(version.etag()))
}

/// What the deactivation is called.
#[derive(Serialize, ToSchema)]
pub(super) struct Deactivation {
    #[schema(value_type = String)]
    operation: OperationId,
}

/// `POST /users/{id}/deactivation`: fence a user and erase its data. 202: the erasure goes on.
pub(super) async fn deactivate(call: &Call<'_>) -> Result<Answer, Problem> {
    let who = vec![user_id(call.parameter(0))?];
    let command = Erase { who, scope: Scope::Deactivate, request: Request::default() };
    let done = call.engine.execute(&call.caller, command).await?;
    Answer::command(StatusCode::ACCEPTED, &Deactivation { operation: done.reply }, done.position)
}
