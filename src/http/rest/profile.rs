//! What a user is besides a name: hosted profile, tags, quiet hours, who may befriend it.

use actix_web::http::StatusCode;
use rollcall_projections::{hosted_profiles, user_settings, user_tags};
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::plain::FriendPermission;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Call;
use super::endpoint::Untyped;
use super::problem::{Answer, Problem};
use super::users::{self, owner, user_id};
use super::version::Version;
use crate::domain::Refusal;
use crate::domain::user::Change;
use crate::domain::values::{self, Invalid, ProfileChanges, QuietHours, Tag, extension_fields, profile_fields};
use crate::engine::opening::Opener;

/// Tags a user may have.
const TAGS_MAX: usize = 20;
/// Extension fields one call may set.
const EXTENSIONS_MAX: usize = 20;

async fn changed(call: &Call<'_>, change: Change) -> Result<u64, Problem> {
    let command = change.of(vec![user_id(call.parameter(0))?]);
    Ok(call.engine.execute(&call.caller, command).await?.position)
}

/// A hosted profile.
#[derive(Serialize, ToSchema)]
pub(super) struct Profile {
    /// The fields that have a value; those of the app begin with `ext_`.
    #[schema(value_type = Untyped)]
    profile: Map<String, Value>,
}

/// Opens the fields of a hosted profile; what was erased is left out.
pub(super) fn fields(
    opener: &mut Opener<'_>,
    profile: &hosted_profiles::Profile,
) -> Result<Map<String, Value>, Problem> {
    let mut fields = Map::new();
    for (name, sealed) in &profile.fields {
        if let Some(value) = opener.open(profile.subject, &name.0, sealed)? {
            fields.insert(name.0.clone(), value);
        }
    }
    Ok(fields)
}

async fn profile(call: &Call<'_>, subject: SubjectRef) -> Result<Profile, Problem> {
    let found = hosted_profiles::of_subjects(call.engine.read(), &call.app.id, &[subject]).await?.pop().flatten();
    let subjects = [subject];
    let opened = call.engine.disclose(&call.caller, &subjects, |opener| {
        let profile = found.as_ref().map(|found| fields(opener, found)).transpose()?;
        Ok::<_, Problem>(Profile { profile: profile.unwrap_or_default() })
    });
    opened.await
}

/// `GET /users/{id}/profile`.
pub(super) async fn show(call: &Call<'_>) -> Result<Answer, Problem> {
    let subject = owner(call).await?;
    let version = Version::of_user(call, subject).await?;
    if let Some(known) = version.known(call) {
        return Ok(known);
    }
    Ok(Answer::query(&profile(call, subject).await?)?.tagged(version.etag()))
}

/// `PATCH /users/{id}/profile`: a merge patch (RFC 7396) of the fields.
pub(super) async fn change(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked: Map<String, Value> = call.json()?;
    let (extensions, fixed): (Map<_, _>, Map<_, _>) = asked.into_iter().partition(|(name, _)| name.starts_with("ext_"));
    let malformed = |invalid| Problem::Invalid("#", invalid);
    let mut changes: ProfileChanges = profile_fields(&fixed).map_err(malformed)?;
    changes.extend(extension_fields("profile", &extensions, EXTENSIONS_MAX).map_err(malformed)?);
    let (position, version) = users::changed(call, Change::SetProfile(changes)).await?;
    let profile = profile(call, owner(call).await?).await?;
    Ok(Answer::command(StatusCode::OK, &profile, position)?.tagged(version.etag()))
}

/// `DELETE /users/{id}/profile`: clear every field.
pub(super) async fn clean(call: &Call<'_>) -> Result<Answer, Problem> {
    Ok(Answer::done(changed(call, Change::CleanProfile).await?))
}

/// Tags of a user.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Tags {
    tags: Vec<String>,
}

