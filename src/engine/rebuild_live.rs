//! Builds read models anew beside live ones that go on being asked, and lets each take its place.
//!
//! What the log holds at the start is applied in a scratch file first and taken over whole; what came meanwhile is
//! applied where it belongs.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rollcall_projections::Projection;
use rollcall_projections::store::{self, ReadStore, Shadow};

use super::projector::{Error, applied_of};
use super::rebuild::fill;
use super::rebuild_notes::{Notes, Phase};
use crate::eventlog::EventLog;
use crate::privacy::Vault;

/// How often it is tried to take the place of a live read model that is behind or in use, and how often that is said.
const FLIP_AGAIN: Duration = Duration::from_millis(100);
const SAID_EVERY: u32 = 100;
/// So few events behind a live read model, what is left to do while that one is held takes no time to speak of.
const CLOSE: u64 = 500;
/// How often it is tried to come as close: a live one that moves on faster than it can be followed must be held longer.
const CLOSER_MAX: u32 = 50;

/// A directory for what is built on its way to its place. It outlives a process that is killed, and is removed once
/// nothing in it is of use.
#[derive(Debug, Clone)]
pub struct Scratch(PathBuf);

/// Who is told how far it is.
#[derive(Clone, Copy)]
pub struct Progress<'p> {
    /// Events applied, and events in all.
    pub events: &'p dyn Fn(u64, u64),
    /// Rows taken over, and rows in all.
    pub rows: &'p dyn Fn(u64, u64),
}

impl Scratch {
    /// The one of a data directory.
    #[must_use]
    pub fn of(data: &Path) -> Self {
        Self(data.join("rebuild"))
    }

