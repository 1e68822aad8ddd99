//! What callers of an app show: its secrets and its API keys, added and retired while the service runs.

use actix_web::http::StatusCode;
use chrono::{DateTime, Utc};
use rollcall_projections::apps;
use rollcall_schemas::ids::SecretId;
use rollcall_schemas::plain::{self, ApiScope};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Call;
use super::problem::{Answer, Problem};
use crate::domain::values::Invalid;
use crate::domain::{Refusal, app};
use crate::engine;

/// An API key without what its caller shows, which is not kept.
#[derive(Serialize, ToSchema)]
pub(super) struct ApiKey {
    number: u32,
    /// server, moderator, compliance and operator.
    #[schema(value_type = Vec<String>)]
    scopes: Vec<ApiScope>,
}

impl From<plain::ApiKey> for ApiKey {
    fn from(key: plain::ApiKey) -> Self {
        Self { number: key.id, scopes: key.scopes.into_iter().collect() }
    }
}

/// An API key of the list.
#[derive(Serialize, ToSchema)]
pub(super) struct ListedApiKey {
    #[serde(flatten)]
    description: ApiKey,
    /// When a call with it was last let in; on several nodes, some seconds ago. Null: never, as far as is known.
    last_used_at: Option<DateTime<Utc>>,
}

/// The API keys that are valid.
#[derive(Serialize, ToSchema)]
pub(super) struct ApiKeys {
    api_keys: Vec<ListedApiKey>,
    /// Always null: the list is whole.
    next: Option<String>,
}

/// What a new API key may do.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewApiKey {
    /// server, moderator, compliance and operator; at least one.
    #[schema(value_type = Vec<String>)]
    scopes: Vec<ApiScope>,
}

/// A new API key.
#[derive(Serialize, ToSchema)]
pub(super) struct AddedApiKey {
    #[serde(flatten)]
    description: ApiKey,
    /// What its caller shows. It is told only once and kept nowhere.
    key: String,
}

async fn app_row(call: &Call<'_>) -> Result<apps::App, Problem> {
    call.engine.caught_up(&call.app.id).await?;
    Ok(apps::of(call.engine.read(), &call.app.id).await?.ok_or(Refusal::NoSuchApp)?)
}

/// `GET /api-keys`: the oldest first.
pub(super) async fn list_keys(call: &Call<'_>) -> Result<Answer, Problem> {
    let keys = app_row(call).await?.api_keys;
    let uses = call.live.key_uses.of(&call.app.id).await.map_err(engine::Error::from)?;
    let shown = keys.into_iter().map(|key| {
        let last_used_at = uses.get(&key.id).copied();
        ListedApiKey { description: key.into(), last_used_at }
    });
    Answer::query(&ApiKeys { api_keys: shown.collect(), next: None })
}

/// `POST /api-keys`. 201 with the key, which is told only once.
pub(super) async fn add_key(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked: NewApiKey = call.json()?;
    if asked.scopes.is_empty() {
        return Err(Problem::Invalid("#/scopes", Invalid::missing("scopes")));
    }
    let added = call.engine.add_api_key(&call.caller, asked.scopes.into_iter().collect()).await?;
    let added = added.ok_or(Problem::ToldBefore)?;
    let location = format!("/api/v1/api-keys/{}", added.description.id);
    let body = AddedApiKey { description: added.description.into(), key: added.key };
    Ok(Answer::command(StatusCode::CREATED, &body, added.position)?.at(location))
}

/// `DELETE /api-keys/{number}`. 204; whoever shows the key is refused from then on.
pub(super) async fn retire_key(call: &Call<'_>) -> Result<Answer, Problem> {
    let command = app::Command::RetireApiKey(number(call.parameter(0))?);
    Ok(Answer::done(call.engine.operate(&call.caller, command).await?))
}

/// A secret of the app, without the secret.
#[derive(Serialize, ToSchema)]
pub(super) struct AppSecret {
    number: u32,
    /// Whether new access tokens depend on it: the newest one.
    current: bool,
}

/// The secrets that are valid.
#[derive(Serialize, ToSchema)]
pub(super) struct Secrets {
    secrets: Vec<AppSecret>,
    /// Always null: the list is whole.
    next: Option<String>,
}

/// A new secret.
#[derive(Serialize, ToSchema)]
pub(super) struct AddedSecret {
    number: u32,
    /// The App-Secret. It is told only once.
    secret: String,
}

/// Refuses another app than the caller's: an API key is a key of one app.
fn own_app(call: &Call<'_>) -> Result<(), Problem> {
    if call.parameter(0) == call.app.id.as_str() { Ok(()) } else { Err(Problem::NoSuchApp) }
}

/// `GET /apps/{key}/secrets`: the oldest first.
pub(super) async fn list_secrets(call: &Call<'_>) -> Result<Answer, Problem> {
    own_app(call)?;
    let numbers = app_row(call).await?.secrets;
    let current = numbers.last().copied();
    let secrets = numbers.iter().map(|number| AppSecret { number: number.0, current: Some(*number) == current });
    Answer::query(&Secrets { secrets: secrets.collect(), next: None })
}

/// `POST /apps/{key}/secrets`. 201 with the secret, which is told only once; the others stay valid until they are retired.
pub(super) async fn add_secret(call: &Call<'_>) -> Result<Answer, Problem> {
    own_app(call)?;
    let added = call.engine.add_secret(&call.caller).await?.ok_or(Problem::ToldBefore)?;
    let location = format!("/api/v1/apps/{}/secrets/{}", call.app.id, added.number.0);
    let body = AddedSecret { number: added.number.0, secret: added.secret };
    Ok(Answer::command(StatusCode::CREATED, &body, added.position)?.at(location))
}

/// `DELETE /apps/{key}/secrets/{number}`. 204; access tokens issued under it end as well.
pub(super) async fn retire_secret(call: &Call<'_>) -> Result<Answer, Problem> {
    own_app(call)?;
    let secret = SecretId(number(call.parameter(1))?);
    Ok(Answer::done(call.engine.retire_secret(&call.caller, secret).await?))
}

fn number(text: &str) -> Result<u32, Problem> {
    text.parse().map_err(|_| Problem::Invalid("{number}", Invalid::malformed("number", "a number")))
}
