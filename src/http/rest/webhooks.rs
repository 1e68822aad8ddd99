//! The webhooks of an app: where it is told of events, how far each is, and what could not be delivered.

use std::collections::BTreeSet;
use std::sync::Arc;

use actix_web::http::StatusCode;
use chrono::{DateTime, Utc};
use rollcall_projections::webhooks::Webhook;
use rollcall_schemas::ids::WebhookId;
use rollcall_schemas::webhook::{Cause, Endpoint, Format};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::problem::{Answer, Problem};
use super::{Call, paging};
use crate::delivery::event_type::{self, TypePattern};
use crate::delivery::webhooks::address::BadUrl;
use crate::delivery::webhooks::sign::SigningKey;
use crate::delivery::webhooks::store::{Delivery, State};
use crate::delivery::webhooks::{Failure, Lag, Webhooks};
use crate::domain::Refusal;
use crate::domain::values::{self, Invalid};
use crate::domain::webhook::{Act, Action, Change, Register, RotateSecret};
use crate::engine;
use crate::http::at_most::{AtMost, INT64_MAX};

const TYPES_MAX: usize = 50;
const DESCRIPTION_MAX: usize = 200;
/// For how long the key before signs as well, where the caller says nothing, and at most.
const OVERLAP_SECONDS: u32 = 24 * 3_600;
const OVERLAP_SECONDS_MAX: u32 = 30 * 24 * 3_600;

/// What a webhook is told, and where.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewWebhook {
    url: String,
    /// Types of events, or beginnings of them such as `rollcall.user.*`; docs/feed.md lists the types.
    types: Vec<String>,
    /// standard, v1 or v4.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    format: Option<Format>,
    #[serde(default)]
    description: Option<String>,
}

/// What changes; what is absent stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookPatch {
    url: Option<String>,
    types: Option<Vec<String>>,
    /// standard, v1 or v4.
    #[schema(value_type = Option<String>)]
    format: Option<Format>,
    /// null removes it.
    #[serde(default, deserialize_with = "present")]
    #[schema(value_type = Option<String>)]
    description: Option<Option<String>>,
    /// false: nothing is sent; true: it goes on where it stopped.
    enabled: Option<bool>,
}

/// A member that is there, null or not.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// A webhook.
#[derive(Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(super) struct Resource {
    webhook_id: Uuid,
    url: String,
    types: BTreeSet<String>,
    #[schema(value_type = String)]
    format: Format,
    description: Option<String>,
    enabled: bool,
    /// operator, gone or failing.
    #[schema(value_type = Option<String>)]
    disabled_cause: Option<Cause>,
    /// Since when its receiver acknowledges nothing.
    failing_since: Option<DateTime<Utc>>,
    registered_at: DateTime<Utc>,
    /// Verifies the signatures `v1a`.
    public_key: String,
    /// Until when the key before signs as well.
    previous_key_until: Option<DateTime<Utc>>,
    /// Up to where it was told.
    position: u64,
    /// Events of the log that come after that, of all apps.
    lag_events: u64,
    /// How old the first of them is.
    lag_seconds: f64,
    /// Deliveries that are tried again or wait for one that is.
    waiting: u64,
    /// Deliveries that were given up.
    dead: u64,
    /// The key that verifies the signatures `v1`. It is told only once.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
}

async fn resource(call: &Call<'_>, webhook: Webhook, tells_secret: bool) -> Result<Resource, Problem> {
    let engine = call.engine;
    engine.vault().ready(&webhook.app).await.map_err(engine::Error::from)?;
    let key = SigningKey::of(engine.vault().as_ref(), &webhook.app, webhook.webhook, webhook.key);
    let key = key.map_err(engine::Error::from)?;
    let Lag { position, events, age, waiting, dead } =
        webhooks(call)?.lag(&webhook).await.map_err(engine::Error::from)?;
    let Endpoint { url, types, format, description } = webhook.endpoint;
    Ok(Resource {
        webhook_id: webhook.webhook.0,
        url,
        types,
        format,
        description,
        enabled: webhook.enabled,
        disabled_cause: webhook.cause,
        failing_since: webhook.failing_since,
        registered_at: webhook.registered_at,
        public_key: key.public(),
        previous_key_until: webhook.previous_until.filter(|until| *until > engine.now()),
        position,
        lag_events: events,
        lag_seconds: age.as_secs_f64(),
        waiting,
        dead,
        secret: tells_secret.then(|| key.secret()),
    })
}

