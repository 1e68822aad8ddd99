//! Builds read models anew from the log, and checks that the live ones are what a rebuild would make of them.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rollcall_projections::Projection;
use rollcall_projections::store::{self, ReadStore, Shadow};

use super::directory::Directory;
use super::memory::Memory;
use super::projector::{self, Error, Prepared, Projector};
use super::turn::Turn;
use crate::eventlog::{EventLog, RawEvent};
use crate::privacy::Vault;

/// Most events applied as one batch: large, for nobody waits for a single one.
const BULK_BATCH_MAX: usize = 50_000;
/// How often, and how many times, it is tried to take the place of a live read model that is behind.
const FLIP_AGAIN: Duration = Duration::from_millis(100);
const FLIPS_MAX: u32 = 300;
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

/// Builds read models anew beside the live ones, which go on being asked, and lets each take its place. What was cut short
/// goes on where it stopped.
///
/// # Errors
/// The log, the vault or the read store is unavailable; the live ones are as they were.
pub async fn beside(
    log: &Arc<dyn EventLog>,
    vault: &Arc<dyn Vault>,
    read: &Arc<ReadStore>,
    shadow: &Shadow,
    models: &[&'static dyn Projection],
    progress: &dyn Fn(u64, u64),
) -> Result<(), Error> {
    read.refresh().await?;
    // Not beyond the live ones, which may be behind the log; one of another version stands still.
    let live = models.iter().map(|model| read.checkpoint(model.name()).unwrap_or(u64::MAX)).min();
    fill(log, vault, shadow.store(), models, live.unwrap_or(0), progress).await?;
    for model in models {
        let flip =
            || shadow.flip(*model, async |until| fill(log, vault, shadow.store(), &[*model], until, progress).await);
        let mut tries = 0;
        while !flip().await? {
            tries += 1;
            if tries > FLIPS_MAX {
                return Err(store::Error::Moved(model.name()).into());
            }
            tokio::time::sleep(FLIP_AGAIN).await;
        }
    }
    Ok(read.refresh().await?)
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
    let turn = Turn::default();
    turn.ask(read).await;
    if turn.is_ours() {
        let filled = fill(log, vault, read, models, u64::MAX, progress).await;
        turn.let_go(read).await;
        match filled {
            // One was started meanwhile.
            Err(Error::Store(store::Error::Moved(_))) => {}
            filled => return filled,
        }
    }
    Ok(read.refresh().await?)
}

async fn fill(
    log: &Arc<dyn EventLog>,
    vault: &Arc<dyn Vault>,
    read: &Arc<ReadStore>,
    models: &[&'static dyn Projection],
    until: u64,
    progress: &dyn Fn(u64, u64),
) -> Result<(), Error> {
    let projector = Projector {
        log: log.clone(),
        read: read.clone(),
        vault: vault.clone(),
        directory: Arc::new(Directory::new(vault.clone())),
        applied: tokio::sync::watch::channel(0).0,
        memory: Memory::default(),
        turn: Turn::default(),
        hurry: Arc::default(),
    };
    each_batch(log.as_ref(), projector::applied_of(read, models), until, progress, async |raw| {
        let prepared = projector.prepare(raw)?;
        let arrivals: Vec<_> = prepared.iter().map(Prepared::arrival).collect();
        Ok(read.apply(&arrivals, models).await?)
    })
    .await
}

/// Applies the log up to a position to read models of a scratch store, each event prepared by `prepare`. `progress`
/// is told events done and events in all.
///
/// # Errors
/// The log or the store is unavailable.
pub async fn replay(
    log: &dyn EventLog,
    scratch: &ReadStore,
    models: &[&'static dyn Projection],
    until: u64,
    prepare: &dyn Fn(&RawEvent) -> Prepared,
    progress: &dyn Fn(u64, u64),
) -> Result<(), Error> {
    each_batch(log, 0, until, progress, async |raw| {
        let prepared: Vec<_> = raw.iter().map(prepare).collect();
        let arrivals: Vec<_> = prepared.iter().map(Prepared::arrival).collect();
        Ok(scratch.apply(&arrivals, models).await?)
    })
    .await
}

async fn each_batch(
    log: &dyn EventLog,
    mut after: u64,
    until: u64,
    progress: &dyn Fn(u64, u64),
    apply: impl AsyncFn(&[RawEvent]) -> Result<(), Error>,
) -> Result<(), Error> {
    while after < until {
        let left = usize::try_from(until - after).unwrap_or(usize::MAX);
        let raw = log.read_all(after, left.min(BULK_BATCH_MAX)).await?;
        let Some(last) = raw.last() else { return Ok(()) };
        after = last.position;
        apply(&raw).await?;
        progress(after, until.min(log.head()));
    }
    Ok(())
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
    let rebuilt = Arc::new(ReadStore::open(scratch)?);
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
