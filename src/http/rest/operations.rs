//! Bulk operations: the same act for many users, tried beforehand, followed, and taken back.

use actix_web::http::StatusCode;
use chrono::{DateTime, Utc};
use rollcall_projections::imports::Import;
use rollcall_projections::operations::{self, Item, Operation};
use rollcall_projections::user_directory;
use rollcall_schemas::ids::BatchId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::bans::{length, reason};
use super::paging::{PageLinks, PageQuery};
use super::problem::{Answer, Problem};
use super::users::opened;
use super::{Call, imports};
use crate::domain::Refusal;
use crate::domain::ban::Length;
use crate::domain::operation::{BulkAct, Request, Undo};
use crate::domain::values::{self, Invalid, Reason, UserId};
use crate::engine::operations::{Would, would};

/// Users of one operation.
const USERS_MAX: usize = 1_000;
/// An import that gets no further for so long waits for its caller: a body that stands still is given up much earlier.
const STALLED_AFTER: chrono::Duration = chrono::Duration::seconds(60);

/// Who is banned, for how long, and why. Exactly one of `minutes`, `ends_at` and `permanent` says how long.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"user_ids": ["ada", "bob"], "minutes": 1440, "reason": "spam", "dry_run": true}))]
pub(super) struct BanBatch {
    /// At most 1,000; each counts once.
    user_ids: Vec<String>,
    /// 1 to 43,200, from now on.
    #[serde(default)]
    minutes: Option<i64>,
    /// When the bans end by themselves.
    #[serde(default)]
    ends_at: Option<DateTime<Utc>>,
    /// Whether they last until they are lifted.
    #[serde(default)]
    permanent: Option<bool>,
    /// At most 512 characters.
    #[serde(default)]
    reason: Option<String>,
    /// Only tell what would happen.
    #[serde(default)]
    dry_run: bool,
}

/// To whom something is done.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"user_ids": ["ada", "bob"]}))]
pub(super) struct UserBatch {
    /// At most 1,000; each counts once.
    user_ids: Vec<String>,
    /// Only tell what would happen.
    #[serde(default)]
    dry_run: bool,
}

/// The operation that was begun; of a dry run, what one would do.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"results": [{"user_id": "ada", "would": "extend"}]}))]
pub(super) struct BatchAnswer {
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_id: Option<String>,
    /// Of a dry run: what would happen to each user, in the order asked. Otherwise: whom the operation is not about.
    results: Vec<BatchResult>,
}

impl BatchAnswer {
    /// What would happen to each of these users.
    pub(super) fn of_dry_run(users: impl Iterator<Item = (UserId, Would)>) -> Self {
        let result = |(id, would): (UserId, Would)| BatchResult { user_id: id.as_str().into(), would: would.as_str() };
        Self { operation_id: None, results: users.map(result).collect() }
    }
}

/// What would happen to one user.
#[derive(Serialize, ToSchema)]
pub(super) struct BatchResult {
    user_id: String,
    /// ban, extend, unban, deactivate, block, unblock, allow, disallow, unchanged, or `refused:` with the type of the problem.
    would: &'static str,
}

fn user_ids(asked: &[String]) -> Result<Vec<UserId>, Problem> {
    let invalid = |invalid| Problem::Invalid("#/user_ids", invalid);
    if asked.is_empty() {
        return Err(invalid(Invalid::missing("user_ids")));
    }
    if asked.len() > USERS_MAX {
        return Err(invalid(Invalid::new("user_ids", values::Problem::TooMany { max: USERS_MAX })));
    }
    let mut named = std::collections::HashSet::new();
    let parsed = asked.iter().filter(|id| named.insert(id.as_str())).map(|id| UserId::parse("user_ids", id));
    parsed.collect::<Result<_, _>>().map_err(invalid)
}

/// Begins an operation, or tells what it would do.
async fn begin(
    call: &Call<'_>,
    (asked, reason): (BulkAct, Option<Reason>),
    user_ids: &[String],
    dry_run: bool,
) -> Result<Answer, Problem> {
    let who = self::user_ids(user_ids)?;
    call.engine.caught_up(&call.app.id).await?;
    let subjects = call.engine.find_all(&call.app.id, &who).await?;
    let ends_at = match asked {
        BulkAct::Ban(Length::Until(at)) => Some(at),
        BulkAct::Ban(Length::Minutes(minutes)) => Some(call.engine.now() + minutes.duration()),
        BulkAct::Ban(Length::Permanent) | BulkAct::Unban | BulkAct::Deactivate => None,
    };
    let would = would(call.engine, &call.app.id, &subjects, (asked.act(), ends_at)).await?;
    let result = |(id, would): (&UserId, &Would)| BatchResult { user_id: id.as_str().into(), would: would.as_str() };
    if dry_run {
        return Answer::query(&BatchAnswer::of_dry_run(who.into_iter().zip(would)));
    }
    let done = call.engine.execute(&call.caller, Request { who: who.clone(), asked, reason }).await?;
    let left_out = who
        .iter()
        .zip(&would)
        .zip(&subjects)
        .filter(|((_, would), subject)| subject.is_none() && **would == Would::NotRegistered);
    let results = left_out.map(|(each, _)| result(each)).collect();
    let body = BatchAnswer { operation_id: Some(done.reply.to_string()), results };
    let location = format!("/api/v1/operations/{}", done.reply);
    Ok(Answer::command(StatusCode::ACCEPTED, &body, done.position)?.at(location))
}