fn webhooks<'c>(call: &'c Call<'_>) -> Result<&'c Arc<Webhooks>, Problem> {
    let unavailable = || engine::Error::Unavailable("nothing is delivered from this process".into()).into();
    call.webhooks.as_ref().ok_or_else(unavailable)
}

async fn one(call: &Call<'_>, webhook: WebhookId) -> Result<Webhook, Problem> {
    call.engine.caught_up(&call.app.id).await?;
    let row = rollcall_projections::webhooks::by_id(call.engine.read(), &call.app.id, webhook).await?;
    Ok(row.ok_or(Refusal::NoSuchWebhook)?)
}

fn named(call: &Call<'_>) -> Result<WebhookId, Problem> {
    call.parameter(0).parse().map(WebhookId).map_err(|_| Refusal::NoSuchWebhook.into())
}

fn url(call: &Call<'_>, text: String) -> Result<String, Problem> {
    let expected = match webhooks(call)?.allowed().vet_url(&text) {
        Ok(()) => return Ok(text),
        Err(BadUrl::Shape) => {
            "an absolute http or https URL of at most 2048 bytes, without user, password and fragment"
        }
        Err(BadUrl::NotPublic) => {
            "on the public internet; whoever operates the service can allow other addresses (serve --webhook-allow)"
        }
        Err(BadUrl::Unprotected) => {
            "an https URL; only to addresses that are allowed (serve --webhook-allow) is anything sent without TLS"
        }
    };
    Err(Problem::Invalid("#/url", Invalid::malformed("url", expected)))
}

fn types(given: Vec<String>) -> Result<BTreeSet<String>, Problem> {
    let invalid = |problem| Problem::Invalid("#/types", Invalid::new("types", problem));
    if given.is_empty() {
        return Err(invalid(values::Problem::Missing));
    }
    if given.len() > TYPES_MAX {
        return Err(invalid(values::Problem::TooMany { max: TYPES_MAX }));
    }
    for pattern in &given {
        TypePattern::of_webhook(pattern).map_err(|malformed| {
            let expected = match malformed {
                event_type::Malformed::Shape => {
                    "types such as rollcall.user.registered.v1, or beginnings and a *, such as rollcall.user.*"
                }
                event_type::Malformed::Nothing => "types that there are; docs/feed.md and docs/webhooks.md list them",
            };
            invalid(values::Problem::Malformed { expected })
        })?;
    }
    Ok(given.into_iter().collect())
}

fn description(text: Option<String>) -> Result<Option<String>, Problem> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.chars().count() > DESCRIPTION_MAX || text.contains(['\0', '\u{fffd}']) {
        let problem = values::Problem::TooLong { max: DESCRIPTION_MAX, unit: "characters" };
        return Err(Problem::Invalid("#/description", Invalid::new("description", problem)));
    }
    Ok(Some(text))
}

/// `POST /webhooks`. 201 with the secret, which is told only once.
pub(super) async fn register(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked: NewWebhook = call.json()?;
    let endpoint = Endpoint {
        url: url(call, asked.url)?,
        types: types(asked.types)?,
        format: asked.format.unwrap_or(Format::Standard),
        description: description(asked.description)?,
    };
    let done = call.engine.execute(&call.caller, Register(endpoint)).await?;
    if done.position == 0 {
        return Err(Problem::ToldBefore);
    }
    webhooks(call)?.look();
    let location = format!("/api/v1/webhooks/{}", done.reply.0);
    let body = resource(call, one(call, done.reply).await?, true).await?;
    Ok(Answer::command(StatusCode::CREATED, &body, done.position)?.at(location))
}

