//! The user of the call: own profile, settings and rights.

use actix_web::http::StatusCode;
use chrono::{DateTime, SecondsFormat, Utc};
use rollcall_projections::{allowlists, hosted_profiles, user_directory, user_settings};
use rollcall_schemas::ids::OperationId;
use rollcall_schemas::plain::{FriendPermission, LegalBasis, Requester, Scope, Visibility};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Call;
use super::people::{self, opened};
use super::problem::{Answer, Problem};
use crate::domain::erasure::{Erase, Request};
use crate::domain::user::Change;
use crate::domain::values::{self, Invalid, Name, Portrait, ProfileChanges, extension_fields, profile_fields};
use crate::engine::opening::Opener;

/// Extension fields of a profile.
const EXTENSIONS_MAX: usize = 20;

/// A call without parameters.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// The user itself.
#[derive(Serialize, ToSchema)]
pub(super) struct Me {
    user_id: String,
    name: Option<String>,
    portrait_uri: Option<String>,
    /// The hosted profile.
    profile: Map<String, Value>,
    /// hidden, all or friends; null: not chosen, which counts as friends.
    visibility: Option<&'static str>,
    /// anyone, approval or nobody; null: as the app says.
    friend_permission: Option<&'static str>,
    /// Whether the allowlist counts instead of the blocklist.
    allowlist_enabled: bool,
    registered_at: Option<String>,
}

pub(super) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// `me.get`.
pub(super) async fn show(call: &Call<'_>, _: Nothing) -> Result<Answer, Problem> {
    call.engine.caught_up(&call.app.id).await?;
    Answer::query(&me(call).await?)
}

async fn me(call: &Call<'_>) -> Result<Me, Problem> {
    let (read, app, subject) = (call.engine.read(), &call.app.id, call.subject);
    let user = user_directory::by_subject(read, app, subject).await?.ok_or(Problem::NoSuchUser)?;
    let profile = hosted_profiles::of_subjects(read, app, &[subject]).await?.pop().flatten();
    let settings = user_settings::of(read, subject).await?;
    let allowlist_enabled = allowlists::in_force_since(read, &[subject]).await?.iter().any(Option::is_some);
    let answer = |opener: &mut Opener<'_>| {
        Ok::<_, Problem>(Me {
            user_id: call.me.as_str().to_owned(),
            name: opened(opener, subject, "name", user.name.as_deref())?,
            portrait_uri: opened(opener, subject, "portrait", user.portrait.as_deref())?,
            profile: people::fields(opener, profile.as_ref())?,
            visibility: settings.visibility.map(Visibility::as_str),
            friend_permission: settings.friend_permission.map(FriendPermission::as_str),
            allowlist_enabled,
            registered_at: user.registered_at.map(time),
        })
    };
    call.engine.disclose(&call.caller, &[subject], answer).await
}

/// What changes of the user (JSON merge patch, RFC 7396).
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Patch {
    name: Option<String>,
    portrait_uri: Option<String>,
    /// Fields of the hosted profile; null takes one away. `uniqueId` can only be set by the app.
    #[serde(default)]
    profile: Map<String, Value>,
}

/// `me.update`: all of it or nothing.
pub(super) async fn update(call: &Call<'_>, asked: Patch) -> Result<Answer, Problem> {
    let change = Change::Update {
        name: asked.name.as_deref().map(Name::parse).transpose()?,
        portrait: asked.portrait_uri.as_deref().map(Portrait::parse).transpose()?,
        profile: profile_changes(asked.profile)?,
    };
    let done = call.engine.execute(&call.caller, change.of(vec![call.me.clone()])).await?;
    call.engine.caught_up(&call.app.id).await?;
    Answer::command(StatusCode::OK, &me(call).await?, done.position)
}

