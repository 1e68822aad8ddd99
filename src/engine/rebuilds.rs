//! Read models that an operator asks to be built anew while the service runs: one at a time, on a thread that may wait. Those on
//! a server are built by the node that is asked, under a lock that all processes share; every node sees how far it is.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rollcall_projections::Projection;
use rollcall_projections::store::{self, BuildLock, ReadStore, RebuildNote, Shadow};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::projector::Error;
use super::rebuild_beside::{Parts, Progress, build};
use super::rebuild_live::{self, Scratch};
pub use super::rebuild_notes::Phase;
use super::{Engine, projector};
use crate::database::Database;
use crate::tasks;

/// How often it is looked whether another process has built a read model anew.
const FOLLOW_EVERY: Duration = Duration::from_secs(5);
/// Connections that build a read model anew and are not kept.
const CONNECTIONS_MAX: usize = 4;

/// How far a read model is that is built anew, or how that ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebuilding {
    /// Which.
    pub model: &'static str,
    /// What is done with it.
    pub phase: Phase,
    /// Events or rows, as the phase has it.
    pub done: u64,
    /// And in all.
    pub total: u64,
}

/// What read models on a server are built anew with.
pub struct OnServer {
    /// The server.
    pub database: Database,
    /// Where their rows are made first.
    pub scratch: Scratch,
}

/// Why none is begun.
#[derive(Debug, thiserror::Error)]
pub enum NotBegun {
    /// Another one is being built.
    #[error("another read model is being built anew")]
    Runs,
    /// It cannot be said whether one is.
    #[error(transparent)]
    Unavailable(#[from] store::Error),
}

/// The one that this node was asked for last.
#[derive(Default)]
pub(super) struct Rebuilds {
    last: Mutex<Option<(&'static dyn Projection, Rebuilding)>>,
    asked: Notify,
    /// `None`: the read models are in a file.
    on_server: Option<OnServer>,
}

impl Rebuilds {
    pub(super) fn new(on_server: Option<OnServer>) -> Self {
        Self { on_server, ..Self::default() }
    }

    // What is under the lock is whole after every statement.
    fn last(&self) -> MutexGuard<'_, Option<(&'static dyn Projection, Rebuilding)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, phase: Phase, done: u64, total: u64) {
        if let Some((_, rebuilding)) = self.last().as_mut() {
            *rebuilding = Rebuilding { phase, done, total, ..*rebuilding };
        }
    }
}

impl Engine {
    /// Has a read model built anew beside the live one. Asking again for the one that is being built changes nothing.
    ///
    /// # Errors
    /// It is not begun; why.
    pub async fn rebuild_beside(&self, model: &'static dyn Projection) -> Result<(), NotBegun> {
        // Two that are asked for at the same moment through two nodes are built one after the other.
        if let Some(elsewhere) = self.noted_rebuilds().await?.into_iter().find(|noted| !noted.phase.is_over()) {
            return if elsewhere.model == model.name() { Ok(()) } else { Err(NotBegun::Runs) };
        }
        let mut last = self.rebuilds.last();
        match &*last {
            Some((_, rebuilding)) if rebuilding.phase.is_over() => {}
            Some((of, _)) if of.name() == model.name() => return Ok(()),
            Some(_) => return Err(NotBegun::Runs),
            None => {}
        }
        *last = Some((model, Rebuilding { model: model.name(), phase: Phase::Asked, done: 0, total: self.log.head() }));
        self.rebuilds.asked.notify_one();
        Ok(())
    }

    /// How far the read model is that this node was asked to build anew last, and of those on a server how each was built the
    /// last time, by whichever process.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn rebuilds(&self) -> Result<Vec<Rebuilding>, store::Error> {
        let mut found = self.noted_rebuilds().await?;
        let here = self.rebuilds.last().as_ref().map(|(_, rebuilding)| *rebuilding);
        // What has ended on a server is noted there; another node may have built it again since.
        if let Some(here) = here.filter(|here| self.rebuilds.on_server.is_none() || !here.phase.is_over()) {
            found.retain(|noted| noted.model != here.model);
            found.push(here);
        }
        Ok(found)
    }

    async fn noted_rebuilds(&self) -> Result<Vec<Rebuilding>, store::Error> {
        let notes = self.read.rebuilds().await?.into_iter();
        let known = notes.filter_map(|RebuildNote { model, phase, done, total, is_locked, .. }| {
            let model = rollcall_projections::ALL.iter().find(|known| known.name() == model)?.name();
            let phase: Phase = phase.parse().ok()?;
            // Whoever built it has ended without a word.
            let phase = if phase.is_over() || is_locked { phase } else { Phase::Failed };
            Some(Rebuilding { model, phase, done, total })
        });
        Ok(known.collect())
    }
}

