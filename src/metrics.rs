//! What a running node counts and times, for `/metrics` (OpenMetrics 1.0). Each name is explained in `docs/metrics.md`.
//!
//! No label holds what a caller chose: no app, no user, no path that is not one of ours; a webhook is named by an id that
//! the service has made. So the number of series is bounded,
//! and nothing of a person is in them.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use rollcall_projections::Query;

/// An answer over HTTP.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    face: &'static str,
    status: u16,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Endpoint {
    face: &'static str,
    route: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommandName {
    command: &'static str,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommandEnd {
    command: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeKind {
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ErasureStep {
    step: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Broken {
    reason: &'static str,
}

/// Why a connection of a client was closed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ClosedWith {
    code: u16,
}

/// A webhook; an app has at most 20.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfWebhook {
    webhook: String,
}

/// A query of a read model. There are as many as are declared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueryName {
    read_model: &'static str,
    query: &'static str,
}

const FAILED: &str = "failed";
const AMBIGUOUS: &str = "ambiguous";

/// 0.5 ms to 16 s.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 16))
}

/// 1 to 16,384.
fn sizes() -> Histogram {
    Histogram::new(exponential_buckets(1.0, 4.0, 8))
}

/// How long flushes of the log's file take. One for the process: the log is opened before the engine that counts whatever else
/// there is.
static FLUSHES: LazyLock<Histogram> = LazyLock::new(seconds);

/// Counts a transaction that was written to the log's file and flushed to its disk.
pub(crate) fn flushed(since: Instant) {
    FLUSHES.observe(since.elapsed().as_secs_f64());
}

/// 20 µs to 1.3 s: a query of a file takes microseconds, and each name has buckets of its own, so that they are few.
fn query_seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.00002, 4.0, 9))
}

type QueryTimes = Family<QueryName, Histogram, fn() -> Histogram>;

/// How long queries take. One for the process, like the flushes: the read models are opened before the engine.
static QUERIES: LazyLock<QueryTimes> = LazyLock::new(|| Family::new_with_constructor(query_seconds));

/// Counts a query of the read models; one that is of none is not counted.
pub(crate) fn queried(query: &Query, took: Duration) {
    let (read_model, query) = query.place();
    if !read_model.is_empty() {
        QUERIES.get_or_create(&QueryName { read_model, query }).observe(took.as_secs_f64());
    }
}

/// Erasures that stand at the same step.
#[derive(Debug, Clone, Copy)]
pub struct OpenErasures {
    /// The last step that was recorded.
    pub step: &'static str,
    /// How many there are.
    pub count: u64,
    /// How long ago the first of them was requested.
    pub oldest: Duration,
}

/// What is looked at when the metrics are asked for; the rest is counted as it happens.
#[derive(Debug, Default)]
pub struct Sampled {
    /// Whether the node should be given requests.
    pub ready: bool,
    /// Whether this node applies events to the read models.
    pub leads: bool,
    /// Why the log must not be used any more, as a stable code.
    pub log_broken: Option<&'static str>,
    /// Commands that wait for their decision.
    pub queued: u64,
    /// Position of the last durable event.
    pub head: u64,
    /// Up to where every read model has applied the log.
    pub applied: u64,
    /// How long ago the first event was recorded that is not applied; `None`: the log does not tell.
    pub lag: Option<Duration>,
    /// Streams that a read model leaves out.
    pub parked: u64,
    /// Clients that are connected to this node.
    pub clients: u64,
    /// Nodes that hold a lease, this one included; `None`: the store does not answer.
    pub nodes: Option<u64>,
    /// Looks at the past that wait for a thread.
    pub waiting_replays: u64,
    /// Users that are kept in memory for searches.
    pub search_users: u64,
    /// Erasures that have not ended.
    pub erasures: Vec<OpenErasures>,
    /// Webhooks that are sent from this node.
    pub webhooks: Vec<WebhookLag>,
}

rollcall_schemas::words! {
    /// How an attempt at a delivery to a webhook ended.
    Delivered {
        /// The receiver acknowledged it.
        Acknowledged = "acknowledged",
        /// It did not, and it is tried again.
        Failed = "failed",
        /// It did not, and it is not tried again.
        GivenUp = "given_up",
    }
}

