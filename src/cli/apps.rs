//! `rollcall apps`: the applications of a stopped data directory.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::{AppId, FieldName, SecretId};
use rollcall_schemas::plain::{ApiKey, ClientRules, DeviceRule, FriendPermission, RateLimit};
use uuid::Uuid;

use super::config::AppSpec;
use super::{AppsTask, Data, Failure, runtime};
use crate::domain::app;
use crate::domain::values::extension_name;
use crate::engine::apps::App;
use crate::engine::{Caller, Engine, secrets, start::Service};
use crate::http::at_most::{INT32_MAX, INT64_MAX};
use crate::out::say;

/// What can be set per app.
#[derive(Args)]
pub(super) struct SettingsArgs {
    /// How long after its deactivation a user cannot be reactivated, in seconds
    #[arg(long, value_parser = clap::value_parser!(u32).range(..=INT32_MAX.cast_signed()))]
    reactivation_wait_seconds: Option<u32>,
    /// How long access tokens live, in seconds; 0: until they are invalidated
    #[arg(long, value_parser = clap::value_parser!(u64).range(..=INT64_MAX))]
    token_lifetime_seconds: Option<u64>,
    /// Who may befriend a user without a setting of its own: anyone, approval or nobody
    #[arg(long)]
    friend_permission: Option<FriendPermission>,
    /// How long a requested erasure can be cancelled, in seconds; 0: it begins at once
    #[arg(long, value_parser = clap::value_parser!(u32).range(..=INT32_MAX.cast_signed()))]
    erasure_grace_seconds: Option<u32>,
    /// Most erasures within a minute before they need an explicit override; 0: no limit
    #[arg(long, value_parser = clap::value_parser!(u32).range(..=INT32_MAX.cast_signed()))]
    erasures_per_minute_max: Option<u32>,
    /// Record who reads what personal data of whom: true or false
    #[arg(long)]
    record_reads: Option<bool>,
    /// URL that is told by POST when an erasure is done, in the form of the platform; empty: none
    #[arg(long, value_parser = callback)]
    erasure_callback_url: Option<String>,
    /// Accept a signed request only within so many seconds of its timestamp, and only once; 0: at any age, repeatedly
    #[arg(long, value_parser = clap::value_parser!(u32).range(0..=3_600))]
    signature_window_seconds: Option<u32>,
    /// How often each endpoint may be called within a second, on each node: off, platform (as often as the platform allows) or a
    /// number
    #[arg(long)]
    rate_limit: Option<RateLimit>,
    /// How many devices of one class (mobile, web, desktop) a user may be connected with: one_per_class (the newest closes
    /// the one before) or several
    #[arg(long)]
    client_devices: Option<DeviceRule>,
    /// Close the connections of users whose access tokens are made invalid, instead of refusing the next one only: true or
    /// false
    #[arg(long)]
    client_invalidation_cuts: Option<bool>,
    /// Let users erase themselves: true or false
    #[arg(long)]
    client_erasure: Option<bool>,
    /// Keep when users were last seen: true or false; times that were kept before are hidden, not deleted
    #[arg(long)]
    client_last_seen: Option<bool>,
    /// Admit messages between friends only: true or false
    #[arg(long)]
    friends_only_messages: Option<bool>,
    /// Declare an extension field of hosted profiles (`ext_…`); may be repeated
    #[arg(long = "user-field", value_parser = field)]
    user_fields: Vec<FieldName>,
    /// Declare an extension field of friends (`ext_…`); may be repeated
    #[arg(long = "friend-field", value_parser = field)]
    friend_fields: Vec<FieldName>,
}

fn callback(text: &str) -> Result<String, String> {
    let is_url = text.is_empty() || text.starts_with("http://") || text.starts_with("https://");
    if is_url { Ok(text.into()) } else { Err("an http:// or https:// URL, or nothing".into()) }
}

