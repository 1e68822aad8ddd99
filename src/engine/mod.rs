//! The application layer: commands in, durable events out, questions answered from read models.
//!
//! A command is resolved (userId to subject), submitted to the decider loop through a bounded queue, decided against
//! states in memory, sealed, appended with its batch, and only then acknowledged. The faces know this module; this
//! module knows the ports.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rollcall_projections::store::ReadStore;
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::stream::Stream;
use tokio::sync::{Notify, mpsc, watch};
use uuid::Uuid;

use crate::domain::values::UserId;
use crate::domain::{Reply, State};
use crate::eventlog::EventLog;
use crate::metrics::Metrics;
use crate::privacy::{Tag, Vault};

pub mod admission;
pub mod api_keys;
pub mod apps;
pub mod beside;
mod brake;
mod cache;
mod cleared;
pub mod client_platform;
pub mod clock;
mod committer;
mod complete;
pub mod connection_notices;
mod decider;
mod directory;
mod error;
mod execute;
pub mod expiry;
mod freshness;
pub mod graph;
mod handed_over;
mod in_flight;
pub mod issued_tokens;
pub mod journal;
mod leadership;
mod load;
mod memory;
mod metered;
mod nodes;
pub mod opening;
pub mod operating;
pub mod operations;
pub mod outgoing;
pub mod parked;
mod positions;
pub mod projector;
pub mod reads;
pub mod rebuild;
mod rebuild_beside;
pub mod rebuild_live;
mod rebuild_notes;
pub mod rebuilds;
mod resolve;
mod restricted;
pub mod rotation;
pub mod search;
pub mod secrets;
mod snapshots;
pub mod standing;
pub mod start;
pub mod tokens;
pub mod turns;
mod unique_ids;

pub use apps::App;
pub use decider::Limits;
pub use error::{BrokenLog, Error};
pub(crate) use execute::typed;

use apps::Apps;
use brake::Brake;
use cleared::Cleared;
use clock::Clock;
use connection_notices::ConnectionNotices;
use decider::Submitted;
use directory::Directory;
use graph::Graph;
use in_flight::InFlight;
use nodes::Nodes;
use projector::FlushHint;
use rebuilds::Rebuilds;
use restricted::Restricted;
use standing::Standings;

/// Most commands waiting for the decider loop; more are answered busy.
pub const QUEUE_MAX: usize = 8_192;
/// How long a query waits for the read models to hold what was acknowledged.
const BEHIND_AFTER: Duration = Duration::from_secs(3);

/// What makes a retry harmless.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    /// The key, as the caller chose it.
    pub key: String,
    /// Operation and content of the call: another content under the same key is refused.
    pub content: Vec<u8>,
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The tenant.
    pub app: AppId,
    /// Who acts.
    pub actor: Actor,
    /// The request.
    pub correlation: Uuid,
    /// What makes a retry harmless, where the caller gave it.
    pub idempotency: Option<IdempotencyKey>,
    /// Whether the bulk brake of erasures does not hold for this call.
    pub overrides_brake: bool,
}

impl Caller {
    /// The service itself or its operator, for an app.
    #[must_use]
    pub fn internal(app: AppId, actor: Actor) -> Self {
        Self { app, actor, correlation: Uuid::new_v4(), idempotency: None, overrides_brake: false }
    }
}

/// What a command came to.
#[derive(Debug)]
pub struct Done<R = Reply> {
    /// What it is answered.
    pub reply: R,
    /// The log holds it at this position; 0 when the answer was kept from an earlier call.
    pub position: u64,
}

/// The service without its faces.
pub struct Engine {
    log: Arc<dyn EventLog>,
    vault: Arc<dyn Vault>,
    read: Arc<ReadStore>,
    directory: Arc<Directory>,
    apps: Arc<Apps>,
    clock: Arc<Clock>,
    commands: mpsc::Sender<Option<Submitted>>,
    in_flight: Arc<InFlight>,
    lag_max: u64,
    applied: watch::Receiver<u64>,
    flush_hint: Arc<FlushHint>,
    running: Arc<Mutex<HashSet<[u8; 32]>>>,
    erasures: Arc<Notify>,
    ready: Arc<AtomicBool>,
    brake: Brake,
    restricted: Arc<Restricted>,
    standings: Arc<Standings>,
    cleared: Arc<Cleared>,
    search: search::Search,
    nodes: Nodes,
    metrics: Arc<Metrics>,
    kept_beside: Vec<Arc<dyn beside::KeptBeside>>,
    graph: Graph,
    connection_notices: ConnectionNotices,
    rebuilds: Rebuilds,
}

impl Engine {
    /// The application with that key.
    #[must_use]
    pub fn app(&self, key: &str) -> Option<Arc<App>> {
        self.apps.get(key)
    }