/// How far behind a webhook is.
#[derive(Debug, Clone, Copy)]
pub struct WebhookLag {
    /// Which: an id that the service has made.
    pub webhook: uuid::Uuid,
    /// Events of the log that it was not told.
    pub events: u64,
    /// How old the first of them is.
    pub age: Duration,
}

/// Gauges that are set when the metrics are asked for.
#[derive(Default)]
struct Gauges {
    ready: Gauge,
    leads: Gauge,
    log_broken: Family<Broken, Gauge>,
    queued: Gauge,
    head: Gauge,
    applied: Gauge,
    lag_events: Gauge,
    lag: Gauge<f64, std::sync::atomic::AtomicU64>,
    parked: Gauge,
    clients: Gauge,
    nodes: Gauge<f64, std::sync::atomic::AtomicU64>,
    waiting_replays: Gauge,
    search_users: Gauge,
    erasures: Family<ErasureStep, Gauge>,
    oldest_erasure: Family<ErasureStep, Gauge<f64, std::sync::atomic::AtomicU64>>,
    webhook_lag_events: Family<OfWebhook, Gauge>,
    webhook_lag: Family<OfWebhook, Gauge<f64, std::sync::atomic::AtomicU64>>,
}

/// The metrics of one node.
pub struct Metrics {
    registry: Registry,
    answers: Family<Answered, Counter>,
    answered_in: Family<Endpoint, Histogram, fn() -> Histogram>,
    commands: Family<CommandEnd, Counter>,
    commands_took: Family<CommandName, Histogram, fn() -> Histogram>,
    conflicts: Counter,
    appends_took: Histogram,
    append_sizes: Histogram,
    failed_appends: Family<OutcomeKind, Counter>,
    deliveries: Family<OutcomeKind, Counter>,
    presence_drops: Counter,
    client_closes: Family<ClosedWith, Counter>,
    batches_took: Histogram,
    batch_sizes: Histogram,
    apply_waits: Counter,
    gauges: Gauges,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("rollcall"),
            answers: Family::default(),
            answered_in: Family::new_with_constructor(seconds),
            commands: Family::default(),
            commands_took: Family::new_with_constructor(seconds),
            conflicts: Counter::default(),
            appends_took: seconds(),
            append_sizes: sizes(),
            failed_appends: Family::default(),
            deliveries: Family::default(),
            presence_drops: Counter::default(),
            client_closes: Family::default(),
            batches_took: seconds(),
            batch_sizes: sizes(),
            apply_waits: Counter::default(),
            gauges: Gauges::default(),
        };
        metrics.register();
        // So that the first failure is a step up from zero, which a rate sees.
        for outcome in [FAILED, AMBIGUOUS] {
            drop(metrics.failed_appends.get_or_create(&OutcomeKind { outcome }));
        }
        for outcome in Delivered::ALL {
            drop(metrics.deliveries.get_or_create(&OutcomeKind { outcome: outcome.as_str() }));
        }
        metrics
    }
}

