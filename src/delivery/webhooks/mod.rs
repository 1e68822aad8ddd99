//! Webhooks: an app is told of its events at URLs that it has registered, at least once, in the order of each subject.
//!
//! A webhook is a cursor on the log, and rows only for what is behind it (`store`). One node sends: the leader. `lane` decides
//! what is sent next, `sender` sends it, `schedule` says when what failed is tried again, `address` where nothing is sent to.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta};
use futures_util::FutureExt as _;
use rollcall_projections::webhooks::Webhook;
use rollcall_schemas::ids::{AppId, ErasureId, WebhookId};
use rollcall_schemas::webhook::{Endpoint, Format};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;
use uuid::Uuid;

use crate::delivery::event_type::TypePattern;
use crate::domain::webhook::WEBHOOKS_MAX;
use crate::engine::turns::{TurnLimits, Turns};
use crate::engine::{self, App, Engine};
use crate::tasks;
use crate::telemetry::traces;

pub mod address;
mod disclosure;
mod gather;
mod lane;
mod platform;
mod post;
mod presence;
mod render;
mod replay;
mod resolver;
mod schedule;
mod sender;
pub mod sign;
pub mod store;

pub use post::Failure;
pub use replay::{Outcome as Replayed, REPLAYED_MAX};
pub use schedule::WAITS;

use address::Allowed;
use post::Client;
use render::Unsigned;
use schedule::Schedule;
use sign::Keys;
use store::{State, Store};

/// Exchanges with receivers at the same time, over all webhooks. Those of one app that hang leave others their turns; of one app
/// all may wait.
const TURNS: TurnLimits =
    TurnLimits { at_once_max: 512, of_app_max: 128, waiting_of_app_max: 2 * WEBHOOKS_MAX * sender::IN_FLIGHT_MAX };
/// Exchanges at the same time that tell who is online. They are counted apart, so that neither kind waits for the other.
const PRESENCE_TURNS: TurnLimits =
    TurnLimits { at_once_max: 256, of_app_max: 64, waiting_of_app_max: 2 * WEBHOOKS_MAX * presence::IN_FLIGHT_MAX };
/// Webhooks that are being tried out at the same time. They are counted apart: a webhook is tried out where receivers hang, and
/// then deliveries take all there is.
const TEST_TURNS: TurnLimits = TurnLimits { at_once_max: 16, of_app_max: 4, waiting_of_app_max: 4 };
/// How often it is looked which webhooks there are.
const EVERY: Duration = Duration::from_millis(500);
const PAGE: u32 = 500;
/// An erasure that ended longer ago is not told at the callback of an app's settings.
const CALLED_BACK_WITHIN: TimeDelta = TimeDelta::days(7);
/// The platform gives up after three attempts; these are the waits between them.
const PLATFORM_WAITS: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(1)];

/// What an operator can choose.
#[derive(Debug, Clone)]
pub struct Options {
    /// Ranges of addresses that are not on the public internet and may be sent to nevertheless.
    pub allowed: Allowed,
    /// The wait after each attempt that failed; one attempt more is made than there are waits.
    pub waits: Vec<Duration>,
    /// How long an exchange may take, the whole answer included.
    pub exchange_max: Duration,
    /// How long nothing must be acknowledged until it is recorded that a webhook is failing.
    pub failing_after: Duration,
    /// How long nothing must be acknowledged until a webhook is disabled.
    pub disabled_after: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            allowed: Allowed::default(),
            waits: WAITS.to_vec(),
            exchange_max: Duration::from_secs(15),
            failing_after: Duration::from_mins(1),
            disabled_after: Duration::from_hours(120),
        }
    }
}

/// Records that a recipient of personal data was told of an erasure, and acknowledged it (GDPR, Article 19).
#[async_trait::async_trait]
pub trait ErasureNotices: Send + Sync {
    /// Records it once; harmless when repeated.
    ///
    /// # Errors
    /// It could not be recorded: the recipient is told again.
    async fn acknowledged(&self, app: &AppId, erasure: ErasureId, recipient: &str) -> Result<(), engine::Error>;

    /// Whether anything may be signed now.
    fn is_ready(&self) -> bool;
}

/// Why the deliveries of a webhook cannot be told or changed now.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A part of the service.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl From<Error> for engine::Error {
    fn from(error: Error) -> Self {
        match error {
            Error::Engine(error) => error,
            Error::Store(error) => Self::Unavailable(error.to_string()),
        }
    }
}