/// Fields of the hosted profile, each fault with the platform's number.
fn profile_changes(asked: Map<String, Value>) -> Result<ProfileChanges, Problem> {
    const KNOWN: [&str; 8] = ["name", "portraitUri", "email", "birthday", "gender", "location", "role", "level"];
    let at = |expected, key: &str, number| {
        Err(Problem::Invalid(Invalid::malformed("profile", expected).at(key), Some(number)))
    };
    let (mut fixed, mut extensions) = (Map::new(), Map::new());
    for (key, value) in asked {
        match key.as_str() {
            "uniqueId" => return at("an object without keys that only the app sets", &key, 24_360),
            "gender" | "role" | "level" if !value.is_number() && !value.is_null() => {
                return at("an object whose numbers are numbers", &key, 24_367);
            }
            known if KNOWN.contains(&known) => fixed.insert(key, value),
            extension if extension.starts_with("ext_") => extensions.insert(key, value),
            _ => return at("an object of known profile fields", &key, 24_361),
        };
    }
    let numbered = |invalid: Invalid| {
        let number = match (&invalid.problem, invalid.key.as_deref()) {
            (values::Problem::TooLong { .. }, _) => 24_364,
            (values::Problem::TooMany { .. }, _) => 24_363,
            (_, Some("gender" | "role" | "level")) => 24_368,
            _ => 33_003,
        };
        Problem::Invalid(Invalid { field: "profile", ..invalid }, Some(number))
    };
    let mut changes = profile_fields(&fixed).map_err(numbered)?;
    changes.extend(extension_fields("profile", &extensions, EXTENSIONS_MAX).map_err(numbered)?);
    Ok(changes)
}

/// Who sees more of the user than name and portrait.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct VisibilityParams {
    /// hidden, all or friends.
    visibility: String,
}

/// `me.set_visibility`.
pub(super) async fn set_visibility(call: &Call<'_>, asked: VisibilityParams) -> Result<Answer, Problem> {
    let malformed = Problem::Invalid(Invalid::malformed("visibility", "hidden, all or friends"), Some(34_313));
    let change = Change::SetVisibility(asked.visibility.parse().map_err(|_| malformed)?);
    Ok(Answer::done(call.engine.execute(&call.caller, change.of(vec![call.me.clone()])).await?.position))
}

/// Who may become a friend of the user.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PermissionParams {
    /// anyone, approval or nobody.
    permission: String,
}

/// `me.set_friend_permission`.
pub(super) async fn set_friend_permission(call: &Call<'_>, asked: PermissionParams) -> Result<Answer, Problem> {
    let malformed = Problem::Invalid(Invalid::malformed("permission", "anyone, approval or nobody"), Some(34_334));
    let change = Change::PermitFriends(asked.permission.parse().map_err(|_| malformed)?);
    Ok(Answer::done(call.engine.execute(&call.caller, change.of(vec![call.me.clone()])).await?.position))
}

/// What the erasure is called.
#[derive(Serialize, ToSchema)]
pub(super) struct Erasure {
    #[schema(value_type = String)]
    operation: OperationId,
}

/// `me.erasure`: the user is forgotten, where the app lets users erase themselves. 202: the erasure goes on.
pub(super) async fn erase(call: &Call<'_>, _: Nothing) -> Result<Answer, Problem> {
    if !call.app.client.erasure {
        return Err(Problem::NotAllowed);
    }
    let request = Request { requester: Requester::Subject, basis: LegalBasis::ConsentWithdrawn, ..Request::default() };
    let command = Erase { who: vec![call.me.clone()], scope: Scope::Forget, request };
    let done = call.engine.execute(&call.caller, command).await?;
    Answer::command(StatusCode::ACCEPTED, &Erasure { operation: done.reply }, done.position)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn number(profile: Value) -> Option<u16> {
        match profile_changes(profile.as_object().unwrap().clone()) {
            Ok(_) => None,
            Err(Problem::Invalid(_, number)) => number,
            Err(_) => Some(0),
        }
    }

    #[test]
    fn each_fault_of_a_profile_has_the_number_the_platform_gives_it() {
        assert_eq!(number(json!({"name": "Ada", "gender": 1, "email": null, "ext_a": "x"})), None);
        assert_eq!(number(json!({"uniqueId": "ada"})), Some(24_360));
        assert_eq!(number(json!({"shoes": "red"})), Some(24_361));
        assert_eq!(number(json!({"name": "x".repeat(65)})), Some(24_364));
        assert_eq!(number(json!({"gender": "1"})), Some(24_367));
        assert_eq!(number(json!({"role": 101})), Some(24_368));
        let many: Map<String, Value> = (0..21).map(|n| (format!("ext_{n}"), json!("x"))).collect();
        assert_eq!(number(many.into()), Some(24_363));
    }
}
