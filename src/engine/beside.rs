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

use super::projector::Error;
use super::rebuild::fill;
use crate::eventlog::EventLog;
use crate::privacy::Vault;

/// How often, and how many times, it is tried to take the place of a live read model that is behind.
const FLIP_AGAIN: Duration = Duration::from_millis(100);
const FLIPS_MAX: u32 = 300;

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
    async fn open(
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
/// goes on where it stopped.
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
) -> Result<(), Error> {
    read.refresh().await?;
    // Not beyond the live ones, which may be behind the log; one of another version stands still.
    let live = models.iter().map(|model| read.checkpoint(model.name()).unwrap_or(u64::MAX)).min();
    let until = live.unwrap_or(0).min(log.head());
    let is_empty = |model: &&'static dyn Projection| shadow.store().checkpoint(model.name()).is_ok_and(|at| at == 0);
    let empty: Vec<_> = models.iter().copied().filter(is_empty).collect();
    if until > 0 && !empty.is_empty() {
        let built = scratch.open(log, vault, &empty, until).await?;
        fill(log, vault, &built, &empty, until, progress.events).await?;
        shadow.take_over(&built, &empty, progress.rows).await?;
    }
    scratch.remove()?;
    fill(log, vault, shadow.store(), models, until, progress.events).await?;
    for model in models {
        let fill_up = async |until| fill(log, vault, shadow.store(), &[*model], until, &|_, _| {}).await;
        let mut tries = 0;
        while !shadow.flip(*model, fill_up).await? {
            tries += 1;
            if tries > FLIPS_MAX {
                return Err(store::Error::Moved(model.name()).into());
            }
            tokio::time::sleep(FLIP_AGAIN).await;
        }
    }
    Ok(read.refresh().await?)
}
