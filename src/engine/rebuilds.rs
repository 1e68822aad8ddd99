//! Read models that an operator asks to be built anew while the service runs: one at a time, on a thread that may wait.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rollcall_projections::Projection;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::projector::Error;
use super::rebuild_beside::{Parts, Progress, build};
use super::rebuild_live::Scratch;
use super::{Engine, projector};

/// How far the read model is that was asked to be built anew last.
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

rollcall_schemas::words! {
    /// What is done with a read model that is built anew.
    Phase {
        /// It waits to begin.
        Asked = "asked",
        /// The events of the log are applied.
        Applying = "applying",
        /// Its rows are brought beside the live ones.
        Copying = "copying",
        /// It took the place of the live one.
        Done = "done",
        /// It did not; the service's log says why.
        Failed = "failed",
    }
}

impl Phase {
    fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed)
    }
}

/// Why none is begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotBegun {
    /// The read models are on a server, where the command builds them beside running nodes.
    OnServer,
    /// Another one is being built.
    Runs,
}

/// The one that was asked for last.
#[derive(Default)]
pub(super) struct Rebuilds {
    last: Mutex<Option<(&'static dyn Projection, Rebuilding)>>,
    asked: Notify,
}

impl Rebuilds {
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
    pub fn rebuild_beside(&self, model: &'static dyn Projection) -> Result<(), NotBegun> {
        if self.read.path().is_none() {
            return Err(NotBegun::OnServer);
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

    /// How far the read model is that was asked to be built anew last; `None`: none was since the start.
    #[must_use]
    pub fn rebuilding(&self) -> Option<Rebuilding> {
        self.rebuilds.last().as_ref().map(|(_, rebuilding)| *rebuilding)
    }
}

/// Builds what is asked for, until `stop`. What is under way then is given up: the live read model is as it was.
pub async fn run(engine: Arc<Engine>, stop: CancellationToken) {
    while stop.run_until_cancelled(engine.rebuilds.asked.notified()).await.is_some() {
        let asked = engine.rebuilds.last().as_ref().map(|(model, _)| *model);
        let Some(model) = asked else { continue };
        let (building, stopped, handle) = (engine.clone(), stop.clone(), Handle::current());
        let built = tokio::task::spawn_blocking(move || handle.block_on(build_one(&building, model, &stopped))).await;
        let name = model.name();
        let phase = match built {
            Ok(Ok(true)) => {
                tracing::info!(model = name, "a read model that was built anew took its place");
                Phase::Done
            }
            Ok(Ok(false)) => return,
            Ok(Err(error)) => {
                tracing::error!(model = name, %error, "a read model was not built anew; the live one is as it was");
                Phase::Failed
            }
            Err(error) => {
                tracing::error!(model = name, %error, "a read model was not built anew; the live one is as it was");
                Phase::Failed
            }
        };
        engine.directory.ask_again();
        let reached = projector::applied(&engine.read);
        engine.rebuilds.set(phase, reached, reached);
        // What is kept in memory of the apps comes from that read model.
        if name == "apps"
            && let Err(error) = engine.reload_apps().await
        {
            tracing::error!(%error, "the apps were not read anew");
        }
    }
}

async fn build_one(engine: &Engine, model: &'static dyn Projection, stop: &CancellationToken) -> Result<bool, Error> {
    let Some(directory) = engine.read.path().and_then(std::path::Path::parent) else { return Ok(false) };
    let scratch = Scratch::of(directory);
    let parts = Parts { log: &engine.log, vault: &engine.vault, read: &engine.read, scratch: &scratch };
    let events = |done, all| engine.rebuilds.set(Phase::Applying, done, all);
    let rows = |done, all| engine.rebuilds.set(Phase::Copying, done, all);
    build(&parts, model, Progress { events: &events, rows: &rows }, stop).await
}