/// How far a webhook is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// Up to where the log was told.
    pub position: u64,
    /// How many events come after that, those of no concern included.
    pub events: u64,
    /// How old the first of them is.
    pub age: Duration,
    /// How many deliveries are held behind the cursor.
    pub waiting: u64,
    /// How many were given up.
    pub dead: u64,
}

/// Every webhook of every app.
pub struct Webhooks {
    engine: Arc<Engine>,
    store: Arc<dyn Store>,
    notices: Arc<dyn ErasureNotices>,
    /// Sends to where apps want it.
    client: Client,
    /// Sends to where the operator of this machine wants it: the callbacks of the apps' settings.
    trusting_client: Client,
    options: Options,
    turns: Turns,
    presence_turns: Turns,
    test_turns: Turns,
    runtime: Handle,
    changed: Notify,
    keys: Arc<Keys>,
    /// How often this node changed a webhook.
    changes: AtomicU64,
    /// How far each webhook is that is sent from here.
    cursors: Mutex<HashMap<WebhookId, u64>>,
}

/// The webhook that an app's setting `erasure_callback_url` stands for.
fn callback(app: &App) -> Option<Webhook> {
    let url = app.settings.erasure_callback_url.clone()?;
    let types = [CALLBACK_TYPE.to_owned()].into();
    Some(Webhook {
        webhook: callback_id(&app.id),
        app: app.id.clone(),
        registered_position: 0,
        registered_at: DateTime::UNIX_EPOCH,
        endpoint: Endpoint { url, types, format: Format::V1, description: None },
        key: 0,
        previous_until: None,
        enabled: true,
        cause: None,
        failing_since: None,
    })
}

/// Its id.
fn callback_id(app: &AppId) -> WebhookId {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, format!("erasure callback of {app}").as_bytes());
    WebhookId(Uuid::from_slice(digest.as_ref().get(..16).unwrap_or_default()).unwrap_or_default())
}

/// The name of a recipient: the host that a URL names.
fn recipient(url: &str) -> String {
    let authority = url.split("://").nth(1).and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default().to_owned()
}

impl Webhooks {
    /// Sends nothing yet: see [`Webhooks::run`]. What is sent is made and sent on the threads of `runtime`.
    #[must_use]
    pub fn new(
        engine: Arc<Engine>,
        store: Arc<dyn Store>,
        notices: Arc<dyn ErasureNotices>,
        options: Options,
        runtime: Handle,
    ) -> Self {
        Self {
            engine,
            store,
            notices,
            client: Client::new(options.allowed.clone()),
            trusting_client: Client::new(Allowed::everything()),
            options,
            turns: Turns::new(TURNS),
            presence_turns: Turns::new(PRESENCE_TURNS),
            test_turns: Turns::new(TEST_TURNS),
            runtime,
            changed: Notify::new(),
            keys: Arc::default(),
            changes: AtomicU64::new(0),
            cursors: Mutex::default(),
        }
    }

    /// Where nothing may be sent to.
    #[must_use]
    pub fn allowed(&self) -> &Allowed {
        &self.options.allowed
    }

    /// To be told after a webhook was changed: then it need not be waited for.
    pub fn look(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
        self.changed.notify_one();
    }

