//! Imports: records that a caller sends, brought in while they arrive.

use std::io::ErrorKind;
use std::pin::pin;

use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use rollcall_projections::imports::{self, Import, Refused};
use rollcall_schemas::UnknownWord;
use rollcall_schemas::ids::ImportId;
use rollcall_schemas::import::{Kind, OnConflict};
use rollcall_schemas::plain::ApiScope;
use serde::Serialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::Call;
use super::operations::{Detailed, OperationResult, Resource};
use super::paging::PageQuery;
use super::problem::{Answer, Problem, kind_of_refusal};
use crate::domain::Refusal;
use crate::domain::import::Begin;
use crate::domain::values::Invalid;
use crate::engine;
use crate::http::exchange::Unread;
use crate::http::upload::UPLOAD_MAX;
use crate::transfer::upload::{Sent, Upload};
use crate::transfer::{self, Format, Why};

/// What records can be about.
const KINDS: &str = "users, friends, friend-groups, blocks, allows, bans or mutes";

/// Records, one a line: JSON Lines, or CSV whose first line names the members. docs/moving-data.md tells them.
#[derive(ToSchema)]
#[schema(as = ImportRecords, example = "{\"user_id\":\"ada\",\"name\":\"Ada\"}\n{\"user_id\":\"bob\",\"name\":\"Bob\"}\n")]
#[expect(dead_code)]
pub(super) struct Records(String);

/// What became of the records that were sent.
#[derive(Serialize, ToSchema)]
#[schema(as = ImportSent)]
#[schema(example = json!({"operation_id": "6b1ff0a4-43c0-4d7c-9d43-0f7f6e3ac0a1", "complete": true, "done": 998,
    "skipped": 1, "refused": 1, "refused_records": [{"user_id": "not ok", "name": "Eve", "_record": 7,
    "_problem": "user_id must be letters, digits and + = - _ only"}]}))]
pub(super) struct ImportSent {
    /// The operation; absent of a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation_id: Option<String>,
    /// False: send the same records with the same Idempotency-Key to go on.
    complete: bool,
    /// Records that were done, in all calls of the import.
    done: u64,
    /// Records about something that was there already, which was left as it is.
    skipped: u64,
    /// Records that were refused.
    refused: u64,
    /// The refused ones of this call, with `_record`, their number, and `_problem`. One a line and corrected, they can be
    /// imported.
    #[schema(value_type = Vec<Object>)]
    refused_records: Vec<Map<String, Value>>,
}

/// What is asked for in the query.
struct ImportQuery {
    kind: Kind,
    on_conflict: OnConflict,
    dry_run: bool,
}

impl ImportQuery {
    fn read(call: &Call<'_>) -> Result<Self, Problem> {
        let unknown = |pointer, field, expected| {
            move |_: UnknownWord| Problem::Invalid(pointer, Invalid::malformed(field, expected))
        };
        let kind = call.value("kind").ok_or(Problem::Invalid("?kind", Invalid::missing("kind")))?;
        let kind = kind.parse().map_err(unknown("?kind", "kind", KINDS))?;
        let on_conflict = call.value("on_conflict").map(|word| word.parse()).transpose();
        let on_conflict = on_conflict.map_err(unknown("?on_conflict", "on_conflict", "skip, fail or update"))?;
        let dry_run = call.value("dry_run").map(|word| word.parse()).transpose();
        let malformed = |_| Problem::Invalid("?dry_run", Invalid::malformed("dry_run", "true or false"));
        Ok(Self {
            kind,
            on_conflict: on_conflict.unwrap_or(OnConflict::Skip),
            dry_run: dry_run.map_err(malformed)?.unwrap_or(false),
        })
    }
}

/// How the records are written.
fn format(call: &Call<'_>) -> Format {
    let named = call.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = named.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("text/csv") { Format::Csv } else { Format::Jsonl }
}

fn is_gzip(call: &Call<'_>) -> Result<bool, Problem> {
    let Some(value) = call.headers.get(CONTENT_ENCODING) else { return Ok(false) };
    match value.to_str().unwrap_or_default().trim() {
        coding if coding.eq_ignore_ascii_case("gzip") => Ok(true),
        coding if coding.is_empty() || coding.eq_ignore_ascii_case("identity") => Ok(false),
        _ => Err(Problem::Invalid("Content-Encoding", Invalid::malformed("Content-Encoding", "gzip or absent"))),
    }
}

/// How a refused record is told in what is recorded.
fn word(why: &Why) -> &'static str {
    match why {
        Why::NoRecord => "no-record",
        Why::Invalid => "invalid-value",
        Why::Exists => "exists",
        Why::Elsewhere => "disabled-elsewhere",
        Why::Rule(refusal) => kind_of_refusal(refusal).1,
    }
}