    /// Removes it with what is in it.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn remove(&self) -> Result<(), store::Error> {
        match std::fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(self.unusable(&error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn unusable(&self, why: &std::io::Error) -> store::Error {
        store::Error::Unavailable(format!("{} cannot be used to build read models: {why}", self.0.display()))
    }

    /// Opens what was begun of these read models, if it is of this vault and this log and not beyond that position;
    /// otherwise anew.
    pub(super) async fn open(
        &self,
        log: &Arc<dyn EventLog>,
        vault: &Arc<dyn Vault>,
        models: &[&'static dyn Projection],
        until: u64,
    ) -> Result<Arc<ReadStore>, Error> {
        let file = self.0.join(format!("{}.db", hex::encode(vault.id())));
        if file.exists() {
            let begun = ReadStore::open_to_build(&file, models)?;
            if is_past_of(&begun, log, until).await? {
                return Ok(Arc::new(begun));
            }
        }
        self.remove()?;
        std::fs::create_dir_all(&self.0).map_err(|error| self.unusable(&error))?;
        let models: Vec<&dyn Projection> = models.iter().map(|model| *model as &dyn Projection).collect();
        Ok(Arc::new(ReadStore::open_to_build(&file, &models)?))
    }
}

/// Whether the last event of each read model is where it was in the log.
async fn is_past_of(begun: &ReadStore, log: &Arc<dyn EventLog>, until: u64) -> Result<bool, Error> {
    for checkpoint in begun.checkpoints() {
        let Some(event) = checkpoint.event else { continue };
        let there = log.read_all(checkpoint.position - 1, 1).await?;
        if checkpoint.position > until || there.first().is_none_or(|found| found.id != event.0) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Builds read models anew beside the live ones, which go on being asked, and lets each take its place. What was cut short
/// goes on where it stopped. Every node is told how far it is. Answers for how long a live one was held, at most.
///
/// # Errors
/// The log, the vault or the read store is unavailable; the live ones are as they were.
pub async fn build(
    log: &Arc<dyn EventLog>,
    vault: &Arc<dyn Vault>,
    read: &Arc<ReadStore>,
    shadow: &Shadow,
    models: &[&'static dyn Projection],
    scratch: &Scratch,
    progress: Progress<'_>,
) -> Result<Duration, Error> {
    let notes = Notes::begin(shadow, models).await?;
    let events = |done, all| {
        notes.reach(Phase::Applying, done, all);
        (progress.events)(done, all);
    };
    let rows = |done, all| {
        notes.reach(Phase::Copying, done, all);
        (progress.rows)(done, all);
    };
    let building = async {
        fill_beside(log, vault, read, shadow, models, scratch, Progress { events: &events, rows: &rows }).await?;
        take_places(log, vault, read, shadow, models, &notes).await
    };
    let built = tokio::select! {
        built = building => built,
        never = notes.keep() => match never {},
    };
    if built.is_err() {
        notes.fail().await;
    }
    built
}

/// Applies the log to read models beside the live ones: what it holds now in a scratch file first, which is taken over whole.
async fn fill_beside(
    log: &Arc<dyn EventLog>,
    vault: &Arc<dyn Vault>,
    read: &Arc<ReadStore>,
    shadow: &Shadow,
    models: &[&'static dyn Projection],
    scratch: &Scratch,
    progress: Progress<'_>,
) -> Result<(), Error> {
    let until = live(log, read, models).await?;
    let is_empty = |model: &&'static dyn Projection| shadow.store().checkpoint(model.name()).is_ok_and(|at| at == 0);
    let empty: Vec<_> = models.iter().copied().filter(is_empty).collect();
    if until > 0 && !empty.is_empty() {
        let built = scratch.open(log, vault, &empty, until).await?;
        built.skip_as(read).await?;
        fill(log, vault, &built, &empty, until, progress.events).await?;
        shadow.take_over(&built, &empty, progress.rows).await?;
        built.discard();
    }
    scratch.remove()?;
    fill(log, vault, shadow.store(), models, until, progress.events).await
}

/// Lets each read model take the place of the live one.
async fn take_places(
    log: &Arc<dyn EventLog>,
    vault: &Arc<dyn Vault>,
    read: &Arc<ReadStore>,
    shadow: &Shadow,
    models: &[&'static dyn Projection],
    notes: &Notes<'_>,
) -> Result<Duration, Error> {
    let mut held_most = Duration::ZERO;
    for (at, model) in models.iter().enumerate() {
        let name = model.name();
        let mut tries = 0;
        let held = loop {
            come_close(log, vault, read, shadow, &models[at..]).await?;
            let fill_up = async |until| fill(log, vault, shadow.store(), &[*model], until, &|_, _| {}).await;
            if let Some(held) = shadow.flip(*model, fill_up).await? {
                break held;
            }
            tries += 1;
            if tries % SAID_EVERY == 0 {
                tracing::warn!(
                    model = name,
                    "its tables are in use or it is behind; its place is taken as soon as it can be"
                );
            }
            tokio::time::sleep(FLIP_AGAIN).await;
        };
        tracing::info!(model = name, held_ms = held.as_millis(), "a read model that was built anew took its place");
        notes.took_place(name, shadow.store().checkpoint(name)?).await;
        held_most = held_most.max(held);
    }
    shadow.keep_flips().await?;
    read.refresh().await?;
    Ok(held_most)
}

/// How far the live read models are, which may be behind the log; one of another version stands still.
async fn live(log: &Arc<dyn EventLog>, read: &ReadStore, models: &[&'static dyn Projection]) -> Result<u64, Error> {
    read.refresh().await?;
    let live = models.iter().map(|model| read.checkpoint(model.name()).unwrap_or(u64::MAX)).min();
    Ok(live.unwrap_or(0).min(log.head()))
}

/// Applies what came meanwhile, again and again, until it is little.
async fn come_close(
    log: &Arc<dyn EventLog>,
    vault: &Arc<dyn Vault>,
    read: &ReadStore,
    shadow: &Shadow,
    models: &[&'static dyn Projection],
) -> Result<(), Error> {
    for _ in 0..CLOSER_MAX {
        let until = live(log, read, models).await?;
        if until <= applied_of(shadow.store(), models) + CLOSE {
            break;
        }
        fill(log, vault, shadow.store(), models, until, &|_, _| {}).await?;
    }
    Ok(())
}