/// `POST /bans/batch`: ban up to 1,000 users; who is banned for longer stays so. 202 with the operation.
pub(super) async fn ban(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked: BanBatch = call.json()?;
    let length = length(asked.minutes, asked.ends_at, asked.permanent)?;
    let why = reason(asked.reason.as_deref())?;
    begin(call, (BulkAct::Ban(length), why), &asked.user_ids, asked.dry_run).await
}

/// `POST /unbans/batch`: lift the bans of up to 1,000 users, or call them off. 202 with the operation.
pub(super) async fn unban(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked: UserBatch = call.json()?;
    begin(call, (BulkAct::Unban, None), &asked.user_ids, asked.dry_run).await
}

/// `POST /deactivations/batch`: deactivate up to 1,000 users and erase their data. 202 with the operation.
pub(super) async fn deactivate(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked: UserBatch = call.json()?;
    begin(call, (BulkAct::Deactivate, None), &asked.user_ids, asked.dry_run).await
}

/// A bulk operation.
#[derive(Serialize, ToSchema)]
#[schema(as = BulkOperation)]
#[schema(example = json!({"operation_id": "6b1ff0a4-43c0-4d7c-9d43-0f7f6e3ac0a1", "act": "ban", "state": "running",
    "done": 250, "total": 1000, "refused": 1, "undone": null, "eta_seconds": 3, "ends_at": null, "actor": "api_key:2",
    "requested_at": "2031-05-01T08:00:00Z"}))]
pub(super) struct Resource {
    operation_id: String,
    /// ban, unban, deactivate or import.
    act: &'static str,
    /// running (also while it is taken back), done, failed where every user was refused, or undone. Of an import also
    /// stalled: it got no further for a minute, and waits for its caller to send the records again.
    state: &'static str,
    /// With how many users or records it has dealt.
    done: u64,
    /// Of how many; null: of an import that is not known before its end.
    total: Option<u64>,
    /// For how many of them it was refused.
    refused: u64,
    /// For how many it was taken back or not; null: it is not to be taken back.
    undone: Option<u32>,
    /// When it ends at this rate; null: it has ended, or not begun.
    eta_seconds: Option<u64>,
    /// When its bans end by themselves; null: never.
    ends_at: Option<DateTime<Utc>>,
    /// Who asked.
    actor: String,
    requested_at: DateTime<Utc>,
    /// Of an import only.
    #[serde(skip_serializing_if = "Option::is_none")]
    import: Option<ImportDetails>,
}

/// What an operation that is an import is about.
#[derive(Serialize, ToSchema)]
struct ImportDetails {
    /// users, friends, blocks or bans.
    kind: &'static str,
    /// What happens to a record about something that is there already: skip, fail or update.
    on_conflict: &'static str,
    /// Records about something that was there already and was left as it is.
    skipped: u64,
}

impl Resource {
    fn of(operation: &Operation) -> Self {
        let Operation { done, total, refused, undone, is_open, ends_at, requested_at, .. } = *operation;
        let state = match undone {
            _ if is_open => "running",
            Some(_) => "undone",
            None if total > 0 && refused == total => "failed",
            None => "done",
        };
        Self {
            operation_id: operation.batch.to_string(),
            act: operation.act.as_str(),
            state,
            done: done.into(),
            total: Some(total.into()),
            refused: refused.into(),
            undone,
            eta_seconds: is_open.then(|| of_operation(operation)).flatten(),
            ends_at,
            actor: operation.actor.to_string(),
            requested_at,
            import: None,
        }
    }

    /// That of an import.
    pub(super) fn of_import(import: &Import, now: DateTime<Utc>) -> Self {
        let Import { kind, on_conflict, skipped, refused, is_ended, begun_at, progressed_at, .. } = *import;
        let reached = import.reached();
        let state = match is_ended {
            true if reached > 0 && refused == reached => "failed",
            true => "done",
            false if now - progressed_at > STALLED_AFTER => "stalled",
            false => "running",
        };
        let left = import.length.map(|length| length.saturating_sub(import.bytes));
        let eta = left.and_then(|left| eta((begun_at, progressed_at), import.bytes, left));
        Self {
            operation_id: import.import.to_string(),
            act: "import",
            state,
            done: reached,
            total: is_ended.then_some(reached),
            refused,
            undone: None,
            eta_seconds: eta.filter(|_| state == "running"),
            ends_at: None,
            actor: import.actor.to_string(),
            requested_at: begun_at,
            import: Some(ImportDetails { kind: kind.as_str(), on_conflict: on_conflict.as_str(), skipped }),
        }
    }
}

