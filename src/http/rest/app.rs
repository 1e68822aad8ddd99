//! The caller's own app and its settings.

use actix_web::http::StatusCode;
use rollcall_projections::{apps, rate_limits};
use rollcall_schemas::plain::{ApiScope, Environment, FriendPermission, Plan, RateLimit, Settings};
use rollcall_schemas::stream::Stream;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Call;
use super::patch::Patch;
use super::problem::{Answer, Problem};
use super::version::Version;
use crate::domain::values::Invalid;
use crate::domain::{Refusal, app};
use crate::http::at_most::{AtMost, INT32_MAX, INT64_MAX};

/// How often a patch is applied again because the app was changed meanwhile.
const ATTEMPTS_MAX: usize = 8;

/// An app.
#[derive(Serialize, ToSchema)]
pub(super) struct AppView {
    app: String,
    /// development or production.
    #[schema(value_type = String)]
    environment: Environment,
    /// starter or pro.
    #[schema(value_type = String)]
    plan: Plan,
    settings: AppSettings,
}

/// What the app has set.
#[derive(Serialize, ToSchema)]
pub(super) struct AppSettings {
    reactivation_wait_seconds: u32,
    /// Null: until they are invalidated.
    token_lifetime_seconds: Option<u64>,
    /// anyone, approval or nobody.
    #[schema(value_type = String)]
    friend_permission: FriendPermission,
    erasure_grace_seconds: u32,
    erasures_per_minute_max: u32,
    record_reads: bool,
    /// How often each endpoint may be called within a second: off, platform (as often as the platform allows) or a number.
    #[schema(value_type = String)]
    rate_limit: RateLimit,
}

/// A merge patch of the settings. Those of erasures and reads are safeguards: changing them needs the scope `operator` as well.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct AppPatch {
    #[serde(default)]
    #[schema(value_type = Option<u32>)]
    reactivation_wait_seconds: Patch<AtMost<INT32_MAX>>,
    #[serde(default)]
    #[schema(value_type = Option<u64>)]
    token_lifetime_seconds: Patch<AtMost<INT64_MAX>>,
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    friend_permission: Patch<FriendPermission>,
    #[serde(default)]
    #[schema(value_type = Option<u32>)]
    erasure_grace_seconds: Patch<AtMost<INT32_MAX>>,
    #[serde(default)]
    #[schema(value_type = Option<u32>)]
    erasures_per_minute_max: Patch<AtMost<INT32_MAX>>,
    #[serde(default)]
    #[schema(value_type = Option<bool>)]
    record_reads: Patch<bool>,
    /// off, platform or a number of calls from 1 to 1,000,000.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    rate_limit: Patch<RateLimit>,
}

async fn row(call: &Call<'_>) -> Result<(apps::App, RateLimit), Problem> {
    call.engine.caught_up(&call.app.id).await?;
    let (read, app) = (call.engine.read(), &call.app.id);
    Ok((apps::of(read, app).await?.ok_or(Refusal::NoSuchApp)?, rate_limits::of(read, app).await?))
}

fn view((row, rate_limit): (apps::App, RateLimit)) -> AppView {
    let Settings {
        reactivation_wait_seconds,
        token_lifetime_seconds,
        friend_permission,
        erasure_grace_seconds,
        erasures_per_minute_max,
        record_reads,
        ..
    } = row.settings;
    AppView {
        app: row.app.to_string(),
        environment: row.environment,
        plan: row.plan,
        settings: AppSettings {
            reactivation_wait_seconds,
            token_lifetime_seconds,
            friend_permission,
            erasure_grace_seconds,
            erasures_per_minute_max,
            record_reads,
            rate_limit,
        },
    }
}

/// `GET /app`.
pub(super) async fn show(call: &Call<'_>) -> Result<Answer, Problem> {
    let version = Version::of_app(call).await?;
    if let Some(known) = version.known(call) {
        return Ok(known);
    }
    Ok(Answer::query(&view(row(call).await?))?.tagged(version.etag()))
}

/// Sets what a patch gives; a setting without which the app cannot be is not cleared.
fn set<T: PartialEq>(setting: &mut T, patch: Patch<T>, pointer: &'static str) -> Result<bool, Problem> {
    match patch {
        Patch::Keep => Ok(false),
        Patch::Clear => Err(Problem::Invalid(pointer, Invalid::malformed("the setting", "a value; null is none"))),
        Patch::Set(value) => {
            let changes = *setting != value;
            *setting = value;
            Ok(changes)
        }
    }
}

/// `PATCH /app`: change settings of the app.
pub(super) async fn change(call: &Call<'_>) -> Result<Answer, Problem> {
    for _ in 1..ATTEMPTS_MAX {
        match changed(call).await {
            // Somebody else changed another setting: what is recorded is all settings, and must not take that back.
            Err(Problem::Engine(error)) if Version::is_overtaken(call, &error) => {
                call.engine.settled(&Stream::App(call.app.id.clone())).await?;
            }
            done => return done,
        }
    }
    changed(call).await
}

async fn changed(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked: AppPatch = call.json()?;
    let expected = Version::of_app(call).await?.unchanged(call)?;
    let (before, limit_before) = row(call).await?;
    let (mut settings, mut limit) = (before.settings, limit_before);
    set(
        &mut settings.reactivation_wait_seconds,
        asked.reactivation_wait_seconds.map(u32::from),
        "#/reactivation_wait_seconds",
    )?;
    set(&mut settings.friend_permission, asked.friend_permission, "#/friend_permission")?;
    settings.token_lifetime_seconds = match asked.token_lifetime_seconds.map(u64::from) {
        Patch::Keep => settings.token_lifetime_seconds,
        Patch::Clear => None,
        Patch::Set(seconds) => Some(seconds).filter(|seconds| *seconds > 0),
    };
    set(&mut limit, asked.rate_limit, "#/rate_limit")?;
    let limit = Some(limit).filter(|limit| *limit != limit_before);
    let safeguards = [
        set(
            &mut settings.erasure_grace_seconds,
            asked.erasure_grace_seconds.map(u32::from),
            "#/erasure_grace_seconds",
        )?,
        set(
            &mut settings.erasures_per_minute_max,
            asked.erasures_per_minute_max.map(u32::from),
            "#/erasures_per_minute_max",
        )?,
        set(&mut settings.record_reads, asked.record_reads, "#/record_reads")?,
    ];
    if safeguards.contains(&true) {
        call.needs(ApiScope::Operator)?;
    }
    let command = app::Command::Configure(settings, limit);
    let position = call.engine.operate_expecting(&call.caller, command, Some(expected)).await?;
    let version = Version::of_app(call).await?;
    Ok(Answer::command(StatusCode::OK, &view(row(call).await?), position)?.tagged(version.etag()))
}
