//! Keeps the read models up with the log: one thread, batches in log order, rows and checkpoints in one transaction.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rollcall_projections::store::{self, ReadStore};
use rollcall_projections::{Arrival, Entry, Poison, Projection};
use rollcall_schemas::Event;
use rollcall_schemas::envelope::Recorded;
use rollcall_schemas::ids::{EventId, SubjectRef};
use rollcall_schemas::personal::{Personal, Sealed};
use rollcall_schemas::user;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::directory::Directory;
use super::handed_over::HandedOver;
use super::journal;
use super::leadership::Leadership;
use super::memory::{self, Memory};
use super::unique_ids;
use crate::crash_point;
use crate::eventlog::{self, EventLog, RawEvent};
use crate::metrics::Metrics;
use crate::privacy::{self, Tag, Vault};
use crate::supervision;
use crate::tasks;
use crate::telemetry::traces;

/// Most events applied as one batch while following the log.
pub const LIVE_BATCH_MAX: usize = 1_000;
/// How long events gather while no query waits for them.
const GATHER: Duration = Duration::from_millis(8);
/// How long what another node applied stays unseen at most.
const FOLLOW_EVERY: Duration = Duration::from_millis(4);
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// Why the read models cannot go on for now.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The log.
    #[error(transparent)]
    Log(#[from] eventlog::Error),
    /// The read store.
    #[error(transparent)]
    Store(#[from] rollcall_projections::store::Error),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] privacy::Error),
    /// The apps cannot be read.
    #[error(transparent)]
    Apps(super::Error),
}

impl From<memory::Error> for Error {
    fn from(error: memory::Error) -> Self {
        match error {
            memory::Error::Log(error) => Self::Log(error),
            memory::Error::Apps(error) => Self::Apps(error),
        }
    }
}

/// What a projector works with.
pub struct Projector {
    /// Where events come from.
    pub log: Arc<dyn EventLog>,
    /// Where rows go.
    pub read: Arc<ReadStore>,
    /// Opens userIds for the directory.
    pub vault: Arc<dyn Vault>,
    /// Knows the tags of userIds that were just introduced.
    pub(super) directory: Arc<Directory>,
    /// Told how far every read model is.
    pub applied: watch::Sender<u64>,
    /// What every node keeps in memory of what was applied, by whichever node.
    pub(super) memory: Memory,
    /// Whether this node may apply.
    pub(super) leadership: Leadership,
    /// Who waits for the read models.
    pub(super) flush_hint: Arc<FlushHint>,
    /// What this node appended and need not be decoded.
    pub(super) handed_over: Arc<HandedOver>,
    pub(super) metrics: Arc<Metrics>,
}

/// Tells the projector that a query waits. While none does, it lets events gather for a moment: a transaction over
/// many events writes each page of the read models once.
#[derive(Default)]
pub(super) struct FlushHint {
    waiting: AtomicUsize,
    called: Notify,
}

/// A query that waits, until dropped.
pub(super) struct Waits<'h>(&'h FlushHint);