impl Metrics {
    fn register(&mut self) {
        let registry = &mut self.registry;
        registry.register("build", "The program", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        registry.register("http_requests", "Answers over HTTP", self.answers.clone());
        registry.register_with_unit(
            "http_request_duration",
            "From the head of a request to its answer, by endpoint",
            Unit::Seconds,
            self.answered_in.clone(),
        );
        registry.register("commands", "Commands that ended, by how", self.commands.clone());
        registry.register_with_unit(
            "command_duration",
            "From the call of a command to its end; where it succeeded, its events are durable",
            Unit::Seconds,
            self.commands_took.clone(),
        );
        registry.register("conflicts", "Decisions that were made again on newer states", self.conflicts.clone());
        registry.register_with_unit(
            "append_duration",
            "One append to the log, made durable",
            Unit::Seconds,
            self.appends_took.clone(),
        );
        registry.register_with_unit(
            "flush_duration",
            "One transaction of the log's file, flushed to its disk",
            Unit::Seconds,
            FLUSHES.clone(),
        );
        registry.register_with_unit(
            "query_duration",
            "One query of a read model, with the wait for a connection",
            Unit::Seconds,
            QUERIES.clone(),
        );
        registry.register("append_commands", "Commands of one append", self.append_sizes.clone());
        registry.register("append_failures", "Appends that failed or are in doubt", self.failed_appends.clone());
        registry.register("client_closes", "Connections of clients that this node closed", self.client_closes.clone());
        registry.register("webhook_deliveries", "Attempts at deliveries to webhooks, by how", self.deliveries.clone());
        registry.register(
            "webhook_presence_dropped",
            "Changes of presence that were dropped before they were sent to a webhook",
            self.presence_drops.clone(),
        );
        registry.register_with_unit(
            "apply_duration",
            "One transaction of events into the read models",
            Unit::Seconds,
            self.batches_took.clone(),
        );
        registry.register("apply_events", "Events of one such transaction", self.batch_sizes.clone());
        registry.register(
            "apply_waits",
            "Calls that waited for the read models, which then apply at once what they have",
            self.apply_waits.clone(),
        );
        self.gauges.register(registry);
    }

    /// Counts an answer over HTTP. `route` is a name of ours, or `none`.
    pub fn answered(&self, face: &'static str, route: &'static str, status: u16, took: Duration) {
        self.answers.get_or_create(&Answered { face, status }).inc();
        self.answered_in.get_or_create(&Endpoint { face, route }).observe(took.as_secs_f64());
    }

    /// Counts a command that ended.
    pub fn command(&self, command: &'static str, outcome: &'static str, took: Duration) {
        self.commands.get_or_create(&CommandEnd { command, outcome }).inc();
        self.commands_took.get_or_create(&CommandName { command }).observe(took.as_secs_f64());
    }

    /// Counts a decision that is made again.
    pub fn conflict(&self) {
        self.conflicts.inc();
    }

    /// Counts an append that the log has kept.
    pub fn appended(&self, commands: usize, since: Instant) {
        self.appends_took.observe(since.elapsed().as_secs_f64());
        self.append_sizes.observe(as_f64(commands));
    }

    /// Counts an append of which nothing was kept, or of which that is not known.
    pub fn append_failed(&self, is_ambiguous: bool) {
        let outcome = if is_ambiguous { AMBIGUOUS } else { FAILED };
        self.failed_appends.get_or_create(&OutcomeKind { outcome }).inc();
    }

    /// Counts an attempt at a delivery to a webhook.
    pub fn delivered(&self, outcome: Delivered) {
        self.deliveries.get_or_create(&OutcomeKind { outcome: outcome.as_str() }).inc();
    }

    /// Counts changes of presence that are dropped before they are sent, because too many wait.
    pub fn presence_dropped(&self, count: u64) {
        self.presence_drops.inc_by(count);
    }

    /// Begins to count the connections that this node closes with a code, so that the first one is a step up from zero.
    pub fn counts_closes_with(&self, code: u16) {
        drop(self.client_closes.get_or_create(&ClosedWith { code }));
    }

    /// Counts a connection of a client that this node closes, by the code of its close frame.
    pub fn client_closed(&self, code: u16) {
        self.client_closes.get_or_create(&ClosedWith { code }).inc();
    }

    /// Counts a transaction of events into the read models.
    pub fn applied(&self, events: usize, since: Instant) {
        self.batches_took.observe(since.elapsed().as_secs_f64());
        self.batch_sizes.observe(as_f64(events));
    }

    /// Counts a call that waits for the read models.
    pub fn waits_for_read_models(&self) {
        self.apply_waits.inc();
    }

    /// Everything, in the text format of OpenMetrics 1.0.
    ///
    /// # Errors
    /// Never, as the text is made in memory.
    pub fn text(&self, sampled: &Sampled) -> Result<String, std::fmt::Error> {
        self.gauges.set(sampled);
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

impl Gauges {
    fn register(&self, registry: &mut Registry) {
        registry.register("ready", "Whether the node should be given requests", self.ready.clone());
        registry.register("leader", "Whether this node applies events to the read models", self.leads.clone());
        registry.register("log_broken", "Whether the log must not be used any more", self.log_broken.clone());
        registry.register("queued_commands", "Commands that wait for their decision", self.queued.clone());
        registry.register("log_position", "Position of the last durable event", self.head.clone());
        registry.register("applied_position", "Up to where every read model is", self.applied.clone());
        registry.register("lag_events", "Events that are not in every read model yet", self.lag_events.clone());
        registry.register_with_unit(
            "lag",
            "Age of the first event that is not in every read model",
            Unit::Seconds,
            self.lag.clone(),
        );
        registry.register("client_connections", "Clients that are connected to this node", self.clients.clone());
        registry.register("nodes", "Nodes that hold a lease, this one included", self.nodes.clone());
        registry.register("waiting_replays", "Looks at the past that wait for a thread", self.waiting_replays.clone());
        registry.register("search_users", "Users that are kept in memory for searches", self.search_users.clone());
        registry.register("parked_streams", "Streams that a read model leaves out", self.parked.clone());
        registry.register("open_erasures", "Erasures that have not ended, by their last step", self.erasures.clone());
        registry.register_with_unit(
            "oldest_open_erasure",
            "Time since the first of them was requested",
            Unit::Seconds,
            self.oldest_erasure.clone(),
        );
        registry.register(
            "webhook_lag_events",
            "Events of the log that a webhook was not told, those of no concern to it included",
            self.webhook_lag_events.clone(),
        );
        registry.register_with_unit(
            "webhook_lag",
            "Age of the first event that a webhook was not told",
            Unit::Seconds,
            self.webhook_lag.clone(),
        );
    }

    fn set(&self, sampled: &Sampled) {
        self.ready.set(sampled.ready.into());
        self.leads.set(sampled.leads.into());
        let lag = sampled.head.saturating_sub(sampled.applied);
        let numbers = [
            (&self.queued, sampled.queued),
            (&self.head, sampled.head),
            (&self.applied, sampled.applied),
            (&self.lag_events, lag),
            (&self.parked, sampled.parked),
            (&self.clients, sampled.clients),
            (&self.waiting_replays, sampled.waiting_replays),
            (&self.search_users, sampled.search_users),
        ];
        for (gauge, number) in numbers {
            gauge.set(as_gauge(number));
        }
        self.lag.set(sampled.lag.map_or(f64::NAN, |lag| lag.as_secs_f64()));
        self.nodes.set(sampled.nodes.map_or(f64::NAN, |nodes| as_f64(usize::try_from(nodes).unwrap_or(usize::MAX))));
        self.log_broken.clear();
        let reason = sampled.log_broken.unwrap_or("none");
        self.log_broken.get_or_create(&Broken { reason }).set(sampled.log_broken.is_some().into());
        // A step at which no erasure stands any more is not told with an old number.
        self.erasures.clear();
        self.oldest_erasure.clear();
        for OpenErasures { step, count, oldest } in &sampled.erasures {
            self.erasures.get_or_create(&ErasureStep { step }).set(as_gauge(*count));
            self.oldest_erasure.get_or_create(&ErasureStep { step }).set(oldest.as_secs_f64());
        }
        self.webhook_lag_events.clear();
        self.webhook_lag.clear();
        if sampled.webhooks.is_empty() {
            let label = OfWebhook { webhook: "none".into() };
            self.webhook_lag_events.get_or_create(&label).set(0);
            self.webhook_lag.get_or_create(&label).set(0.0);
        }
        for WebhookLag { webhook, events, age } in &sampled.webhooks {
            let label = OfWebhook { webhook: webhook.to_string() };
            self.webhook_lag_events.get_or_create(&label).set(as_gauge(*events));
            self.webhook_lag.get_or_create(&label).set(age.as_secs_f64());
        }
    }
}

fn as_gauge(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number of things that are in memory, which a float tells exactly.
fn as_f64(number: usize) -> f64 {
    u32::try_from(number).unwrap_or(u32::MAX).into()
}
