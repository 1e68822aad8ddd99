//! The service itself: how it is, its read models, what they could not apply, its nodes, its apps.

use actix_web::http::StatusCode;
use chrono::{DateTime, Utc};
use rollcall_projections::ALL;
use rollcall_schemas::ids::AppId;
use rollcall_schemas::plain::{Environment, Plan};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Call;
use super::paging::ForwardQuery;
use super::problem::{Answer, Problem};
use crate::domain::values::{self, Invalid};
use crate::engine::rebuilds::{NotBegun, Rebuilding};
use crate::http::cursor::Cursor;

/// Parked streams that are counted by read model.
const COUNTED_MAX: u32 = 1_000;
/// Characters of the reason for which events are skipped.
const REASON_MAX: usize = 500;

/// How the node is that answers.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"version": "0.1.0", "ready": true, "leads": true, "log_broken": null, "head": 4711, "applied": 4711,
    "lag_events": 0, "lag_seconds": 0.0, "queued": 0, "parked": 0, "connections": 12}))]
pub(super) struct Status {
    version: &'static str,
    ready: bool,
    /// Whether it does what one node does for all.
    leads: bool,
    /// Why nothing is answered from the log, as a stable code; null: it is whole.
    log_broken: Option<String>,
    /// Position of the last event in the log, as far as this node knows it.
    head: u64,
    /// Up to where the read models are.
    applied: u64,
    lag_events: u64,
    /// Age of the first event that they lack; null: not known at the moment.
    lag_seconds: Option<f64>,
    /// Commands that wait.
    queued: u64,
    /// Streams that read models could not apply.
    parked: u64,
    /// Clients that are connected to this node.
    connections: u64,
}

/// `GET /status`.
pub(super) async fn status(call: &Call<'_>) -> Result<Answer, Problem> {
    let sampled = call.engine.sample().await;
    Answer::query(&Status {
        version: env!("CARGO_PKG_VERSION"),
        ready: call.engine.is_ready() && call.keeper.is_proven() && !call.drain.has_begun(),
        leads: sampled.leads,
        log_broken: sampled.log_broken.map(Into::into),
        head: sampled.head,
        applied: sampled.applied,
        lag_events: sampled.head.saturating_sub(sampled.applied),
        lag_seconds: sampled.lag.map(|lag| lag.as_secs_f64()),
        queued: sampled.queued,
        parked: call.engine.read().parked_count().await?,
        connections: call.live.registry.connected() as u64,
    })
}

/// One read model.
#[derive(Serialize, ToSchema)]
pub(super) struct ReadModel {
    name: &'static str,
    /// Of its tables.
    version: u32,
    /// Position of the last event it has applied.
    position: u64,
    /// How many events of the log it lacks.
    lag_events: u64,
    /// Streams that it could not apply; counted up to 1,000 in all.
    parked: u64,
    /// How it is built anew, or was the last time: in a data directory where it was the last one that was asked for since the start,
    /// on a server by whichever node or command.
    rebuild: Option<Rebuild>,
}

/// How far a read model is that is built anew. The former one answers until it is done.
#[derive(Serialize, ToSchema)]
struct Rebuild {
    /// asked, applying (the events of the log), copying (its rows beside the live ones), done or failed.
    state: &'static str,
    /// Events or rows.
    done: u64,
    /// And in all.
    total: u64,
}

impl Rebuild {
    fn of(rebuilding: &Rebuilding) -> Self {
        Self { state: rebuilding.phase.as_str(), done: rebuilding.done, total: rebuilding.total }
    }
}

/// A read model that is built anew.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"name": "user_directory", "rebuild": {"state": "applying", "done": 200, "total": 4711}}))]
pub(super) struct RebuildBegun {
    name: &'static str,
    rebuild: Option<Rebuild>,
}

/// The read models.
#[derive(Serialize, ToSchema)]
pub(super) struct ReadModels {
    read_models: Vec<ReadModel>,
    /// Always null: the list is whole.
    next: Option<String>,
}

/// `GET /read-models`.
pub(super) async fn read_models(call: &Call<'_>) -> Result<Answer, Problem> {
    let (read, head) = (call.engine.read(), call.engine.log().head());
    let parked = read.parked(COUNTED_MAX).await?;
    let rebuilds = call.engine.rebuilds().await?;
    let models = read.checkpoints().into_iter().map(|checkpoint| ReadModel {
        name: checkpoint.model,
        version: checkpoint.version,
        position: checkpoint.position,
        lag_events: head.saturating_sub(checkpoint.position),
        parked: parked.iter().filter(|key| key.model == checkpoint.model).count() as u64,
        rebuild: rebuilds.iter().find(|rebuilding| rebuilding.model == checkpoint.model).map(Rebuild::of),
    });
    Answer::query(&ReadModels { read_models: models.collect(), next: None })
}

