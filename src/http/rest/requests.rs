//! The register of what people ask about their data, and by when it is due.

use actix_web::http::StatusCode;
use chrono::{DateTime, Utc};
use rollcall_projections::data_requests::{self, DataRequest, DueCursor};
use rollcall_schemas::ids::DataRequestId;
use rollcall_schemas::plain::DataRequestKind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Call;
use super::paging::{PageLinks, PageQuery};
use super::problem::{Answer, Problem};
use crate::domain::Refusal;
use crate::domain::data_request::{Change, ChangeRequest, Receive};
use crate::domain::values::{Invalid, Reason, UserId};

/// What somebody asks.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DataRequestBody {
    user_id: String,
    /// access, portability, erasure, rectification, restriction or objection.
    #[schema(value_type = String)]
    kind: DataRequestKind,
    /// By when it has to be answered; in a month where it is not said.
    #[serde(default)]
    due_at: Option<DateTime<Utc>>,
}

/// One request.
#[derive(Serialize, ToSchema)]
#[schema(as = DataRequest)]
pub(super) struct Resource {
    id: Uuid,
    subject: Uuid,
    #[schema(value_type = String)]
    kind: DataRequestKind,
    /// received, extended, answered or refused.
    status: &'static str,
    received_at: DateTime<Utc>,
    due_at: DateTime<Utc>,
    closed_at: Option<DateTime<Utc>>,
    /// Whether it is open although it is due.
    overdue: bool,
}

impl Resource {
    fn of(row: DataRequest, now: DateTime<Utc>) -> Self {
        Self {
            id: row.request.0,
            subject: row.subject.0,
            kind: row.kind,
            status: row.status.as_str(),
            received_at: row.received_at,
            due_at: row.due_at,
            closed_at: row.closed_at,
            overdue: row.closed_at.is_none() && row.due_at < now,
        }
    }
}

async fn one(call: &Call<'_>, request: DataRequestId) -> Result<Resource, Problem> {
    call.engine.caught_up(&call.app.id).await?;
    let row = data_requests::by_id(call.engine.read(), &call.app.id, request).await?;
    Ok(Resource::of(row.ok_or(Refusal::NoSuchDataRequest)?, call.engine.now()))
}

fn named(call: &Call<'_>) -> Result<DataRequestId, Problem> {
    call.parameter(0).parse().map(DataRequestId).map_err(|_| Refusal::NoSuchDataRequest.into())
}

/// `POST /compliance/requests`. 201.
pub(super) async fn receive(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked: DataRequestBody = call.json()?;
    let id = UserId::parse("user_id", &asked.user_id).map_err(|invalid| Problem::Invalid("#/user_id", invalid))?;
    let command = Receive { who: id, kind: asked.kind, due_at: asked.due_at };
    let done = call.engine.execute(&call.caller, command).await?;
    let request = done.reply;
    let location = format!("/api/v1/compliance/requests/{}", request.0);
    Ok(Answer::command(StatusCode::CREATED, &one(call, request).await?, done.position)?.at(location))
}

/// One page of requests.
#[derive(Serialize, ToSchema)]
pub(super) struct Requests {
    requests: Vec<Resource>,
    #[serde(flatten)]
    links: PageLinks,
}

/// `GET /compliance/requests?cursor=&limit=`: the latest first; with `due_before=`, the open ones that are due before.
pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let (rows, links) = match call.value("due_before") {
        Some(time) => due_before(call, &time).await?,
        None => latest(call).await?,
    };
    let now = call.engine.now();
    Answer::query(&Requests { requests: rows.into_iter().map(|row| Resource::of(row, now)).collect(), links })
}

async fn latest(call: &Call<'_>) -> Result<(Vec<DataRequest>, PageLinks), Problem> {
    let asked = PageQuery::<u64>::read(call.query)?;
    call.engine.caught_up(&call.app.id).await?;
    let mut rows = data_requests::page(call.engine.read(), &call.app.id, asked.seek, asked.limit + 1).await?;
    let links = asked.cut(&mut rows, |row| Some(row.received_position));
    Ok((rows, links))
}

async fn due_before(call: &Call<'_>, time: &str) -> Result<(Vec<DataRequest>, PageLinks), Problem> {
    let malformed = || Invalid::malformed("due_before", "a time such as 2026-01-31T12:00:00Z");
    let time = DateTime::parse_from_rfc3339(time).map_err(|_| Problem::Invalid("?due_before", malformed()))?;
    let asked = PageQuery::<DueCursor>::read(call.query)?;
    call.engine.caught_up(&call.app.id).await?;
    let (read, app, time) = (call.engine.read(), &call.app.id, time.with_timezone(&Utc));
    let mut rows = data_requests::due_before(read, app, time, asked.seek, asked.limit + 1).await?;
    let place = |row: &DataRequest| DueCursor { due_at: row.due_at, received_position: row.received_position };
    let links = asked.cut(&mut rows, |row| Some(place(row)));
    Ok((rows, links))
}

/// `GET /compliance/requests/{id}`.
pub(super) async fn show(call: &Call<'_>) -> Result<Answer, Problem> {
    Answer::query(&one(call, named(call)?).await?)
}

/// `POST /compliance/requests/{id}/extend`: two more months, once.
pub(super) async fn extend(call: &Call<'_>) -> Result<Answer, Problem> {
    change(call, Change::Extend).await
}

/// `POST /compliance/requests/{id}/answer`.
pub(super) async fn answer(call: &Call<'_>) -> Result<Answer, Problem> {
    change(call, Change::Answer).await
}

/// Why what was asked was not done.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    /// As the person was told; sealed like any personal data.
    #[serde(default)]
    reason: Option<String>,
}

/// `POST /compliance/requests/{id}/refuse`.
pub(super) async fn refuse(call: &Call<'_>) -> Result<Answer, Problem> {
    let why = if call.body.is_empty() { Why { reason: None } } else { call.json()? };
    let reason = why.reason.as_deref().map(Reason::parse).transpose();
    change(call, Change::Refuse(reason.map_err(|invalid| Problem::Invalid("#/reason", invalid))?)).await
}

async fn change(call: &Call<'_>, change: Change) -> Result<Answer, Problem> {
    let request = named(call)?;
    let done = call.engine.execute(&call.caller, ChangeRequest { request, change }).await?;
    Answer::command(StatusCode::OK, &one(call, request).await?, done.position)
}