impl FlushHint {
    pub(super) fn wait(&self) -> Waits<'_> {
        self.waiting.fetch_add(1, Ordering::AcqRel);
        self.called.notify_one();
        Waits(self)
    }

    async fn gather(&self) {
        if self.waiting.load(Ordering::Acquire) == 0 {
            // Until somebody calls, or long enough.
            let _ = tokio::time::timeout(GATHER, self.called.notified()).await;
        }
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Projector {
    /// Follows the log until `stop`. What fails is tried again; only a corrupt log ends it, with the error.
    ///
    /// # Errors
    /// The log is corrupt.
    pub fn run(&self, runtime: &Handle, stop: &CancellationToken) -> Result<(), Error> {
        let mut head = self.log.watch();
        loop {
            match tasks::block_on(runtime, self.go_on()) {
                Ok(()) => {}
                Err(error @ Error::Log(eventlog::Error::Corrupt { .. })) => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "the read models cannot follow the log for now; trying again");
                    std::thread::sleep(RETRY_AFTER);
                    if stop.is_cancelled() {
                        return Ok(());
                    }
                    continue;
                }
            }
            let woken = tasks::block_on(runtime, async {
                let woken = tokio::select! {
                    changed = head.wait_for(|head| *head > *self.applied.borrow()) => changed.is_ok(),
                    () = stop.cancelled() => false,
                };
                match (woken, self.leadership.is_leader()) {
                    (true, true) => self.flush_hint.gather().await,
                    // Another node applies it; when, only its checkpoint says.
                    (true, false) => tokio::time::sleep(FOLLOW_EVERY).await,
                    (false, _) => {}
                }
                woken && !stop.is_cancelled()
            });
            if !woken {
                return Ok(());
            }
        }
    }

    /// Waits until the read models hold what the log held at the start, whoever applies it.
    pub(super) async fn catch_up_first(&self, leadership: &Leadership) -> Result<(), Error> {
        let head = self.log.head();
        loop {
            self.go_on().await?;
            if applied(&self.read) >= head {
                return Ok(());
            }
            tokio::time::sleep(RETRY_AFTER).await;
            leadership.renew(&self.read).await;
        }
    }

    /// Applies what the log holds, where it is this node's leadership; otherwise learns what another node applied.
    async fn go_on(&self) -> Result<(), Error> {
        if self.leadership.is_leader() {
            match self.catch_up().await {
                // Another node has the lease, or a read model that was built anew has just taken its place.
                Err(Error::Store(store::Error::Moved(_))) => self.leadership.renew(&self.read).await,
                done => return done,
            }
        }
        self.read.refresh().await?;
        self.announce(applied(&self.read)).await
    }

    /// Tells everybody on this node how far the read models are.
    async fn announce(&self, applied: u64) -> Result<(), Error> {
        let (log, read, vault) = (self.log.as_ref(), self.read.as_ref(), self.vault.as_ref());
        let sources = memory::Sources { log, read, vault, directory: self.directory.as_ref() };
        self.memory.follow(&sources, applied).await?;
        self.applied.send_replace(applied);
        self.directory.settle(applied);
        Ok(())
    }

    /// Applies what the log holds by now. What is appended meanwhile may gather for the next call.
    ///
    /// # Errors
    /// The log, the vault or the read store is unavailable; what was applied stays applied.
    async fn catch_up(&self) -> Result<(), Error> {
        let head = self.log.head();
        loop {
            let _batch = self.leadership.begin_batch();
            let applied = applied(&self.read);
            self.announce(applied).await?;
            if applied >= head {
                return Ok(());
            }
            let raw = self.log.read_all(applied, LIVE_BATCH_MAX).await?;
            if raw.is_empty() {
                return Ok(());
            }
            self.apply(&raw).await?;
        }
    }

    async fn apply(&self, raw: &[RawEvent]) -> Result<(), Error> {
        let since = Instant::now();
        let prepared = self.prepare(raw)?;
        let arrivals: Vec<_> = prepared.iter().map(Prepared::arrival).collect();
        crash_point::reach("project.before");
        supervision::reach("projector");
        self.read.apply(&arrivals, rollcall_projections::ALL).instrument(traces::apply(raw.len())).await?;
        crash_point::reach("project.applied");
        self.metrics.applied(raw.len(), since);
        Ok(())
    }

    /// Decodes events for the read models.
    ///
    /// # Errors
    /// The vault is unavailable.
    pub fn prepare(&self, raw: &[RawEvent]) -> Result<Vec<Prepared>, Error> {
        let decode = |raw| self.handed_over.take(raw).map_or_else(|| journal::decode(raw).map(Box::new), Ok);
        let decoded: Vec<_> = raw.iter().map(|raw| (raw, decode(raw))).collect();
        let findable = decoded.iter().filter_map(|(_, decoded)| decoded.as_deref().ok().and_then(findable));
        let sealed: Vec<_> =
            findable.filter(|found| self.known_tag(found).is_none()).map(|found| found.subject).collect();
        self.vault.fetch(&sealed)?;
        decoded
            .into_iter()
            .map(|(raw, decoded)| match decoded {
                Ok(recorded) => Ok(Prepared::Event { tag: self.tag(&recorded)?, recorded }),
                Err(error) => Ok(Prepared::poison(raw, &error)),
            })
            .collect()
    }

    /// The tag of a userId that was introduced a moment ago.
    fn known_tag(&self, found: &Findable<'_>) -> Option<Tag> {
        if found.by == By::UserId { self.directory.tag_of(found.subject) } else { None }
    }

    fn tag(&self, recorded: &Recorded<Event>) -> Result<Option<Tag>, Error> {
        let Some(found) = findable(recorded) else { return Ok(None) };
        if let Some(tag) = self.known_tag(&found) {
            return Ok(Some(tag));
        }
        let Some(sealed) = found.sealed else { return Ok(None) };
        let header = recorded.header(found.path, sealed.class, sealed.subject, sealed.epoch);
        match self.vault.open(&header, sealed) {
            Ok(opened) => {
                let text = serde_json::from_slice::<String>(&opened).map(zeroize::Zeroizing::new);
                // Another value, or none, finds nobody.
                let Some(text) = text.ok().filter(|text| !text.is_empty()) else { return Ok(None) };
                let app = &recorded.metadata.app;
                let tag = match found.by {
                    By::UserId => self.vault.tag(app, &text),
                    By::UniqueId => unique_ids::tag(self.vault.as_ref(), app, &text),
                };
                Ok(Some(tag?))
            }
            // Forgotten: nobody finds it any more.
            Err(privacy::Error::Erased) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// By what a user is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    UserId,
    UniqueId,
}

/// The value by which an event lets its user be found.
struct Findable<'e> {
    by: By,
    subject: SubjectRef,
    /// Where it stands in the event.
    path: &'static str,
    /// `None`: it was erased.
    sealed: Option<&'e Sealed>,
}

