//! The erasure process: takes every requested erasure through its steps. Each step is recorded, may be repeated
//! without harm, and is taken up again after a crash.
//!
//! Fenced → begun → relations ended → keys destroyed, ciphertexts detached, scrubbing event → read models scrubbed →
//! verified → reported → finalised.
//!
//! A batch of erasures shares only the destruction of its keys, which is one rotation of the root. In every other step each
//! erasure is on its own: one that fails is left behind and tried again later, and the others go on.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use rollcall_projections::erasure_ledger::{Erasure, Step as Recorded};
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::personal::Class;
use rollcall_schemas::plain::Scope;
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::report::issue;
use super::tree::{self, Keeper};
use crate::crash_point;
use crate::domain::erasure::{Advance, Step};
use crate::engine::{self, Caller, Engine, journal};
use crate::privacy;
use crate::telemetry::traces;

mod backlog;
mod destruction;
pub mod drill;
pub mod notice;
mod preview;
mod sealed;
mod steps;

pub use backlog::Backlog;
pub use preview::{Preview, preview};
pub use sealed::Counted;

/// How many erasures share one rotation of the root.
const BATCH_MAX: usize = 250;
/// How long an unfinished erasure waits at most before it is taken up again.
const EVERY: Duration = Duration::from_secs(2);

/// Why an erasure does not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A step could not be taken now.
    #[error(transparent)]
    Engine(#[from] engine::Error),
    /// What is erased can still be read. No report is issued while that is so.
    #[error("erasure {erasure} does not verify: {what}; its report is not issued")]
    Unverified {
        /// Which.
        erasure: uuid::Uuid,
        /// What is still there.
        what: String,
    },
    /// Some erasures cannot go on; all others have ended.
    #[error("{count} erasures cannot go on for now, one of them because: {reason}")]
    Stuck {
        /// How many.
        count: usize,
        /// Why one of them cannot.
        reason: String,
    },
}

impl From<tree::Error> for Error {
    fn from(error: tree::Error) -> Self {
        Self::Engine(engine::Error::Unavailable(error.to_string()))
    }
}

impl From<issue::Error> for Error {
    fn from(error: issue::Error) -> Self {
        Self::Engine(engine::Error::Unavailable(error.to_string()))
    }
}

impl From<privacy::Error> for Error {
    fn from(error: privacy::Error) -> Self {
        Self::Engine(error.into())
    }
}

impl From<rollcall_projections::store::Error> for Error {
    fn from(error: rollcall_projections::store::Error) -> Self {
        Self::Engine(error.into())
    }
}

impl From<crate::eventlog::Error> for Error {
    fn from(error: crate::eventlog::Error) -> Self {
        Self::Engine(error.into())
    }
}

impl From<journal::ReadError> for Error {
    fn from(error: journal::ReadError) -> Self {
        Self::Engine(error.into())
    }
}