/// How many seconds are left at the rate so far.
fn eta((begun_at, progressed_at): (DateTime<Utc>, DateTime<Utc>), reached: u64, left: u64) -> Option<u64> {
    let spent = u64::try_from((progressed_at - begun_at).num_milliseconds()).ok()?;
    spent.checked_mul(left)?.checked_div(reached).map(|left| left.div_ceil(1_000))
}

fn of_operation(operation: &Operation) -> Option<u64> {
    let reached = operation.reached();
    eta((operation.begun_at, operation.progressed_at), reached.into(), operation.total.saturating_sub(reached).into())
}

/// A bulk operation with what became of its users, or an import with its refused records.
#[derive(Serialize, ToSchema)]
pub(super) struct Detailed {
    #[serde(flatten)]
    pub(super) operation: Resource,
    /// In the order asked.
    pub(super) results: Vec<OperationResult>,
    #[serde(flatten)]
    pub(super) links: PageLinks,
}

/// What became of one user.
#[derive(Serialize, ToSchema)]
pub(super) struct OperationResult {
    /// Null: the user was forgotten, or it is a record of an import.
    user_id: Option<String>,
    /// The number of a refused record of an import, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<u64>,
    /// ban, extend, unban, deactivate, unchanged, or `refused:` with the type of the problem; null: its turn is to come.
    result: Option<String>,
    /// undone, unchanged, or `refused:` with the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    undo_result: Option<String>,
}

impl OperationResult {
    /// That of a record that was refused.
    pub(super) fn of_record(number: u64, reason: String) -> Self {
        Self { user_id: None, record: Some(number), result: Some(reason), undo_result: None }
    }
}

/// The operation of the path.
async fn found(call: &Call<'_>) -> Result<Operation, Problem> {
    let batch: BatchId = call.parameter(0).parse().map_err(|_| Refusal::NoSuchOperation)?;
    call.engine.caught_up(&call.app.id).await?;
    let found = operations::by_id(call.engine.read(), &call.app.id, batch).await?;
    Ok(found.ok_or(Refusal::NoSuchOperation)?)
}

/// `GET /operations/{id}?cursor=&limit=`: how far it is, and a page of its users.
pub(super) async fn show(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked = PageQuery::<u64>::read(call.query)?;
    if let Some(import) = imports::found(call).await? {
        return imports::shown(call, import, &asked).await;
    }
    let operation = found(call).await?;
    let seek = asked.seek.map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    let mut items = operations::items(call.engine.read(), operation.batch, seek, asked.limit + 1).await?;
    let links = asked.cut(&mut items, |item| Some(u64::from(item.number)));
    let subjects: Vec<_> = items.iter().map(|item| item.subject).collect();
    let ids = user_directory::user_ids(call.engine.read(), &call.app.id, &subjects).await?;
    let results = call.engine.disclose(&call.caller, &subjects, |opener| {
        let mut results = Vec::with_capacity(items.len());
        for (Item { subject, result, undo_result, .. }, id) in items.into_iter().zip(&ids) {
            let user_id = opened(opener, subject, "user_id", id.as_deref())?;
            results.push(OperationResult { user_id, record: None, result, undo_result });
        }
        Ok::<_, Problem>(results)
    });
    Answer::query(&Detailed { operation: Resource::of(&operation), results: results.await?, links })
}

/// Bulk operations.
#[derive(Serialize, ToSchema)]
#[schema(as = BulkOperations)]
pub(super) struct Page {
    operations: Vec<Resource>,
    #[serde(flatten)]
    links: PageLinks,
}

/// `GET /operations?cursor=&limit=`: the latest first.
pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked = PageQuery::<u64>::read(call.query)?;
    call.engine.caught_up(&call.app.id).await?;
    let (read, app, now) = (call.engine.read(), &call.app.id, call.engine.now());
    let (bulk, imports) = tokio::try_join!(
        operations::listed(read, app, asked.seek, asked.limit + 1),
        rollcall_projections::imports::listed(read, app, asked.seek, asked.limit + 1),
    )?;
    let bulk = bulk.iter().map(|operation| (operation.requested_position, Resource::of(operation)));
    let imports = imports.iter().map(|import| (import.begun_position, Resource::of_import(import, now)));
    let mut rows: Vec<_> = bulk.chain(imports).collect();
    rows.sort_by_key(|(position, _)| std::cmp::Reverse(*position));
    let links = asked.cut(&mut rows, |(position, _)| Some(*position));
    Answer::query(&Page { operations: rows.into_iter().map(|(_, operation)| operation).collect(), links })
}

/// `POST /operations/{id}/undo`: take it back, as far as nobody has changed anything since. 202; repeating it changes nothing.
pub(super) async fn undo(call: &Call<'_>) -> Result<Answer, Problem> {
    if imports::found(call).await?.is_some() {
        return Err(Refusal::OperationHasNoUndo.into());
    }
    let batch = found(call).await?.batch;
    let done = call.engine.execute(&call.caller, Undo { batch }).await?;
    Answer::command(StatusCode::ACCEPTED, &Resource::of(&found(call).await?), done.position)
}