fn findable(recorded: &Recorded<Event>) -> Option<Findable<'_>> {
    fn sealed<T>(value: &Personal<T>) -> Option<&Sealed> {
        if let Personal::Sealed(sealed) = value { Some(sealed) } else { None }
    }
    let (by, subject, path, sealed) = match &recorded.event {
        Event::User(user::Event::Named(e)) => (By::UserId, e.subject, "user_id", sealed(&e.user_id)),
        Event::User(user::Event::Registered(e)) => (By::UserId, e.subject, "user_id", sealed(e.user_id.as_ref()?)),
        Event::User(user::Event::ProfileSet(e)) => {
            let (_, value) = e.fields.iter().find(|(field, _)| field.0 == rollcall_projections::unique_ids::FIELD)?;
            (By::UniqueId, e.subject, "fields.uniqueId", sealed(value))
        }
        _ => return None,
    };
    Some(Findable { by, subject, path, sealed })
}

/// How far every read model is.
#[must_use]
pub fn applied(read: &ReadStore) -> u64 {
    read.checkpoints().iter().map(|checkpoint| checkpoint.position).min().unwrap_or(0)
}

/// How far all of these read models are.
pub(crate) fn applied_of(read: &ReadStore, models: &[&'static dyn Projection]) -> u64 {
    let checkpoints = read.checkpoints();
    let of = |name| checkpoints.iter().find(|checkpoint| checkpoint.model == name).map_or(0, |found| found.position);
    models.iter().map(|model| of(model.name())).min().unwrap_or(0)
}

/// A decoded event, or why it is none.
pub enum Prepared {
    /// An event.
    Event {
        /// The event.
        recorded: Box<Recorded<Event>>,
        /// The directory tag of the userId it introduces.
        tag: Option<Tag>,
    },
    /// Recorded bytes nobody can read.
    Poison(Poison),
}

impl Prepared {
    /// An event that cannot be decoded.
    #[must_use]
    pub fn poison(raw: &RawEvent, why: &journal::ReadError) -> Self {
        let (position, stream, id) = (raw.position, raw.stream.to_string(), EventId(raw.id));
        Self::Poison(Poison { position, stream, id, reason: why.to_string() })
    }

    /// As the read store takes it.
    #[must_use]
    pub fn arrival(&self) -> Arrival<'_> {
        match self {
            Self::Event { recorded, tag } => Arrival::Decoded(Entry { recorded, tag: *tag }),
            Self::Poison(poison) => Arrival::Undecodable(poison.clone()),
        }
    }
}
