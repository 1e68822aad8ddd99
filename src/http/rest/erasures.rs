//! Erasures: requested, watched, called off, reported.

use std::sync::Arc;

use actix_web::http::StatusCode;
use chrono::{DateTime, Utc};
use rollcall_projections::erasure_ledger::{self, Erasure};
use rollcall_schemas::ids::{ErasureId, OperationId};
use rollcall_schemas::plain::{ApiScope, LegalBasis, ReportStatus, Requester, Scope, StoreCount};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::problem::{Answer, Problem};
use super::users::user_id;
use super::{Call, paging};
use crate::audit::erasure::drill;
use crate::audit::report::issue::{self, Issued, retained};
use crate::audit::report::{Retained, pages};
use crate::audit::{data_map, erasure};
use crate::domain::erasure::{Cancel, Erase, Request};
use crate::domain::values::{Invalid, Reason, UserId};
use crate::domain::{Refusal, user};
use crate::engine;

const DSSE: &str = "application/vnd.dsse.envelope.v1+json";
const HTML: &str = "text/html; charset=utf-8";
/// Most erasures of one operation that the face shows: it asks for one user at a time.
const ONE: u32 = 1;

/// The request of an erasure.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ErasureRequest {
    user_id: String,
    /// `deactivate` keeps the userId, `forget` erases it too.
    #[schema(value_type = String)]
    scope: Scope,
    /// On what ground (GDPR, Article 17(1)).
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    legal_basis: LegalBasis,
    /// In whose name.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    requester: Requester,
    /// By when it has to be done; a month from now where it is not said.
    #[serde(default)]
    due_at: Option<DateTime<Utc>>,
    /// Do it although there were more erasures within a minute than the app allows; needs the scope `operator`.
    #[serde(default)]
    override_brake: bool,
}

/// How far an erasure has come.
#[derive(Serialize, ToSchema)]
#[schema(as = Erasure)]
pub(super) struct Resource {
    id: Uuid,
    operation: String,
    subject: Uuid,
    #[schema(value_type = String)]
    scope: Scope,
    status: &'static str,
    /// Whether a legal hold keeps it from beginning.
    held: bool,
    /// Since when it is stuck: it could have gone on for five minutes and has not. It is tried again all the time; the
    /// service's log says why it does not go on.
    stuck_since: Option<DateTime<Utc>>,
    #[schema(value_type = String)]
    legal_basis: LegalBasis,
    #[schema(value_type = String)]
    requester: Requester,
    requested_at: DateTime<Utc>,
    due_at: DateTime<Utc>,
    /// Until when it can be called off.
    cancellable_until: Option<DateTime<Utc>>,
    begun_at: Option<DateTime<Utc>>,
    unreadable_at: Option<DateTime<Utc>>,
    finalised_at: Option<DateTime<Utc>>,
    /// What the newest report says.
    #[schema(value_type = Option<String>)]
    report: Option<ReportStatus>,
}

/// An erasure that was requested.
#[derive(Serialize, ToSchema)]
pub(super) struct Accepted {
    #[serde(flatten)]
    erasure: Resource,
    /// Shows that the report is about the userId: its commitment is SHA-256 of these bytes, the app's key, a zero byte
    /// and the userId. It is told only once and kept nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    salt: Option<String>,
}

impl Resource {
    fn of(row: Erasure, now: DateTime<Utc>) -> Self {
        let stuck_since = row.stuck_since(now);
        let waits = row.begun_at.is_none() && !row.is_ended() && row.waits_until > row.requested_at;
        Self {
            id: row.erasure.0,
            operation: row.operation.0,
            subject: row.subject.0,
            scope: row.scope,
            status: row.step.as_str(),
            held: row.held,
            stuck_since,
            legal_basis: row.basis,
            requester: row.requester,
            requested_at: row.requested_at,
            due_at: row.due_at,
            cancellable_until: waits.then_some(row.waits_until),
            begun_at: row.begun_at,
            unreadable_at: row.scrubbed_at,
            finalised_at: row.finalised_at,
            report: row.report.map(|(_, status)| status),
        }
    }
}

/// The salt, and the commitment of a userId under it.
fn commitment(call: &Call<'_>, user_id: &UserId) -> (String, String) {
    let salt = *Uuid::new_v4().as_bytes();
    let mut content = salt.to_vec();
    content.extend_from_slice(call.app.id.as_str().as_bytes());
    content.push(0);
    content.extend_from_slice(user_id.as_str().as_bytes());
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &content);
    (hex::encode(salt), hex::encode(digest))
}