    /// Every application, by key.
    #[must_use]
    pub fn apps(&self) -> Vec<Arc<App>> {
        self.apps.all()
    }

    /// Reads the applications again, after one was changed.
    ///
    /// # Errors
    /// The read models or the vault are unavailable.
    pub async fn reload_apps(&self) -> Result<(), Error> {
        self.apps.reload(&self.read, self.vault.as_ref()).await
    }

    /// The read models, for their query functions.
    #[must_use]
    pub fn read(&self) -> &ReadStore {
        &self.read
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &Arc<dyn EventLog> {
        &self.log
    }

    /// Who connects to this node and disconnects from it.
    #[must_use]
    pub fn connection_notices(&self) -> &ConnectionNotices {
        &self.connection_notices
    }

    /// The vault.
    #[must_use]
    pub fn vault(&self) -> &Arc<dyn Vault> {
        &self.vault
    }

    /// Follows how far the read models have applied the log.
    #[must_use]
    pub fn watch_applied(&self) -> watch::Receiver<u64> {
        self.applied.clone()
    }

    /// What tells the time.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Whether the log can be followed and the read models had caught up.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire) && self.log.broken().is_none()
    }

    /// Why the log must not be used any more; `None`: it may.
    #[must_use]
    pub fn broken_log(&self) -> Option<BrokenLog> {
        self.log.broken().as_ref().and_then(BrokenLog::of)
    }

    /// Refuses whatever needs a log that is broken.
    fn check_log(&self) -> Result<(), Error> {
        self.broken_log().map_or(Ok(()), |broken| Err(broken.into()))
    }

    /// What a caller is told: that the log is broken, where it broke meanwhile and nothing was recorded.
    fn or_broken(&self, error: Error) -> Error {
        match error {
            Error::Unavailable(_) | Error::Busy | Error::Behind => self.broken_log().map_or(error, Error::LogBroken),
            error => error,
        }
    }

    /// Whether this node does what one node does for all: whoever applies events also ends bans, erases and rotates keys.
    /// Nobody does on a log that is broken.
    #[must_use]
    pub fn leads(&self) -> bool {
        self.nodes.leadership.is_leader() && self.log.broken().is_none()
    }

    /// Told whenever an erasure may have something to do.
    #[must_use]
    pub fn erasures(&self) -> Arc<Notify> {
        self.erasures.clone()
    }

    /// The subject of a userId that was used and not forgotten.
    ///
    /// # Errors
    /// The vault or the read models are unavailable.
    pub async fn find(&self, app: &AppId, user_id: &UserId) -> Result<Option<SubjectRef>, Error> {
        Ok(self.directory.find(&self.read, app, user_id, false).await?.map(|found| found.subject))
    }

    /// All subjects of a userId, that which it names first; a log has several only where appends that were taken for lost were
    /// recorded nevertheless. Empty: it was never used, or forgotten.
    ///
    /// # Errors
    /// The vault or the read models are unavailable.
    pub async fn find_every(&self, app: &AppId, user_id: &UserId) -> Result<Vec<SubjectRef>, Error> {
        let Some(named) = self.find(app, user_id).await? else { return Ok(vec![]) };
        let tags = [self.tag(app, user_id)?];
        let all = rollcall_projections::user_directory::all_subjects_of(&self.read, app, &tags).await?;
        let further = all.into_iter().flatten().filter(|subject| *subject != named);
        Ok(std::iter::once(named).chain(further).collect())
    }

    /// The subjects of userIds, in their order; `None`: the userId was never used, or forgotten. Asks the read models once,
    /// for what they hold: wait for [`Engine::caught_up`] first.
    ///
    /// # Errors
    /// The vault or the read models are unavailable.
    pub async fn find_all(&self, app: &AppId, user_ids: &[UserId]) -> Result<Vec<Option<SubjectRef>>, Error> {
        let tags: Vec<Tag> = user_ids.iter().map(|user_id| self.tag(app, user_id)).collect::<Result<_, _>>()?;
        Ok(rollcall_projections::user_directory::subjects_of(&self.read, app, &tags).await?)
    }

    /// Whether a legal hold keeps a subject's data.
    ///
    /// # Errors
    /// The log is unavailable.
    pub async fn is_held(&self, subject: SubjectRef) -> Result<bool, Error> {
        let loaded = load::streams(self.log.as_ref(), &[Stream::User(subject)]).await?;
        Ok(loaded.iter().any(|loaded| matches!(&loaded.state, State::User(user) if user.held)))
    }

    /// The directory tag of a userId.
    ///
    /// # Errors
    /// The vault is unavailable.
    pub fn tag(&self, app: &AppId, user_id: &UserId) -> Result<Tag, Error> {
        Ok(self.vault.tag(app, user_id.as_str())?)
    }
}
