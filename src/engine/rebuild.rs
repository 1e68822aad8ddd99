//! Builds read models anew from the log, and checks that the live ones are what a rebuild would make of them.

use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt as _;
use rollcall_projections::store::{self, ReadStore};
use rollcall_projections::{Arrival, Projection};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::directory::Directory;
use super::leadership::Leadership;
use super::memory::Memory;
use super::projector::{self, Error, Prepared, Projector};
use crate::eventlog::{self, EventLog, RawEvent};
use crate::privacy::Vault;
use crate::tasks;

/// Most events applied as one batch: many, for nobody waits for a single one, and so few that memory is used again while the
/// processor still has it near. Four are in memory at a time: one is read, one prepared, one ready, and one applied.
const BULK_BATCH_MAX: usize = 5_000;
const PARKED_MAX: u32 = 10_000;

/// A read model compared with its rebuild.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Which.
    pub name: &'static str,
    /// Whether both have the same rows.
    pub equal: bool,
    /// Streams parked in the live one.
    pub parked: usize,
}

/// Drops the rows of read models and applies the whole log to them. `progress` is told events done and events in all.
///
/// # Errors
/// The log, the vault or the read store is unavailable; the models are incomplete and go on where they stopped when
/// the service starts.
pub async fn rebuild(
    log: &Arc<dyn EventLog>,
    vault: &Arc<dyn Vault>,
    read: &Arc<ReadStore>,
    models: &[&'static dyn Projection],
    progress: &dyn Fn(u64, u64),
) -> Result<(), Error> {
    for model in models {
        read.create_model(*model).await?;
    }
    fill(log, vault, read, models, u64::MAX, progress).await
}

/// Applies to read models what the service had not applied to them when it stopped; a node that runs does so itself.
///
/// # Errors
/// The log, the vault or the read store is unavailable; what was applied stays applied.
pub async fn catch_up(
    log: &Arc<dyn EventLog>,
    vault: &Arc<dyn Vault>,
    read: &Arc<ReadStore>,
    models: &[&'static dyn Projection],
    progress: &dyn Fn(u64, u64),
) -> Result<(), Error> {
    let leadership = Leadership::default();
    leadership.renew(read).await;
    if leadership.is_leader() {
        let filled = fill(log, vault, read, models, u64::MAX, progress).await;
        leadership.release(read).await;
        match filled {
            // One was started meanwhile.
            Err(Error::Store(store::Error::Moved(_))) => {}
            filled => return filled,
        }
    }
    Ok(read.refresh().await?)
}

/// Applies the log up to a position to read models, from where they stand.
pub(super) async fn fill(
    log: &Arc<dyn EventLog>,
    vault: &Arc<dyn Vault>,
    read: &Arc<ReadStore>,
    models: &[&'static dyn Projection],
    until: u64,
    progress: &dyn Fn(u64, u64),
) -> Result<(), Error> {
    let projector = offline(log, vault, read);
    let prepare = Box::new(move |raw: &[RawEvent]| projector.prepare(raw));
    let preparing = Preparing { prepare, threads: std::thread::available_parallelism().map_or(1, usize::from) };
    apply_all(log, read, models, projector::applied_of(read, models), until, preparing, progress).await
}

/// A projector that follows nothing: it prepares events for whoever applies them.
pub(super) fn offline(log: &Arc<dyn EventLog>, vault: &Arc<dyn Vault>, read: &Arc<ReadStore>) -> Projector {
    Projector {
        log: log.clone(),
        read: read.clone(),
        vault: vault.clone(),
        directory: Arc::new(Directory::new(vault.clone())),
        applied: tokio::sync::watch::channel(0).0,
        memory: Memory::default(),
        leadership: Leadership::default(),
        flush_hint: Arc::default(),
        handed_over: Arc::default(),
        metrics: Arc::default(),
    }
}

/// Applies the log up to a position to read models of a scratch store, each event prepared by `prepare`. `progress`
/// is told events done and events in all.
///
/// # Errors
/// The log or the store is unavailable.
pub async fn replay(
    log: &Arc<dyn EventLog>,
    scratch: &ReadStore,
    models: &[&'static dyn Projection],
    until: u64,
    prepare: fn(&RawEvent) -> Prepared,
    progress: &dyn Fn(u64, u64),
) -> Result<(), Error> {
    let prepare = Box::new(move |raw: &[RawEvent]| Ok(raw.iter().map(prepare).collect()));
    apply_all(log, scratch, models, 0, until, Preparing { prepare, threads: 1 }, progress).await
}

/// Prepares events, in their order.
type Prepare = Box<dyn Fn(&[RawEvent]) -> Result<Vec<Prepared>, Error> + Send + Sync>;

/// How events are prepared, and on how many threads at once.
struct Preparing {
    prepare: Prepare,
    threads: usize,
}

impl Preparing {
    /// Prepares a batch, in its order.
    async fn all(self: &Arc<Self>, raw: Vec<RawEvent>) -> Result<Vec<Prepared>, Error> {
        let (each, raw) = (raw.len().div_ceil(self.threads).max(1), Arc::new(raw));
        let part = |from: usize| {
            let (preparing, raw) = (self.clone(), raw.clone());
            tasks::spawn_blocking(move || {
                (preparing.prepare)(raw.get(from..raw.len().min(from + each)).unwrap_or_default())
            })
        };
        // All of them are begun before the first one is waited for.
        let parts: Vec<_> = (0..raw.len()).step_by(each).map(part).collect();
        let mut prepared = Vec::with_capacity(raw.len());
        for part in parts {
            prepared.append(&mut part.await.map_err(ended)??);
        }
        Ok(prepared)
    }
}

async fn apply_all(
    log: &Arc<dyn EventLog>,
    read: &ReadStore,
    models: &[&'static dyn Projection],
    mut after: u64,
    until: u64,
    preparing: Preparing,
    progress: &dyn Fn(u64, u64),
) -> Result<(), Error> {
    let show = |after: u64| progress(after, until.min(log.head()).max(after));
    show(after);
    let (batches, mut prepared) = mpsc::channel(1);
    let mut ahead = JoinSet::new();
    ahead.spawn(look_ahead(log.clone(), Arc::new(preparing), after, until, batches).boxed());
    while let Some(batch) = prepared.recv().await {
        // Whoever replays may have been told to stop: a task is cancelled where it waits.
        tokio::task::yield_now().await;
        let arrivals: Vec<_> = batch.iter().map(Prepared::arrival).collect();
        read.apply(&arrivals, models).await?;
        after = arrivals.last().map_or(after, Arrival::position);
        show(after);
    }
    ahead.join_next().await.map_or(Ok(()), |ahead| ahead.map_err(ended)?)
}

/// Reads the log behind a position and prepares it, on other threads than the one that applies it.
async fn look_ahead(
    log: Arc<dyn EventLog>,
    preparing: Arc<Preparing>,
    after: u64,
    until: u64,
    batches: mpsc::Sender<Vec<Prepared>>,
) -> Result<(), Error> {
    let mut raw = behind(log.as_ref(), after, until).await?;
    while let Some(last) = raw.last() {
        let after = last.position;
        // While one batch is prepared, the next one is read.
        let (prepared, next) = tokio::join!(preparing.all(raw), behind(log.as_ref(), after, until));
        if batches.send(prepared?).await.is_err() {
            return Ok(());
        }
        raw = next?;
    }
    Ok(())
}

async fn behind(log: &dyn EventLog, after: u64, until: u64) -> Result<Vec<RawEvent>, Error> {
    match usize::try_from(until.saturating_sub(after)).unwrap_or(usize::MAX) {
        0 => Ok(vec![]),
        left => Ok(log.read_all(after, left.min(BULK_BATCH_MAX)).await?),
    }
}

/// What prepares events died.
fn ended(error: impl std::fmt::Display) -> Error {
    eventlog::Error::Unavailable(format!("the events cannot be prepared: {error}")).into()
}

/// Rebuilds every read model beside the live ones, in `scratch`, and compares their digests.
///
/// # Errors
/// The log, the vault or a read store is unavailable.
pub async fn verify(
    log: &Arc<dyn EventLog>,
    vault: &Arc<dyn Vault>,
    live: &Arc<ReadStore>,
    scratch: &Path,
    progress: &dyn Fn(u64, u64),
) -> Result<Vec<Verified>, Error> {
    let rebuilt = Arc::new(ReadStore::scratch(scratch, rollcall_projections::ALL)?);
    rebuilt.skip_as(live).await?;
    fill(log, vault, &rebuilt, rollcall_projections::ALL, u64::MAX, progress).await?;
    let parked = live.parked(PARKED_MAX).await?;
    let mut verified = Vec::new();
    for model in rollcall_projections::ALL {
        let name = model.name();
        let equal = live.digest(name).await? == rebuilt.digest(name).await?;
        verified.push(Verified { name, equal, parked: parked.iter().filter(|key| key.model == name).count() });
    }
    Ok(verified)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Barrier;

    use bytes::Bytes;
    use chrono::DateTime;
    use rollcall_projections::Poison;
    use rollcall_schemas::ids::EventId;
    use uuid::Uuid;

    use super::*;

    fn raw(position: u64) -> RawEvent {
        RawEvent {
            position,
            stream: "".into(),
            revision: 1,
            id: Uuid::nil(),
            name: "".into(),
            version: 1,
            recorded_at: DateTime::UNIX_EPOCH,
            core: Bytes::new(),
            blobs: None,
        }
    }

    fn prepared(raw: &RawEvent) -> Prepared {
        let (stream, reason) = (String::new(), String::new());
        Prepared::Poison(Poison { position: raw.position, stream, id: EventId(raw.id), reason })
    }

    async fn positions<P>(preparing: P, threads: usize, events: u64) -> Vec<u64>
    where
        P: Fn(&[RawEvent]) -> Result<Vec<Prepared>, Error> + Send + Sync + 'static,
    {
        let preparing = Arc::new(Preparing { prepare: Box::new(preparing), threads });
        let all = preparing.all((1..=events).map(raw).collect()).await.unwrap();
        all.iter().map(|prepared| prepared.arrival().position()).collect()
    }

    #[tokio::test]
    async fn events_are_prepared_on_several_threads_at_once_and_keep_their_order() {
        // Neither part comes to its end before the other one has begun.
        let both = Barrier::new(2);
        let part = move |raw: &[RawEvent]| {
            both.wait();
            Ok(raw.iter().map(prepared).collect())
        };
        assert_eq!(positions(part, 2, 5).await, [1, 2, 3, 4, 5]);
    }

    #[tokio::test]
    async fn fewer_events_than_threads_are_prepared_as_well() {
        for events in 0..4 {
            let all = |raw: &[RawEvent]| Ok(raw.iter().map(prepared).collect());
            assert_eq!(positions(all, 8, events).await, (1..=events).collect::<Vec<_>>());
        }
    }
}