fn field(text: &str) -> Result<FieldName, String> {
    extension_name("field", text).map_err(|_| "ext_ and then letters, digits or _; at most 32 in all".into())
}

pub(super) fn run(task: AppsTask) -> Result<ExitCode, Failure> {
    match task {
        AppsTask::List { data } => with_engine(&data, async |engine| {
            for app in engine.apps() {
                let secrets: Vec<_> = app.secrets.iter().map(|(id, _)| id.to_string()).collect();
                let (environment, plan) = (app.environment, app.plan);
                let keys: Vec<_> = app.api_keys.iter().map(described).collect();
                let keys = if keys.is_empty() { String::new() } else { format!("\tkeys {}", keys.join(",")) };
                say!("{}\t{environment}\t{plan}\tsecrets {}{keys}", app.id, secrets.join(","));
            }
            Ok(())
        }),
        AppsTask::Create { key, environment, plan, data } => {
            let key = match key {
                Some(key) => key,
                None => random_key()?,
            };
            let spec = AppSpec { key, secret: secrets::fresh(), environment, plan };
            with_engine(&data, async |engine| {
                create(&engine, &spec).await?;
                say!("App-Key:    {}\nApp-Secret: {}", spec.key, spec.secret);
                Ok(())
            })
        }
        AppsTask::RotateSecret { key, retire, data } => with_engine(&data, async |engine| match retire {
            Some(secret) => retire_secret(&engine, &key, secret).await,
            None => add_secret(&engine, &key).await,
        }),
        AppsTask::AddKey { key, scopes, data } => with_engine(&data, async |engine| {
            let added = engine.add_api_key(&operator(&key), scopes.into_iter().collect()).await?;
            say!("{}", added.ok_or_else(|| unknown(&key))?.key);
            Ok(())
        }),
        AppsTask::RetireKey { key, number, data } => with_engine(&data, async |engine| {
            execute(&engine, &key, app::Command::RetireApiKey(number)).await?;
            say!("API key {number} of {key} is retired");
            Ok(())
        }),
        AppsTask::Set { key, settings, data } => with_engine(&data, async |engine| set(&engine, &key, settings).await),
    }
}

/// The number of an API key and what it may do, such as `1:compliance+operator`.
fn described(key: &ApiKey) -> String {
    let scopes: Vec<_> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    format!("{}:{}", key.id, scopes.join("+"))
}

fn with_engine(data: &Data, task: impl AsyncFnOnce(Arc<Engine>) -> Result<(), Failure>) -> Result<ExitCode, Failure> {
    let data = data.open()?;
    let runtime = runtime()?;
    let service: Service = runtime.block_on(data.start())?;
    let result = runtime.block_on(task(service.engine.clone()));
    service.stop();
    result.map(|()| ExitCode::SUCCESS)
}

/// The operator at this machine.
fn operator(key: &AppId) -> Caller {
    Caller::internal(key.clone(), Actor::Operator)
}

async fn execute(engine: &Engine, key: &AppId, command: app::Command) -> Result<(), Failure> {
    engine.operate(&operator(key), command).await?;
    Ok(())
}

/// Creates an app with its first secret.
pub(super) async fn create(engine: &Engine, spec: &AppSpec) -> Result<(), Failure> {
    if engine.app(spec.key.as_str()).is_some() {
        return Err(format!("the app {} exists already", spec.key).into());
    }
    // A creation that was cut short may have left its secret.
    engine.vault().drop_secret(&spec.key, SecretId(1))?;
    engine.vault().put_secret(&spec.key, SecretId(1), &spec.secret)?;
    execute(engine, &spec.key, app::Command::Register(spec.environment, spec.plan)).await
}

/// Refuses a secret in the settings that the app does not have. Settings create an app and never change it: whoever changed
/// the secret there must not believe that the old one is void.
pub(super) fn must_know(app: &App, spec: &AppSpec) -> Result<(), Failure> {
    if app.secrets.iter().any(|(_, secret)| secret.as_str() == spec.secret) {
        return Ok(());
    }
    let key = &spec.key;
    Err(format!(
        "the secret that the settings name for the app {key} is none of its secrets, and settings do not change the \
         secret of an app that exists: add one with `rollcall apps rotate-secret {key}` and name that, or take the app \
         out of the settings"
    )
    .into())
}

