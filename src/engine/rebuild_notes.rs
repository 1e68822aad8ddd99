//! What every node is told of read models on a server while one process builds them anew.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::time::Duration;

use rollcall_projections::Projection;
use rollcall_projections::store::{self, Shadow};
use uuid::Uuid;

/// How often it is noted how far they are.
const NOTE_EVERY: Duration = Duration::from_secs(1);

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
    /// Whether nothing more is done.
    pub(super) fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed)
    }
}

/// The notes of one build.
pub(super) struct Notes<'n> {
    shadow: &'n Shadow,
    build: Uuid,
    /// The read models that have not taken their places yet.
    left: RefCell<Vec<&'static str>>,
    reached: Cell<(Phase, u64, u64)>,
}

impl<'n> Notes<'n> {
    /// Begins a build of these read models. One that another process left unfinished is given up: whoever has the lock is alone.
    ///
    /// # Errors
    /// The database is unavailable.
    pub(super) async fn begin(shadow: &'n Shadow, models: &[&'static dyn Projection]) -> Result<Self, store::Error> {
        let left = models.iter().map(|model| model.name()).collect();
        let reached = Cell::new((Phase::Applying, 0, 0));
        let notes = Self { shadow, build: Uuid::new_v4(), left: RefCell::new(left), reached };
        let over: Vec<_> = Phase::ALL.into_iter().filter(|phase| phase.is_over()).map(Phase::as_str).collect();
        shadow.note_given_up(notes.build, &over, Phase::Failed.as_str()).await?;
        notes.note().await?;
        Ok(notes)
    }

    /// Is told how far the build is.
    pub(super) fn reach(&self, phase: Phase, done: u64, total: u64) {
        self.reached.set((phase, done, total));
    }

    async fn note(&self) -> Result<(), store::Error> {
        let (left, (phase, done, total)) = (self.left.borrow().clone(), self.reached.get());
        self.shadow.note(&left, self.build, phase.as_str(), (done, total)).await
    }

    /// Notes again and again how far the build is.
    pub(super) async fn keep(&self) -> Infallible {
        loop {
            tokio::time::sleep(NOTE_EVERY).await;
            self.try_note().await;
        }
    }

    /// Notes that a read model took its place.
    pub(super) async fn took_place(&self, model: &'static str, position: u64) {
        self.left.borrow_mut().retain(|left| *left != model);
        let noted = self.shadow.note(&[model], self.build, Phase::Done.as_str(), (position, position)).await;
        warn_unless(noted);
    }

    /// Notes that nothing more is done.
    pub(super) async fn fail(&self) {
        let (_, done, total) = self.reached.get();
        self.reach(Phase::Failed, done, total);
        self.try_note().await;
    }

    async fn try_note(&self) {
        warn_unless(self.note().await);
    }
}

fn warn_unless(noted: Result<(), store::Error>) {
    if let Err(error) = noted {
        tracing::warn!(%error, "other nodes are not told how far a read model is that is built anew");
    }
}