/// The webhooks of the app.
#[derive(Serialize, ToSchema)]
#[schema(as = WebhookPage)]
pub(super) struct Page {
    webhooks: Vec<Resource>,
    next: Option<String>,
}

/// `GET /webhooks`: the oldest first.
pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked = paging::ForwardQuery::<u64>::read(call.query)?;
    call.engine.caught_up(&call.app.id).await?;
    let (read, app, after) = (call.engine.read(), &call.app.id, asked.cursor.unwrap_or(0));
    let mut rows = rollcall_projections::webhooks::page(read, app, after, asked.limit + 1).await?;
    let next = asked.cut(&mut rows, |row| Some(row.registered_position));
    let mut found = Vec::with_capacity(rows.len());
    for row in rows {
        found.push(resource(call, row, false).await?);
    }
    Answer::query(&Page { webhooks: found, next })
}

/// `GET /webhooks/{id}`.
pub(super) async fn show(call: &Call<'_>) -> Result<Answer, Problem> {
    Answer::query(&resource(call, one(call, named(call)?).await?, false).await?)
}

/// `PATCH /webhooks/{id}`.
pub(super) async fn change(call: &Call<'_>) -> Result<Answer, Problem> {
    let (webhook, asked) = (named(call)?, call.json::<WebhookPatch>()?);
    let change = Change {
        url: asked.url.map(|text| url(call, text)).transpose()?,
        types: asked.types.map(types).transpose()?,
        format: asked.format,
        description: asked.description.map(description).transpose()?,
        enabled: asked.enabled,
    };
    let done = call.engine.execute(&call.caller, Act { webhook, action: Action::Change(change) }).await?;
    webhooks(call)?.look();
    let body = resource(call, one(call, webhook).await?, false).await?;
    Answer::command(StatusCode::OK, &body, done.position)
}

/// `DELETE /webhooks/{id}`. 204; nothing is sent from then on.
pub(super) async fn remove(call: &Call<'_>) -> Result<Answer, Problem> {
    let webhook = named(call)?;
    let done = call.engine.execute(&call.caller, Act { webhook, action: Action::Remove }).await?;
    webhooks(call)?.forget(webhook).await;
    webhooks(call)?.look();
    Ok(Answer::done(done.position))
}

/// For how long the key before signs as well.
#[derive(Deserialize, Default, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Overlap {
    /// From 0 to 2592000; a day where it is not said.
    #[serde(default)]
    overlap_seconds: Option<u32>,
}

/// `POST /webhooks/{id}/secret/rotate`. 200 with the new secret, which is told only once.
pub(super) async fn rotate(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked = if call.body.is_empty() { Overlap::default() } else { call.json()? };
    let overlap_seconds = asked.overlap_seconds.unwrap_or(OVERLAP_SECONDS);
    if overlap_seconds > OVERLAP_SECONDS_MAX {
        let range = values::Problem::OutOfRange { min: 0, max: OVERLAP_SECONDS_MAX.into() };
        return Err(Problem::Invalid("#/overlap_seconds", Invalid::new("overlap_seconds", range)));
    }
    let webhook = named(call)?;
    let done = call.engine.execute(&call.caller, RotateSecret { webhook, overlap_seconds }).await?;
    if done.position == 0 {
        return Err(Problem::ToldBefore);
    }
    webhooks(call)?.look();
    // Somebody may have rotated it once more since: this caller is told its own key.
    let row =
        Webhook { key: done.reply.key, previous_until: Some(done.reply.previous_until), ..one(call, webhook).await? };
    Answer::command(StatusCode::OK, &resource(call, row, true).await?, done.position)
}

/// A delivery that was not acknowledged.
#[derive(Serialize, ToSchema)]
pub(super) struct DeliveryResource {
    position: u64,
    /// Whom its event is about; null: the app itself.
    subject: Option<Uuid>,
    /// waiting, replay or dead.
    state: &'static str,
    attempts: u32,
    /// When it is tried again; null: once those before it are acknowledged, or not any more.
    next_at: Option<DateTime<Utc>>,
    /// What its receiver answered last.
    status: Option<u16>,
    /// Why that is no acknowledgement.
    reason: Option<String>,
}