/// Runs until `stop`: whenever an erasure was requested, and every two seconds. After `stop` no further step is taken; the
/// erasures that were under way go on with the next start.
pub async fn run(engine: Arc<Engine>, keeper: Arc<Keeper>, stop: CancellationToken) {
    let requested = engine.erasures();
    let mut backlog = Backlog::default();
    loop {
        let advanced = match engine.leads() && keeper.is_proven() {
            true => advance(&engine, &keeper, &mut backlog, &stop).await,
            false => Ok(Batch::default()),
        };
        match advanced {
            _ if stop.is_cancelled() => return,
            Ok(Batch { tried: 0, .. }) => {}
            Ok(_) => continue,
            Err(error) => tracing::warn!(%error, "erasures cannot go on for now; they are tried again"),
        }
        tokio::select! {
            () = requested.notified() => {}
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Takes every erasure that is due to its end; returns how many ended.
///
/// # Errors
/// [`Error::Stuck`] where some could not go on; a part is unavailable. It may be repeated.
pub async fn advance_all(engine: &Engine, keeper: &Keeper) -> Result<usize, Error> {
    let (mut backlog, never, mut ended) = (Backlog::default(), CancellationToken::new(), 0);
    loop {
        let batch = advance(engine, keeper, &mut backlog, &never).await?;
        ended += batch.ended;
        if batch.tried == 0 {
            return match backlog.stuck() {
                None => Ok(ended),
                Some((count, reason)) => Err(Error::Stuck { count, reason: reason.to_owned() }),
            };
        }
    }
}

/// What became of a batch.
#[derive(Default)]
struct Batch {
    /// Erasures that were taken up.
    tried: usize,
    /// Those of them that ended.
    ended: usize,
}

/// Takes the next erasures that are due as far as they go, as many as share a rotation.
///
/// # Errors
/// A part that all of them need is unavailable. Where one of them cannot go on, that is in the backlog instead.
async fn advance(
    engine: &Engine,
    keeper: &Keeper,
    backlog: &mut Backlog,
    stop: &CancellationToken,
) -> Result<Batch, Error> {
    // The ledger must hold every request that was acknowledged.
    engine.all_applied().await?;
    let due = backlog.next(engine, BATCH_MAX).await?;
    if due.is_empty() {
        return Ok(Batch::default());
    }
    crash_point::reach("erase.due");
    let span = traces::erase(due.len());
    take_up(engine, keeper, backlog, due, stop).instrument(span).await
}

/// Takes these erasures as far as they go.
async fn take_up(
    engine: &Engine,
    keeper: &Keeper,
    backlog: &mut Backlog,
    due: Vec<Erasure>,
    stop: &CancellationToken,
) -> Result<Batch, Error> {
    let begin = join_all(due.iter().map(|due| steps::begin(engine, due)));
    let Some(begun) = stop.run_until_cancelled(begin).await else { return Ok(Batch::default()) };
    let (mut batch, mut with_keys, mut ready) = (Batch::default(), Vec::new(), Vec::new());
    for (due, begun) in due.into_iter().zip(begun) {
        batch.tried += 1;
        match begun {
            Ok(Some(begun)) if begun.step < Recorded::Scrubbed => with_keys.push(begun),
            Ok(Some(begun)) => ready.push((begun, None)),
            // It was called off, or a legal hold was placed a moment ago: it is not due any more.
            Ok(None) => batch.tried -= 1,
            Err(error) => backlog.failed(&due, error.to_string()),
        }
    }
    if stop.is_cancelled() {
        return Ok(batch);
    }
    for (erasure, destroyed) in destruction::destroy(engine, keeper, with_keys).await? {
        match destroyed {
            Ok(destroyed) => ready.push((erasure, Some(destroyed))),
            Err(error) => backlog.failed(&erasure, error.to_string()),
        }
    }
    let control = &OnceCell::new();
    let finish = join_all(ready.into_iter().map(async |(erasure, destroyed)| {
        let finished = steps::finish(engine, keeper, &erasure, destroyed, control).await;
        (erasure, finished)
    }));
    for (erasure, finished) in stop.run_until_cancelled(finish).await.into_iter().flatten() {
        match finished {
            Ok(()) => {
                backlog.ended(erasure.erasure);
                batch.ended += 1;
            }
            Err(error) => backlog.failed(&erasure, error.to_string()),
        }
    }
    Ok(batch)
}

/// What an erasure of this scope erases.
#[must_use]
pub fn classes(scope: Scope) -> &'static [Class] {
    match scope {
        Scope::Deactivate => &[Class::Profile, Class::Moderation],
        Scope::Forget => &Class::ALL,
    }
}

/// Records a step; returns the position of its last event.
async fn record(engine: &Engine, erasure: &Erasure, step: Step, friends: Vec<SubjectRef>) -> Result<u64, Error> {
    let caller = Caller::internal(erasure.app.clone(), Actor::System);
    let step = Advance { erasure: erasure.erasure, subject: erasure.subject, step, friends };
    Ok(engine.execute(&caller, step).await?.position)
}