/// `POST /read-models/{name}/rebuild`: build it anew beside the one that answers. 202; `GET /read-models` tells how far it is.
pub(super) async fn rebuild(call: &Call<'_>) -> Result<Answer, Problem> {
    let found = ALL.iter().copied().find(|model| model.name() == call.parameter(0));
    let model = found.ok_or(Problem::NoSuchReadModel)?;
    call.engine.rebuild_beside(model).await.map_err(|why| match why {
        NotBegun::Runs => Problem::RebuildRuns,
        NotBegun::Unavailable(error) => error.into(),
    })?;
    let rebuilds = call.engine.rebuilds().await?;
    let rebuild = rebuilds.iter().find(|rebuilding| rebuilding.model == model.name()).map(Rebuild::of);
    Answer::command(StatusCode::ACCEPTED, &RebuildBegun { name: model.name(), rebuild }, 0)
}

/// A stream that a read model could not apply an event of.
#[derive(Serialize, ToSchema)]
pub(super) struct Parked {
    read_model: String,
    stream: String,
    /// Of the first event that is parked.
    position: u64,
    reason: String,
    since: DateTime<Utc>,
    /// How many later events of the stream wait behind it.
    held_back: u64,
}

/// Parked streams.
#[derive(Serialize, ToSchema)]
pub(super) struct ParkedPage {
    parked: Vec<Parked>,
    next: Option<String>,
}

/// Where a page of parked streams ended.
struct ParkedPlace(u64, String);

impl Cursor for ParkedPlace {
    fn bytes(&self) -> Vec<u8> {
        [b"p", self.0.to_be_bytes().as_slice(), self.1.as_bytes()].concat()
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        let (position, model) = bytes.strip_prefix(b"p")?.split_first_chunk()?;
        let model = std::str::from_utf8(model).ok().filter(|name| ALL.iter().any(|model| model.name() == *name))?;
        Some(Self(u64::from_be_bytes(*position), model.to_owned()))
    }
}

/// `GET /parked?cursor=&limit=`: the oldest first.
pub(super) async fn parked(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked = ForwardQuery::<ParkedPlace>::read(call.query)?;
    let after = asked.cursor.as_ref().map_or((0, ""), |place| (place.0, place.1.as_str()));
    let mut rows = call.engine.read().parked_after(after, asked.limit + 1).await?;
    let next = asked.cut(&mut rows, |key| Some(ParkedPlace(key.position, key.model.clone())));
    let parked = rows.into_iter().map(|key| Parked {
        read_model: key.model,
        stream: key.stream,
        position: key.position,
        reason: key.reason,
        since: key.first_at,
        held_back: key.held_back,
    });
    Answer::query(&ParkedPage { parked: parked.collect(), next })
}

/// What came of a parked stream in one read model.
#[derive(Serialize, ToSchema)]
pub(super) struct ParkedResult {
    read_model: &'static str,
    /// Events that were applied; of `resolve`, that are skipped from now on.
    events: u64,
    /// Events that remain parked.
    parked: u64,
}

/// What came of a parked stream.
#[derive(Serialize, ToSchema)]
pub(super) struct ParkedResults {
    results: Vec<ParkedResult>,
}

/// `POST /parked/{stream}/retry`: apply its events again, in every read model that parked it.
pub(super) async fn retry(call: &Call<'_>) -> Result<Answer, Problem> {
    let stream = call.parameter(0);
    let mut results = vec![];
    for model in call.engine.parked_in(stream).await? {
        let retried = call.engine.retry_parked(model, stream).await?;
        results.push(ParkedResult { read_model: model.name(), events: retried.applied, parked: retried.parked });
    }
    told(results)
}

fn told(results: Vec<ParkedResult>) -> Result<Answer, Problem> {
    if results.is_empty() { Err(Problem::NotParked) } else { Answer::query(&ParkedResults { results }) }
}

/// Why events are skipped.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Resolution {
    /// 1 to 500 characters in one line. It is kept in the clear: name no person in it.
    reason: String,
    /// Only this read model skips them; absent: every one that parked the stream.
    #[serde(default)]
    read_model: Option<String>,
}