impl From<Delivery> for DeliveryResource {
    fn from(row: Delivery) -> Self {
        Self {
            position: row.position,
            subject: Some(row.subject).filter(|subject| !subject.is_nil()),
            state: row.state.as_str(),
            attempts: row.attempts,
            next_at: row.next_at,
            status: row.status,
            reason: Some(row.reason).filter(|reason| !reason.is_empty()),
        }
    }
}

/// Deliveries that were not acknowledged.
#[derive(Serialize, ToSchema)]
pub(super) struct Deliveries {
    deliveries: Vec<DeliveryResource>,
    next: Option<String>,
}

/// `GET /webhooks/{id}/deliveries?state=`: what is behind, in the order of the log.
pub(super) async fn deliveries(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked = paging::ForwardQuery::<u64>::read(call.query)?;
    let state = call.value("state").map(|word| {
        let malformed = || Invalid::malformed("state", "waiting, replay or dead");
        word.parse::<State>().map_err(|_| Problem::Invalid("?state", malformed()))
    });
    let webhook = one(call, named(call)?).await?;
    let after = asked.cursor.unwrap_or(0);
    let rows = webhooks(call)?.deliveries(webhook.webhook, state.transpose()?, after, asked.limit + 1).await;
    let mut rows = rows.map_err(engine::Error::from)?;
    let next = asked.cut(&mut rows, |row| Some(row.position));
    Answer::query(&Deliveries { deliveries: rows.into_iter().map(Into::into).collect(), next })
}

/// A range of the log.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Range {
    /// The first position.
    #[schema(value_type = u64)]
    from: AtMost<INT64_MAX>,
    /// The last position.
    #[schema(value_type = u64)]
    to: AtMost<INT64_MAX>,
    /// Only count.
    #[serde(default)]
    dry_run: bool,
}

/// What a replay came to.
#[derive(Serialize, ToSchema)]
pub(super) struct Replay {
    /// How many events are sent once more, or would be.
    events: usize,
    /// The rest of the range begins behind this position; null: there is none. A call looks at 200,000 events of the log
    /// and takes 5,000 of them.
    stopped_at: Option<u64>,
    dry_run: bool,
}

/// `POST /webhooks/{id}/replay`. 202: they are sent once more; with `dry_run` 200.
pub(super) async fn replay(call: &Call<'_>) -> Result<Answer, Problem> {
    let Range { from, to, dry_run } = call.json()?;
    let (from, to) = (u64::from(from), u64::from(to));
    if from == 0 || from > to {
        let malformed = Invalid::malformed("from", "a position from 1, and not behind `to`");
        return Err(Problem::Invalid("#/from", malformed));
    }
    let webhook = one(call, named(call)?).await?;
    let replayed = webhooks(call)?.replay(webhook, from, to, dry_run).await.map_err(engine::Error::from)?;
    let body = Replay { events: replayed.events, stopped_at: replayed.stopped_at, dry_run };
    if dry_run { Answer::query(&body) } else { Answer::command(StatusCode::ACCEPTED, &body, 0) }
}

/// Whether a receiver acknowledges.
#[derive(Serialize, ToSchema)]
pub(super) struct Test {
    delivered: bool,
    /// What the receiver answered; null: nothing.
    status: Option<u16>,
    /// How long that took.
    milliseconds: Option<u64>,
    /// Why that is no acknowledgement.
    reason: Option<String>,
}

/// `POST /webhooks/{id}/test`: sends a made-up event at once, and tells what became of it.
pub(super) async fn test(call: &Call<'_>) -> Result<Answer, Problem> {
    let webhook = one(call, named(call)?).await?;
    let body = match webhooks(call)?.test(webhook).await? {
        Ok((status, took)) => {
            let milliseconds = u64::try_from(took.as_millis()).ok();
            Test { delivered: true, status: Some(status), milliseconds, reason: None }
        }
        Err(Failure { status, reason, .. }) => {
            Test { delivered: false, status, milliseconds: None, reason: Some(reason) }
        }
    };
    Answer::query(&body)
}
