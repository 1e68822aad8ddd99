//! What a node keeps in memory of the read models: it follows the log as far as they have applied it, whoever did.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rollcall_projections::store::ReadStore;
use rollcall_schemas::ids::AppId;
use rollcall_schemas::stream::Stream;
use rollcall_schemas::{Event, user};
use tokio::sync::Notify;

use super::apps::Apps;
use super::cleared::Cleared;
use super::directory::Directory;
use super::journal;
use super::nodes::ForeignAppends;
use super::restricted::Restricted;
use super::standing::Standings;
use crate::eventlog::{self, EventLog};
use crate::privacy::Vault;

/// Most events looked at together.
const BATCH_MAX: usize = 10_000;

/// Why memory cannot follow the log for now.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log.
    #[error(transparent)]
    Log(#[from] eventlog::Error),
    /// The apps cannot be read.
    #[error(transparent)]
    Apps(super::Error),
}

/// What is read to follow the log.
pub(super) struct Sources<'s> {
    pub(super) log: &'s dyn EventLog,
    pub(super) read: &'s ReadStore,
    pub(super) vault: &'s dyn Vault,
    /// Told of subjects that were forgotten.
    pub(super) directory: &'s Directory,
}

/// What is kept, and how far it is.
#[derive(Default)]
pub(super) struct Memory {
    pub(super) restricted: Arc<Restricted>,
    pub(super) standings: Arc<Standings>,
    pub(super) cleared: Arc<Cleared>,
    pub(super) apps: Arc<Apps>,
    /// Where other nodes append too, what they appended to.
    pub(super) foreign_appends: Option<Arc<ForeignAppends>>,
    /// Told of erasures that another node has taken.
    pub(super) erasures: Arc<Notify>,
    /// Apps that changed and have not been read again yet. Until they are, a secret or key that was retired is valid:
    /// they stay here until reading them has succeeded.
    pub(super) changed_apps: Mutex<BTreeSet<AppId>>,
    pub(super) followed: AtomicU64,
}

impl Memory {
    /// Everything up to there is in memory already.
    pub(super) fn loaded(&self, applied: u64) {
        self.followed.store(applied, Ordering::Release);
    }

    /// Follows the events up to a position that the read models have applied.
    pub(super) async fn follow(&self, sources: &Sources<'_>, applied: u64) -> Result<(), Error> {
        loop {
            let followed = self.followed.load(Ordering::Acquire);
            let left = usize::try_from(applied.saturating_sub(followed)).unwrap_or(usize::MAX);
            if left == 0 {
                break;
            }
            let events = sources.log.read_all(followed, left.min(BATCH_MAX)).await?;
            let Some(last) = events.last() else { break };
            for raw in &events {
                if raw.name == "user.forgotten"
                    && let Ok(recorded) = journal::decode(raw)
                    && let Event::User(user::Event::Forgotten(e)) = recorded.event
                {
                    sources.directory.gone(e.subject);
                }
                if let Some(foreign_appends) = &self.foreign_appends {
                    if let Ok(stream) = raw.stream.parse() {
                        foreign_appends.saw(stream, raw.revision);
                    }
                    if raw.name == "erasure.requested" {
                        self.erasures.notify_one();
                    }
                }
                self.standings.follow(raw);
                self.cleared.follow(raw);
                if raw.name.starts_with("app.")
                    && let Ok(Stream::App(app)) = raw.stream.parse()
                {
                    self.changed_apps().insert(app);
                }
                if Restricted::follows(&raw.name)
                    && let Ok(recorded) = journal::decode(raw)
                {
                    self.restricted.follow(&recorded.event);
                }
            }
            self.followed.store(last.position, Ordering::Release);
        }
        self.read_changed_apps(sources).await
    }

    fn changed_apps(&self) -> std::sync::MutexGuard<'_, BTreeSet<AppId>> {
        // The set is whole after every statement: a panic elsewhere does not make it wrong.
        self.changed_apps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn read_changed_apps(&self, sources: &Sources<'_>) -> Result<(), Error> {
        loop {
            let Some(app) = self.changed_apps().first().cloned() else { return Ok(()) };
            self.apps.refresh(sources.read, sources.vault, &app).await.map_err(Error::Apps)?;
            self.changed_apps().remove(&app);
        }
    }
}