async fn add_secret(engine: &Engine, key: &AppId) -> Result<(), Failure> {
    if engine.app(key.as_str()).is_none() {
        return Err(unknown(key));
    }
    let added = engine.add_secret(&operator(key)).await?.ok_or_else(|| unknown(key))?;
    say!("App-Secret {}: {}", added.number, added.secret);
    say!("Older secrets stay valid; retire one with `rollcall apps rotate-secret {key} --retire NUMBER`.");
    Ok(())
}

async fn retire_secret(engine: &Engine, key: &AppId, secret: SecretId) -> Result<(), Failure> {
    if engine.app(key.as_str()).is_none() {
        return Err(unknown(key));
    }
    engine.retire_secret(&operator(key), secret).await?;
    say!("secret {secret} of {key} is retired; tokens issued under it are no longer valid");
    Ok(())
}

async fn set(engine: &Engine, key: &AppId, args: SettingsArgs) -> Result<(), Failure> {
    let row = rollcall_projections::apps::of(engine.read(), key).await?.ok_or_else(|| unknown(key))?;
    let mut settings = row.settings;
    if let Some(seconds) = args.reactivation_wait_seconds {
        settings.reactivation_wait_seconds = seconds;
    }
    if let Some(seconds) = args.token_lifetime_seconds {
        settings.token_lifetime_seconds = Some(seconds).filter(|seconds| *seconds > 0);
    }
    if let Some(permission) = args.friend_permission {
        settings.friend_permission = permission;
    }
    if let Some(seconds) = args.erasure_grace_seconds {
        settings.erasure_grace_seconds = seconds;
    }
    if let Some(most) = args.erasures_per_minute_max {
        settings.erasures_per_minute_max = most;
    }
    if let Some(url) = args.erasure_callback_url {
        settings.erasure_callback_url = Some(url).filter(|url| !url.is_empty());
    }
    if let Some(record) = args.record_reads {
        settings.record_reads = record;
    }
    execute(engine, key, app::Command::Configure(settings, args.rate_limit)).await?;
    if let Some(seconds) = args.signature_window_seconds {
        execute(engine, key, app::Command::SetSignatureWindow(seconds)).await?;
    }
    let before = rollcall_projections::client_rules::of(engine.read(), key).await?;
    let rules = ClientRules {
        devices: args.client_devices.unwrap_or(before.devices),
        invalidation_cuts: args.client_invalidation_cuts.unwrap_or(before.invalidation_cuts),
        erasure: args.client_erasure.unwrap_or(before.erasure),
        without_last_seen: args.client_last_seen.map_or(before.without_last_seen, |kept| !kept),
    };
    if rules != before {
        execute(engine, key, app::Command::SetClientRules(rules)).await?;
    }
    if let Some(enabled) = args.friends_only_messages {
        execute(engine, key, app::Command::SetFriendsOnlyMessages(enabled)).await?;
    }
    if !args.user_fields.is_empty() || !args.friend_fields.is_empty() {
        let user_fields = row.user_fields.into_iter().chain(args.user_fields).collect();
        let friend_fields = row.friend_fields.into_iter().chain(args.friend_fields).collect();
        execute(engine, key, app::Command::DeclareExtensionFields(user_fields, friend_fields)).await?;
    }
    say!("{key} is set");
    Ok(())
}

fn unknown(key: &AppId) -> Failure {
    format!("there is no app {key}; `rollcall apps list` shows them").into()
}

/// A key nobody can guess to be taken.
pub(super) fn random_key() -> Result<AppId, Failure> {
    Ok(format!("app{}", &Uuid::new_v4().simple().to_string()[..13]).parse()?)
}