/// `POST /parked/{stream}/resolve`: its parked events are skipped, now and whenever the read model is built anew.
pub(super) async fn resolve(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked: Resolution = call.json()?;
    let (reason, stream) = (asked.reason.trim(), call.parameter(0));
    let invalid = |invalid| Problem::Invalid("#/reason", invalid);
    if reason.is_empty() {
        return Err(invalid(Invalid::missing("reason")));
    }
    if reason.chars().count() > REASON_MAX || reason.chars().any(char::is_control) {
        return Err(invalid(Invalid::malformed("reason", "one line of at most 500 characters")));
    }
    let mut results = vec![];
    for model in call.engine.parked_in(stream).await? {
        if asked.read_model.as_deref().is_none_or(|name| name == model.name()) {
            let events = call.engine.resolve_parked(model, stream, reason).await?;
            results.push(ParkedResult { read_model: model.name(), events, parked: 0 });
        }
    }
    told(results)
}

/// A node.
#[derive(Serialize, ToSchema)]
pub(super) struct Node {
    /// A new one with each start.
    node: String,
    /// Whether it is the one that answers.
    answers: bool,
    /// Whether it does what one node does for all; null: only the node itself knows.
    leads: Option<bool>,
}

/// The nodes.
#[derive(Serialize, ToSchema)]
pub(super) struct Nodes {
    nodes: Vec<Node>,
    /// Always null: the list is whole.
    next: Option<String>,
}

/// `GET /nodes`: those that hold a lease; this one first.
pub(super) async fn nodes(call: &Call<'_>) -> Result<Answer, Problem> {
    let (own, others) = call.live.nodes().await.map_err(|error| Problem::unavailable(&error))?;
    let own = Node { node: own.to_string(), answers: true, leads: Some(call.engine.leads()) };
    let others = others.into_iter().map(|node| Node { node: node.to_string(), answers: false, leads: None });
    Answer::query(&Nodes { nodes: std::iter::once(own).chain(others).collect(), next: None })
}

/// An app of the service.
#[derive(Serialize, ToSchema)]
pub(super) struct ListedApp {
    app: String,
    /// development or production.
    #[schema(value_type = String)]
    environment: Environment,
    /// starter or pro.
    #[schema(value_type = String)]
    plan: Plan,
}

/// The apps of the service.
#[derive(Serialize, ToSchema)]
pub(super) struct Apps {
    apps: Vec<ListedApp>,
    next: Option<String>,
}

/// The last app of a page.
struct AppPlace(AppId);

impl Cursor for AppPlace {
    fn bytes(&self) -> Vec<u8> {
        [b"a", self.0.as_str().as_bytes()].concat()
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        std::str::from_utf8(bytes.strip_prefix(b"a")?).ok()?.parse().ok().map(Self)
    }
}

/// `GET /apps?cursor=&limit=`: every app of the service, by key.
pub(super) async fn apps(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked = ForwardQuery::<AppPlace>::read(call.query)?;
    call.engine.caught_up(&call.app.id).await?;
    let mut apps = call.engine.apps();
    apps.retain(|app| asked.cursor.as_ref().is_none_or(|after| app.id > after.0));
    let next = asked.cut(&mut apps, |app| Some(AppPlace(app.id.clone())));
    let apps =
        apps.iter().map(|app| ListedApp { app: app.id.to_string(), environment: app.environment, plan: app.plan });
    Answer::query(&Apps { apps: apps.collect(), next })
}

/// An app to be created.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"key": "chat-2", "environment": "production", "plan": "pro"}))]
pub(super) struct NewApp {
    /// 1 to 64 of A-Z a-z 0-9 _ -; nobody has used it.
    key: String,
    /// development or production.
    #[schema(value_type = String)]
    environment: Environment,
    /// starter or pro; starter where it is absent.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    plan: Option<Plan>,
}

/// An app that was created.
#[derive(Serialize, ToSchema)]
pub(super) struct CreatedApp {
    #[serde(flatten)]
    app: ListedApp,
    /// The App-Secret. It is told only once.
    secret: String,
    /// An API key of the app with every scope. It is told only once.
    api_key: String,
}

/// `POST /apps`. 201 with its first secret and its first API key, which are told only once.
pub(super) async fn create_app(call: &Call<'_>) -> Result<Answer, Problem> {
    let asked: NewApp = call.json()?;
    let malformed = Invalid::new("key", values::Problem::Malformed { expected: "1 to 64 of A-Z a-z 0-9 _ -" });
    let key: AppId = asked.key.parse().map_err(|_| Problem::Invalid("#/key", malformed))?;
    let (environment, plan) = (asked.environment, asked.plan.unwrap_or(Plan::Starter));
    let created = call.engine.create_app(call.caller.actor.clone(), &key, environment, plan).await?;
    let app = ListedApp { app: key.to_string(), environment, plan };
    let body = CreatedApp { app, secret: created.secret, api_key: created.api_key };
    Answer::command(StatusCode::CREATED, &body, created.position)
}