/// `GET /users/{id}/tags`.
pub(super) async fn tags(call: &Call<'_>) -> Result<Answer, Problem> {
    let subject = owner(call).await?;
    let sealed = user_tags::of_subjects(call.engine.read(), &call.app.id, &[subject]).await?.pop().flatten();
    let subjects = [subject];
    let tags = call.engine.disclose(&call.caller, &subjects, |opener| match &sealed {
        Some(sealed) => opener.open::<Vec<String>>(subject, "tags", sealed),
        None => Ok(None),
    });
    Answer::query(&Tags { tags: tags.await?.unwrap_or_default() })
}

/// `PUT /users/{id}/tags`: these are all tags from now on.
pub(super) async fn tag(call: &Call<'_>) -> Result<Answer, Problem> {
    let Tags { mut tags } = call.json()?;
    let invalid = |invalid| Problem::Invalid("#/tags", invalid);
    let mut seen = std::collections::HashSet::new();
    tags.retain(|tag| seen.insert(tag.clone()));
    if tags.len() > TAGS_MAX {
        return Err(invalid(Invalid::new("tags", values::Problem::TooMany { max: TAGS_MAX })));
    }
    let tags = tags.iter().map(|tag| Tag::parse(tag)).collect::<Result<_, _>>().map_err(invalid)?;
    Ok(Answer::done(changed(call, Change::Tag(tags)).await?))
}

/// When pushes are held back, each day.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Quiet {
    /// `HH:MM:SS`.
    start: String,
    /// 1 to 1,439.
    minutes: i64,
    /// 1 or 5, as the platform numbers it; 1 where it is absent.
    #[serde(default)]
    level: Option<i64>,
}

/// `PUT /users/{id}/push-quiet-hours`.
pub(super) async fn quiet(call: &Call<'_>) -> Result<Answer, Problem> {
    let Quiet { start, minutes, level } = call.json()?;
    let hours = QuietHours::parse(&start, minutes, level.unwrap_or(1));
    let hours = hours.map_err(|invalid| Problem::Invalid("#", invalid))?;
    Ok(Answer::done(changed(call, Change::QuietPushes(Some(hours))).await?))
}

/// When pushes are held back, each day.
#[derive(Serialize, ToSchema)]
pub(super) struct QuietHoursSet {
    /// `HH:MM:SS`.
    start: String,
    minutes: u16,
    /// 1 or 5, as the platform numbers it.
    level: u8,
}

/// `GET /users/{id}/push-quiet-hours`: 404 where there are none.
pub(super) async fn quiet_hours(call: &Call<'_>) -> Result<Answer, Problem> {
    let settings = user_settings::of(call.engine.read(), owner(call).await?).await?;
    let user_settings::QuietHours { start, minutes, level } = settings.quiet.ok_or(Problem::NoQuietHours)?;
    Answer::query(&QuietHoursSet { start: start.format("%H:%M:%S").to_string(), minutes, level })
}

/// `DELETE /users/{id}/push-quiet-hours`.
pub(super) async fn unquiet(call: &Call<'_>) -> Result<Answer, Problem> {
    Ok(Answer::done(changed(call, Change::QuietPushes(None)).await?))
}

/// Who may befriend a user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Permission {
    /// anyone, approval or nobody.
    #[schema(value_type = String)]
    permission: FriendPermission,
}

/// `PUT /users/{id}/friend-permission`.
pub(super) async fn permit(call: &Call<'_>) -> Result<Answer, Problem> {
    let Permission { permission } = call.json()?;
    Ok(Answer::done(changed(call, Change::PermitFriends(permission)).await?))
}

/// Who may befriend a user now.
#[derive(Serialize, ToSchema)]
pub(super) struct PermissionNow {
    /// anyone, approval or nobody.
    #[schema(value_type = String)]
    permission: FriendPermission,
    /// Whether the user has a setting of its own; otherwise it is that of the app.
    own: bool,
}

/// `GET /users/{id}/friend-permission`.
pub(super) async fn permission(call: &Call<'_>) -> Result<Answer, Problem> {
    let own = user_settings::of(call.engine.read(), owner(call).await?).await?.friend_permission;
    let app = call.engine.app(call.app.id.as_str()).ok_or(Refusal::NoSuchApp)?;
    let permission = own.unwrap_or(app.settings.friend_permission);
    Answer::query(&PermissionNow { permission, own: own.is_some() })
}