/// The import that is begun, or that an earlier call with the same key began.
async fn begun(call: &Call<'_>, asked: &ImportQuery, length: Option<u64>) -> Result<Import, Problem> {
    let mut caller = call.caller.clone();
    if let Some(key) = &mut caller.idempotency {
        // What is sent is compared record by record; here, what is asked for.
        key.content.extend(format!("{} {}", asked.kind, asked.on_conflict).into_bytes());
    }
    let begin = Begin { kind: asked.kind, on_conflict: asked.on_conflict, length };
    let import = call.engine.execute(&caller, begin).await?.reply;
    call.engine.caught_up(&call.app.id).await?;
    // The reply may be that of an earlier call, which another node answered.
    let found = imports::by_id(call.engine.read(), &call.app.id, import).await?;
    found.ok_or(Problem::Engine(engine::Error::Behind))
}

/// `POST /imports?kind=&on_conflict=&dry_run=`: bring in records, as JSON Lines or CSV. 202 with the operation.
pub(super) async fn send(call: &Call<'_>) -> Result<Answer, Problem> {
    let (asked, is_gzip) = (ImportQuery::read(call)?, is_gzip(call)?);
    if matches!(asked.kind, Kind::Bans | Kind::Mutes) {
        call.needs(ApiScope::Moderator)?;
    }
    let body = call.upload.as_ref().ok_or(Problem::Unread(Unread::Broken))?;
    if body.length.is_some_and(|length| length > UPLOAD_MAX) {
        return Err(Problem::UploadTooLarge);
    }
    let opened = body.open(call.bodies, &call.app.id, is_gzip).ok_or(Problem::Unread(Unread::NoSpace))?;
    let import = if asked.dry_run { None } else { Some(begun(call, &asked, body.length).await?) };
    if let Some(ended) = import.as_ref().filter(|import| import.is_ended) {
        let sent = Sent { counts: Default::default(), refused: vec![], is_complete: true, position: 0 };
        return answer(Some(ended), sent);
    }
    let upload = Upload {
        engine: call.engine,
        caller: &call.caller,
        kind: asked.kind,
        format: format(call),
        on_conflict: asked.on_conflict,
        import: import.as_ref().map(|import| (import.import, import.reached())),
        word,
    };
    let stop = async {
        let _ = call.drain.begun().await;
    };
    let mut pump = opened.pump;
    let mut sending = pin!(upload.run(opened.reader, opened.received, stop));
    let (early, has_ended) = tokio::select! {
        sent = &mut sending => (Some(sent), false),
        has_ended = pump.run() => (None, has_ended),
    };
    let sent = match early {
        Some(sent) => sent,
        None => sending.await,
    };
    if !has_ended {
        pump.discard().await;
    }
    answer(import.as_ref(), sent?)
}

fn answer(import: Option<&Import>, sent: Sent) -> Result<Answer, Problem> {
    let before = import.map_or((0, 0, 0), |import| (import.done, import.skipped, import.refused));
    let body = ImportSent {
        operation_id: import.map(|import| import.import.to_string()),
        complete: sent.is_complete,
        done: before.0 + sent.counts.done,
        skipped: before.1 + sent.counts.skipped,
        refused: before.2 + sent.counts.refused,
        refused_records: sent.refused,
    };
    match &body.operation_id {
        None => Answer::query(&body),
        Some(id) => {
            let location = format!("/api/v1/imports/{id}");
            Ok(Answer::command(StatusCode::ACCEPTED, &body, sent.position)?.at(location))
        }
    }
}

impl From<transfer::Error> for Problem {
    fn from(error: transfer::Error) -> Self {
        match error {
            transfer::Error::Engine(error) => error.into(),
            transfer::Error::Read(error) => engine::Error::from(error).into(),
            transfer::Error::File { error, .. } => match error.kind() {
                ErrorKind::TimedOut => Self::Unread(Unread::Stalled),
                ErrorKind::UnexpectedEof => Self::Unread(Unread::Broken),
                ErrorKind::FileTooLarge => Self::UploadTooLarge,
                _ => Self::Upload(error.to_string()),
            },
            error @ transfer::Error::Document { .. } => Self::Upload(error.to_string()),
            error @ (transfer::Error::OtherImport { .. } | transfer::Error::NoSuchApp(_)) => Self::unavailable(&error),
        }
    }
}

/// The import of the path; `None`: there is none of that name.
pub(super) async fn found(call: &Call<'_>) -> Result<Option<Import>, Problem> {
    let Ok(import) = call.parameter(0).parse::<ImportId>() else { return Ok(None) };
    call.engine.caught_up(&call.app.id).await?;
    Ok(imports::by_id(call.engine.read(), &call.app.id, import).await?)
}

/// `GET /imports/{id}?cursor=&limit=`: how far it is, and a page of the records that were refused.
pub(super) async fn show(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked = PageQuery::<u64>::read(call.query)?;
    shown(call, found(call).await?.ok_or(Refusal::NoSuchOperation)?, &asked).await
}

/// An import with a page of the records that were refused.
pub(super) async fn shown(call: &Call<'_>, import: Import, asked: &PageQuery<u64>) -> Result<Answer, Problem> {
    let read = call.engine.read();
    let mut rows = imports::refused(read, import.import, asked.seek, asked.limit + 1).await?;
    let links = asked.cut(&mut rows, |row| Some(row.number));
    let results = rows.into_iter().map(|Refused { number, reason }| OperationResult::of_record(number, reason));
    let operation = Resource::of_import(&import, call.engine.now());
    Answer::query(&Detailed { operation, results: results.collect(), links })
}