async fn of_operation(call: &Call<'_>, operation: &OperationId) -> Result<Option<Erasure>, Problem> {
    call.engine.caught_up(&call.app.id).await?;
    let found = erasure_ledger::of_operation(call.engine.read(), &call.app.id, operation, ONE).await?;
    Ok(found.into_iter().next())
}

/// The newest erasure of a user that was erased or waits for it.
async fn newest_of(call: &Call<'_>, id: &UserId) -> Result<Erasure, Problem> {
    let subject = call.engine.find(&call.app.id, id).await?.ok_or(Refusal::NotRegistered)?;
    let newest = erasure_ledger::of(call.engine.read(), subject, ONE).await?;
    newest.into_iter().next().ok_or_else(|| Refusal::NoSuchErasure.into())
}

/// `POST /erasures`. 202 with the erasure and its salt; 200 without a salt where it was requested before.
pub(super) async fn request(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked: ErasureRequest = call.json()?;
    let id = UserId::parse("user_id", &asked.user_id).map_err(|invalid| Problem::Invalid("#/user_id", invalid))?;
    if asked.requester == Requester::Drill {
        let expected = "controller, subject, representative or authority; a drill is POST /compliance/drills";
        return Err(Problem::Invalid("#/requester", Invalid::malformed("requester", expected)));
    }
    let mut caller = call.caller.clone();
    if asked.override_brake {
        call.needs(ApiScope::Operator)?;
        caller.overrides_brake = true;
    }
    let (salt, commitment) = commitment(call, &id);
    let request = Request {
        basis: asked.legal_basis,
        requester: asked.requester,
        commitment: Some(commitment),
        due_at: asked.due_at,
    };
    let command = Erase { who: vec![id.clone()], scope: asked.scope, request };
    let done = call.engine.execute(&caller, command).await?;
    let (row, is_new) = match of_operation(call, &done.reply).await? {
        // An answer that was kept from an earlier call has no position; its salt was told then.
        Some(row) => (row, done.position > 0),
        None => (newest_of(call, &id).await?, false),
    };
    let location = format!("/api/v1/erasures/{}", row.erasure.0);
    let status = if is_new { StatusCode::ACCEPTED } else { StatusCode::OK };
    let body = Accepted { erasure: Resource::of(row, call.engine.now()), salt: is_new.then_some(salt) };
    Ok(Answer::command(status, &body, done.position)?.at(location))
}

/// `POST /compliance/drills`. 202 with the erasure of a person that was made up; 200 where it was requested before.
pub(super) async fn drill(call: &Call<'_>) -> Result<Answer, Problem> {
    let (operation, position) = drill::begin(call.engine, &call.caller).await?;
    let row = of_operation(call, &operation).await?.ok_or(Refusal::NoSuchErasure)?;
    let location = format!("/api/v1/erasures/{}", row.erasure.0);
    let status = if position > 0 { StatusCode::ACCEPTED } else { StatusCode::OK };
    Ok(Answer::command(status, &Resource::of(row, call.engine.now()), position)?.at(location))
}

/// One page of erasures.
#[derive(Serialize, ToSchema)]
#[schema(as = ErasurePage)]
pub(super) struct Page {
    erasures: Vec<Resource>,
    #[serde(flatten)]
    links: paging::PageLinks,
}

/// `GET /erasures?cursor=&limit=`.
pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked = paging::PageQuery::<u64>::read(call.query)?;
    call.engine.caught_up(&call.app.id).await?;
    let mut rows = erasure_ledger::page(call.engine.read(), &call.app.id, asked.seek, asked.limit + 1).await?;
    let links = asked.cut(&mut rows, |row| Some(row.requested_position));
    let now = call.engine.now();
    Answer::query(&Page { erasures: rows.into_iter().map(|row| Resource::of(row, now)).collect(), links })
}

async fn named(call: &Call<'_>) -> Result<Erasure, Problem> {
    let id = call.parameter(0).parse().map_err(|_| Refusal::NoSuchErasure)?;
    call.engine.caught_up(&call.app.id).await?;
    let row = erasure_ledger::by_id(call.engine.read(), &call.app.id, ErasureId(id)).await?;
    row.ok_or_else(|| Refusal::NoSuchErasure.into())
}

/// `GET /erasures/{id}`.
pub(super) async fn show(call: &Call<'_>) -> Result<Answer, Problem> {
    Answer::query(&Resource::of(named(call).await?, call.engine.now()))
}