/// Builds what is asked for, until `stop`, and follows what other processes have built. What is under way then is given up:
/// the live read model is as it was.
pub async fn run(engine: Arc<Engine>, stop: CancellationToken) {
    let mut followed = HashMap::new();
    let is_on_server = engine.rebuilds.on_server.is_some();
    loop {
        let asked = async {
            tokio::select! {
                () = engine.rebuilds.asked.notified() => true,
                () = tokio::time::sleep(FOLLOW_EVERY), if is_on_server => false,
            }
        };
        let Some(is_asked) = stop.run_until_cancelled(asked).await else { return };
        if is_asked && !build_asked(&engine, &stop).await {
            return;
        }
        if let Err(error) = follow(&engine, &mut followed).await {
            tracing::warn!(%error, "what was built anew by another process is not followed for now");
        }
    }
}

/// Builds the read model that was asked for; `false`: it was stopped.
async fn build_asked(engine: &Arc<Engine>, stop: &CancellationToken) -> bool {
    let asked = engine.rebuilds.last().as_ref().map(|(model, _)| *model);
    let Some(model) = asked else { return true };
    let (building, stopped, handle) = (engine.clone(), stop.clone(), Handle::current());
    let built = tasks::spawn_blocking(move || tasks::block_on(&handle, build_one(&building, model, &stopped))).await;
    let name = model.name();
    let built = built.map_err(|error| error.to_string()).and_then(|built| built.map_err(|error| error.to_string()));
    let phase = match built {
        Ok(true) => {
            tracing::info!(model = name, "a read model that was built anew took its place");
            Phase::Done
        }
        Ok(false) => return false,
        Err(error) => {
            tracing::error!(model = name, error, "a read model was not built anew; the live one is as it was");
            Phase::Failed
        }
    };
    if let Err(error) = forget_former(engine, name).await {
        tracing::error!(%error, "the apps were not read anew");
    }
    let reached = projector::applied(&engine.read);
    engine.rebuilds.set(phase, reached, reached);
    true
}

/// Drops what is kept in memory of a read model that was replaced.
async fn forget_former(engine: &Engine, model: &str) -> Result<(), super::Error> {
    engine.directory.ask_again();
    if model == "apps" { engine.reload_apps().await } else { Ok(()) }
}

/// Does so for each read model on a server that another process has replaced.
async fn follow(engine: &Engine, followed: &mut HashMap<String, Uuid>) -> Result<(), super::Error> {
    for noted in engine.read.rebuilds().await? {
        if noted.phase == Phase::Done.as_str() && followed.get(&noted.model) != Some(&noted.build) {
            forget_former(engine, &noted.model).await?;
            followed.insert(noted.model, noted.build);
        }
    }
    Ok(())
}

async fn build_one(engine: &Engine, model: &'static dyn Projection, stop: &CancellationToken) -> Result<bool, Error> {
    let events = |done, all| engine.rebuilds.set(Phase::Applying, done, all);
    let rows = |done, all| engine.rebuilds.set(Phase::Copying, done, all);
    if let Some(place) = &engine.rebuilds.on_server {
        let progress = rebuild_live::Progress { events: &events, rows: &rows };
        let built = stop.run_until_cancelled(build_on_server(engine, place, model, progress)).await;
        return Ok(built.transpose()?.is_some());
    }
    let Some(directory) = engine.read.path().and_then(std::path::Path::parent) else { return Ok(false) };
    let scratch = Scratch::of(directory);
    let parts = Parts { log: &engine.log, vault: &engine.vault, read: &engine.read, scratch: &scratch };
    build(&parts, model, Progress { events: &events, rows: &rows }, stop).await
}

/// Over connections of its own, and with a view of the read models that does not move that of the node which answers.
async fn build_on_server(
    engine: &Engine,
    place: &OnServer,
    model: &'static dyn Projection,
    progress: rebuild_live::Progress<'_>,
) -> Result<(), Error> {
    let pool = place.database.pool(CONNECTIONS_MAX).map_err(|error| store::Error::Unavailable(error.to_string()))?;
    let lock = BuildLock::wait(pool.clone()).await?;
    let read = Arc::new(ReadStore::connect(pool, rollcall_projections::ALL).await?);
    let shadow = Shadow::open(lock, &[model]).await?;
    rebuild_live::build(&engine.log, &engine.vault, &read, &shadow, &[model], &place.scratch, progress).await?;
    Ok(())
}