    /// Sends until `stop`, while this node leads. What was on its way then is sent once more later.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut lanes: HashMap<WebhookId, (Webhook, CancellationToken)> = HashMap::new();
        let mut tasks: JoinSet<WebhookId> = JoinSet::new();
        let mut ids = HashMap::new();
        while !stop.is_cancelled() {
            let wanted = match self.engine.leads() && self.notices.is_ready() {
                true => self.wanted().await,
                false => Ok(HashMap::new()),
            };
            match wanted {
                Ok(wanted) => {
                    for (id, (webhook, lane_stop)) in &lanes {
                        if !wanted.get(id).is_some_and(|wanted| is_same(wanted, webhook)) {
                            lane_stop.cancel();
                        }
                    }
                    for (id, webhook) in wanted {
                        lanes.entry(id).or_insert_with(|| {
                            let lane_stop = stop.child_token();
                            let sending =
                                sender::run(self.clone(), webhook.clone(), lane_stop.clone()).in_current_span().boxed();
                            ids.insert(tasks.spawn_on(sending, &self.runtime).id(), id);
                            (webhook, lane_stop)
                        });
                    }
                }
                Err(error) => tracing::warn!(%error, "it is not known which webhooks there are; those that run go on"),
            }
            tokio::select! {
                Some(ended) = tasks.join_next_with_id() => {
                    let id = match ended {
                        Ok((id, _)) => id,
                        Err(error) => {
                            tracing::error!(%error, "a webhook was not sent any further; it is begun again");
                            error.id()
                        }
                    };
                    if let Some(webhook) = ids.remove(&id) {
                        self.cursors().remove(&webhook);
                        if let Some((webhook, _)) = lanes.remove(&webhook) {
                            self.clean_up(&webhook).await;
                        }
                    }
                }
                () = tokio::time::sleep(EVERY) => {}
                () = self.changed.notified() => {}
                () = stop.cancelled() => {}
            }
        }
        lanes.values().for_each(|(_, lane_stop)| lane_stop.cancel());
        while tasks.join_next().await.is_some() {}
    }

    /// Tells webhooks in the platform's shapes who connects to this node and disconnects from it, from this call on until
    /// `stop`. Nothing of it is stored.
    pub fn tell_presence(self: Arc<Self>, stop: CancellationToken) -> impl Future<Output = ()> + Send + use<> {
        let notices = self.engine.connection_notices().follow();
        presence::run(self, notices, stop)
    }

    /// Signs and sends; the inner error: it was not acknowledged. Whoever calls holds a permit.
    async fn post(&self, webhook: &Webhook, unsigned: Unsigned) -> Result<Result<u16, Failure>, engine::Error> {
        self.engine.vault().ready(&webhook.app).await?;
        let is_callback = webhook.webhook == callback_id(&webhook.app);
        let client = if is_callback { self.trusting_client.clone() } else { self.client.clone() };
        let (engine, keys, limit) = (self.engine.clone(), self.keys.clone(), self.exchange_max(webhook));
        let (webhook, span) = (webhook.clone(), traces::delivery(webhook.webhook.0));
        let sent = tasks::spawn_blocking_on(&self.runtime, move || {
            let mut request = unsigned.signed(&engine, &keys, &webhook)?;
            request.headers.extend(traces::traceparent(&span).map(|value| ("traceparent", value)));
            let posted = client.post(request, limit);
            let status = posted.as_ref().map_or_else(|failure| failure.status, |status| Some(*status));
            traces::delivered(&span, status, posted.is_ok());
            Ok::<_, engine::Error>(posted)
        });
        sent.await.map_err(|error| engine::Error::Unavailable(error.to_string()))?
    }

    /// The webhooks that something is sent to, and what stands in the place of one in an app's settings.
    async fn wanted(&self) -> Result<HashMap<WebhookId, Webhook>, engine::Error> {
        let (mut wanted, mut after) = (HashMap::new(), WebhookId(Uuid::nil()));
        loop {
            let page = rollcall_projections::webhooks::enabled_after(self.engine.read(), after, PAGE).await?;
            let Some(last) = page.last() else { break };
            after = last.webhook;
            wanted.extend(page.into_iter().map(|webhook| (webhook.webhook, webhook)));
        }
        for app in self.engine.apps() {
            wanted.extend(callback(&app).map(|webhook| (webhook.webhook, webhook)));
        }
        Ok(wanted)
    }

    /// What a webhook is by now; `None`: nothing is sent to it any more.
    async fn current(&self, webhook: &Webhook) -> Result<Option<Webhook>, engine::Error> {
        if webhook.webhook == callback_id(&webhook.app) {
            return Ok(self.engine.app(webhook.app.as_str()).and_then(|app| callback(&app)));
        }
        let row = rollcall_projections::webhooks::by_id(self.engine.read(), &webhook.app, webhook.webhook).await?;
        Ok(row.filter(|row| row.enabled))
    }

    /// Deletes what is stored of a webhook that is no more.
    async fn clean_up(&self, webhook: &Webhook) {
        if webhook.webhook == callback_id(&webhook.app) {
            return;
        }
        let row = rollcall_projections::webhooks::by_id(self.engine.read(), &webhook.app, webhook.webhook).await;
        if matches!(row, Ok(None)) {
            self.forget(webhook.webhook).await;
        }
    }

    /// Deletes what is stored of a webhook that was removed; what is left where that fails is never read again.
    pub async fn forget(&self, webhook: WebhookId) {
        self.keys.forget(webhook);
        if let Err(error) = self.store.remove(webhook).await {
            tracing::warn!(%webhook, %error, "what is stored of a webhook that was removed could not be deleted");
        }
    }

    fn cursors(&self) -> std::sync::MutexGuard<'_, HashMap<WebhookId, u64>> {
        // The map is whole after every statement: a panic elsewhere does not make it wrong.
        self.cursors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far a webhook is.
    ///
    /// # Errors
    /// The store or the log is unavailable.
    pub async fn lag(&self, webhook: &Webhook) -> Result<Lag, Error> {
        // Before the rows are counted: everything up to it is delivered or has a row by then.
        let sent_here = self.cursors().get(&webhook.webhook).copied();
        let position = match sent_here {
            Some(position) => position,
            None => self.store.cursor(webhook.webhook).await?.unwrap_or(webhook.registered_position),
        };
        let (events, age) = self.behind(position).await?;
        let waiting = self.store.count(webhook.webhook, State::Waiting).await?
            + self.store.count(webhook.webhook, State::Replay).await?;
        Ok(Lag { position, events, age, waiting, dead: self.store.count(webhook.webhook, State::Dead).await? })
    }

    async fn behind(&self, position: u64) -> Result<(u64, Duration), Error> {
        let events = self.engine.log().head().saturating_sub(position);
        if events == 0 {
            return Ok((0, Duration::ZERO));
        }
        let first = self.engine.log().read_all(position, 1).await.map_err(engine::Error::from)?;
        let age = first.first().map(|first| (self.engine.now() - first.recorded_at).to_std().unwrap_or_default());
        Ok((events, age.unwrap_or_default()))
    }

    /// How far behind each webhook is that is sent from this node: events, and the age of the first of them.
    pub async fn lags(&self) -> Vec<(WebhookId, u64, Duration)> {
        let cursors: Vec<(WebhookId, u64)> = self.cursors().iter().map(|(id, position)| (*id, *position)).collect();
        let mut lags = Vec::with_capacity(cursors.len());
        for (id, position) in cursors {
            if let Ok((events, age)) = self.behind(position).await {
                lags.push((id, events, age));
            }
        }
        lags
    }

    /// The rows of a webhook in a state (`None`: in any), behind a position, in order.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn deliveries(
        &self,
        webhook: WebhookId,
        state: Option<State>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<store::Delivery>, Error> {
        Ok(self.store.rows(webhook, state, after, limit).await?)
    }

    /// Sends a made-up event to a webhook, once; answers the status and how long it took.
    ///
    /// # Errors
    /// The inner one: the receiver did not acknowledge it. The outer one: it could not be sent.
    pub async fn test(self: &Arc<Self>, webhook: Webhook) -> Result<Result<(u16, Duration), Failure>, engine::Error> {
        let this = self.clone();
        let sent = tasks::spawn_on(&self.runtime, async move {
            let request = render::test(&this.engine, &webhook)?;
            let Some(_turn) = this.test_turns.take(&webhook.app).await else { return Err(engine::Error::Busy) };
            let begun = Instant::now();
            let posted = this.post(&webhook, request).await?;
            Ok(posted.map(|status| (status, begun.elapsed())))
        });
        sent.await.map_err(|error| engine::Error::Unavailable(error.to_string()))?
    }

    /// How long an exchange may take: with the platform's shapes as long as the platform waits.
    fn exchange_max(&self, webhook: &Webhook) -> Duration {
        const PLATFORM: Duration = Duration::from_secs(5);
        match webhook.endpoint.format {
            Format::Standard => self.options.exchange_max,
            Format::V1 | Format::V4 => self.options.exchange_max.min(PLATFORM),
        }
    }

    fn schedule(&self, format: Format) -> Schedule {
        let first: &[Duration] = if format == Format::Standard { &[] } else { &PLATFORM_WAITS };
        Schedule::new(first.iter().chain(&self.options.waits).copied().collect())
    }
}

/// What is told at the callback of an app's settings.
const CALLBACK_TYPE: &str = "rollcall.erasure.finalised.v1";

/// Whether the same is sent to the same place.
fn is_same(a: &Webhook, b: &Webhook) -> bool {
    (&a.endpoint, a.key, a.previous_until) == (&b.endpoint, b.key, b.previous_until)
}

/// The patterns of a webhook's types.
fn patterns(endpoint: &Endpoint) -> Vec<TypePattern> {
    endpoint.types.iter().filter_map(|pattern| TypePattern::of_webhook(pattern).ok()).collect()
}