/// `POST /erasures/{id}/cancel`.
pub(super) async fn cancel(call: &Call<'_>) -> Result<Answer, Problem> {
    let row = named(call).await?;
    let done = call.engine.execute(&call.caller, Cancel { erasure: row.erasure }).await?;
    Answer::command(StatusCode::OK, &Resource::of(named(call).await?, call.engine.now()), done.position)
}

async fn newest_report(call: &Call<'_>) -> Result<Issued, Problem> {
    let row = named(call).await?;
    let vault = call.engine.vault().as_ref();
    match issue::newest(call.keeper, vault, row.erasure, call.engine.now()).await {
        Err(issue::Error::Nothing) => Err(Refusal::NoSuchErasure.into()),
        issued => issued.map_err(|error| Problem::unavailable(&error)),
    }
}

/// `GET /erasures/{id}/report`.
pub(super) async fn report(call: &Call<'_>) -> Result<Answer, Problem> {
    Ok(Answer::of_type(DSSE, newest_report(call).await?.envelope))
}

/// `GET /erasures/{id}/letter`.
pub(super) async fn letter(call: &Call<'_>) -> Result<Answer, Problem> {
    Ok(Answer::of_type(HTML, pages::letter(&newest_report(call).await?)))
}

/// `GET /erasures/{id}/certificate`.
pub(super) async fn certificate(call: &Call<'_>) -> Result<Answer, Problem> {
    Ok(Answer::of_type(HTML, pages::certificate(&newest_report(call).await?)))
}

/// What an erasure would erase.
#[derive(Serialize, ToSchema)]
pub(super) struct Preview {
    /// Whether a legal hold would keep it from beginning.
    held: bool,
    /// How long it could be called off.
    grace_seconds: u32,
    classes: Vec<InClass>,
    #[schema(value_type = Vec<Object>)]
    read_models: Vec<StoreCount>,
    #[schema(value_type = Vec<Object>)]
    retained: Vec<Retained>,
}

/// What it would erase of one class.
#[derive(Serialize, ToSchema)]
struct InClass {
    class: &'static str,
    events: u32,
    values: u32,
}

/// `GET /users/{id}/erasure-preview?scope=`.
pub(super) async fn preview(call: &Call<'_>) -> Result<Answer, Problem> {
    let scope = call.value("scope").map_or(Ok(Scope::Deactivate), |word| word.parse());
    let scope = scope.map_err(|_| Problem::Invalid("?scope", Invalid::malformed("scope", "deactivate or forget")))?;
    call.engine.caught_up(&call.app.id).await?;
    let id = user_id(call.parameter(0))?;
    let subjects = call.engine.find_every(&call.app.id, &id).await?;
    if subjects.is_empty() {
        return Err(Refusal::NotRegistered.into());
    }
    let mut held = false;
    for subject in &subjects {
        held |= call.engine.is_held(*subject).await?;
    }
    // It reads all that was ever recorded of the user.
    let engine = Arc::clone(call.engine);
    let counted = call.replays.run(&call.app.id, async move || erasure::preview(&engine, &subjects, scope).await).await;
    let counted = counted.map_err(|_| engine::Error::Busy)?;
    let preview = counted.map_err(|error| Problem::unavailable(&error))?;
    let in_class = |(class, counted): (_, erasure::Counted)| InClass {
        class: data_map::of_class(class).0,
        events: counted.events,
        values: counted.values,
    };
    Answer::query(&Preview {
        held,
        grace_seconds: call.app.settings.erasure_grace_seconds,
        classes: preview.classes.into_iter().map(in_class).collect(),
        read_models: preview.stores,
        retained: retained(scope),
    })
}

/// Why data is held.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Hold {
    /// Sealed like any personal data; no erasure but that of the userId erases it.
    #[serde(default)]
    reason: Option<String>,
}

/// `PUT /users/{id}/legal-hold`. 204.
pub(super) async fn hold(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked = if call.body.is_empty() { Hold { reason: None } } else { call.json()? };
    let reason = asked.reason.as_deref().map(Reason::parse).transpose();
    let reason = reason.map_err(|invalid| Problem::Invalid("#/reason", invalid))?;
    change(call, user::Change::PlaceHold(reason)).await
}

/// `DELETE /users/{id}/legal-hold`. 204.
pub(super) async fn release(call: &Call<'_>) -> Result<Answer, Problem> {
    change(call, user::Change::ReleaseHold).await
}

async fn change(call: &Call<'_>, change: user::Change) -> Result<Answer, Problem> {
    let command = change.of(vec![user_id(call.parameter(0))?]);
    let done = call.engine.execute(&call.caller, command).await?;
    Ok(Answer::done(done.position))
}
