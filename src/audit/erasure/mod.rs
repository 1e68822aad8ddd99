//! The erasure process: takes every requested erasure through its steps. Each step is recorded, may be repeated
//! without harm, and is taken up again after a crash.
//!
//! Fenced → begun → relations ended → keys destroyed, ciphertexts detached, scrubbing event → read models scrubbed →
//! verified → reported → finalised.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use rollcall_projections::erasure_ledger::{self, Erasure, Step as Recorded};
use rollcall_projections::friend_graph;
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::personal::Class;
use rollcall_schemas::plain::Scope;
use tokio_util::sync::CancellationToken;

use super::report::issue::{self, Issued, issue};
use super::tree::{self, Keeper};
use crate::crash_point;
use crate::domain::erasure::{Advance, Step};
use crate::engine::{self, Caller, Engine, journal};
use crate::privacy::{self, Destruction, KeysToDestroy};

pub mod callback;
pub mod drill;
mod preview;
mod sealed;

pub use preview::{Preview, preview};
pub use sealed::Counted;

/// How many erasures share one rotation of the root.
const BATCH_MAX: u32 = 250;
/// How long an unfinished erasure waits at most before it is taken up again.
const EVERY: Duration = Duration::from_secs(2);
/// Relations ended at once; the two sides of a mutual request are counted twice.
const RELATIONS_MAX: u32 = 4_000;

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

/// Runs until `stop`: whenever an erasure was requested, and every two seconds.
pub async fn run(engine: Arc<Engine>, keeper: Arc<Keeper>, stop: CancellationToken) {
    let requested = engine.erasures();
    loop {
        let done = if engine.leads() { advance_all(&engine, &keeper).await } else { Ok(0) };
        match done {
            Ok(0) => {}
            Ok(_) => continue,
            Err(error) => tracing::warn!(%error, "an erasure cannot go on for now; it is tried again"),
        }
        tokio::select! {
            () = requested.notified() => {}
            () = tokio::time::sleep(EVERY) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Takes the erasures that are due to their end, so many as share a rotation; returns how many there were.
///
/// # Errors
/// A step could not be taken; it is taken again by the next call.
pub async fn advance_all(engine: &Engine, keeper: &Keeper) -> Result<usize, Error> {
    // The ledger must hold every request that was acknowledged.
    applied(engine).await?;
    let due = erasure_ledger::due(engine.read(), engine.now(), BATCH_MAX).await?;
    if due.is_empty() {
        return Ok(0);
    }
    crash_point::reach("erase.due");
    let before = |step: Recorded| due.iter().filter(move |erasure| erasure.step < step);

    try_join_all(before(Recorded::Begun).map(|erasure| {
        let begin = Step::Begin(erasure.scope, erasure.operation.clone());
        record(engine, erasure, begin, vec![])
    }))
    .await?;
    applied(engine).await?;
    // A legal hold that was placed a moment ago has kept some from beginning.
    let due: Vec<Erasure> = begun(engine, &due).await?;
    crash_point::reach("erase.begun");
    let before = |step: Recorded| due.iter().filter(move |erasure| erasure.step < step);

    try_join_all(before(Recorded::RelationsEnded).map(|erasure| end_relations(engine, erasure))).await?;
    crash_point::reach("erase.relations_ended");
    destroy(engine, keeper, &before(Recorded::Scrubbed).collect::<Vec<_>>()).await?;
    applied(engine).await?;
    crash_point::reach("erase.scrubbed");
    try_join_all(before(Recorded::ReadModelsScrubbed).map(|erasure| scrub_read_models(engine, erasure))).await?;
    crash_point::reach("erase.read_models_scrubbed");
    let control_opened = sealed::control_opens(engine.vault().as_ref()).await?;
    crash_point::reach("erase.control_opened");
    try_join_all(before(Recorded::Verified).map(|erasure| verify(engine, erasure, control_opened))).await?;
    crash_point::reach("erase.verified");
    try_join_all(before(Recorded::Reported).map(|erasure| report(engine, keeper, erasure))).await?;
    crash_point::reach("erase.reported");
    let finality = engine.vault().finality().class();
    try_join_all(due.iter().map(|erasure| record(engine, erasure, Step::Finalise(finality), vec![]))).await?;
    crash_point::reach("erase.finalise_recorded");
    applied(engine).await?;
    crash_point::reach("erase.finalised");
    Ok(due.len())
}

async fn applied(engine: &Engine) -> Result<(), Error> {
    Ok(engine.all_applied().await?)
}

/// Those that have begun, as they are now.
async fn begun(engine: &Engine, due: &[Erasure]) -> Result<Vec<Erasure>, Error> {
    let mut begun = Vec::with_capacity(due.len());
    for erasure in due {
        let now = erasure_ledger::by_id(engine.read(), &erasure.app, erasure.erasure).await?;
        begun.extend(now.filter(|now| now.begun_at.is_some() && !now.is_ended()));
    }
    Ok(begun)
}

/// What an erasure of this scope erases.
#[must_use]
pub fn classes(scope: Scope) -> &'static [Class] {
    match scope {
        Scope::Deactivate => &[Class::Profile, Class::Moderation],
        Scope::Forget => &Class::ALL,
    }
}

async fn record(engine: &Engine, erasure: &Erasure, step: Step, friends: Vec<SubjectRef>) -> Result<(), Error> {
    let caller = Caller::internal(erasure.app.clone(), Actor::System);
    let step = Advance { erasure: erasure.erasure, subject: erasure.subject, step, friends };
    engine.execute(&caller, step).await?;
    Ok(())
}

async fn end_relations(engine: &Engine, erasure: &Erasure) -> Result<(), Error> {
    let mut ended = 0_usize;
    loop {
        let friends = friend_graph::all_of(engine.read(), erasure.subject, RELATIONS_MAX).await?;
        let last = friends.len() < RELATIONS_MAX as usize / 2;
        ended += friends.len();
        let step =
            if last { Step::EndRelations(u32::try_from(ended).unwrap_or(u32::MAX)) } else { Step::EndSomeRelations };
        record(engine, erasure, step, friends.into_iter().collect()).await?;
        if last {
            return Ok(());
        }
        applied(engine).await?;
    }
}

/// Destroys the keys of all these erasures in one rotation, detaches what they sealed, records the scrubbing.
async fn destroy(engine: &Engine, keeper: &Keeper, erasures: &[&Erasure]) -> Result<(), Error> {
    if erasures.is_empty() {
        return Ok(());
    }
    // The vault knows of the requests before it acts on them: a log without them is recognised.
    keeper.close().await?;
    crash_point::reach("erase.witnessed");
    let doom = |erasure: &&Erasure| KeysToDestroy {
        erasure: erasure.erasure,
        app: erasure.app.clone(),
        subject: erasure.subject,
        classes: classes(erasure.scope).to_vec(),
        operation: erasure.operation.clone(),
    };
    let keys_to_destroy: Vec<_> = erasures.iter().map(doom).collect();
    let vault = engine.vault().clone();
    let destroyed = tokio::task::spawn_blocking(move || vault.destroy(&keys_to_destroy))
        .await
        .map_err(|error| engine::Error::Unavailable(error.to_string()))??;
    crash_point::reach("erase.destroyed");
    let scrub = |(erasure, done)| scrub(engine, erasure, done);
    try_join_all(erasures.iter().copied().zip(destroyed).map(scrub)).await?;
    Ok(())
}

/// Detaches what the destroyed keys sealed and records the scrubbing.
async fn scrub(engine: &Engine, erasure: &Erasure, done: Destruction) -> Result<(), Error> {
    let detached = sealed::detach(engine, erasure.subject, &done.keys).await?;
    crash_point::reach("erase.detached");
    let step = Step::Scrub {
        classes: done.keys_to_destroy.classes,
        keys: done.keys,
        root_cell: engine.vault().cell(),
        generations: (done.generation_before, done.generation_after),
        events_detached: detached.events,
        values_detached: detached.values,
    };
    record(engine, erasure, step, vec![]).await?;
    crash_point::reach("erase.scrub_recorded");
    Ok(())
}

async fn scrub_read_models(engine: &Engine, erasure: &Erasure) -> Result<(), Error> {
    let remains = rollcall_projections::remains(engine.read(), erasure.subject, classes(erasure.scope)).await?;
    if let Some(left) = remains.iter().find(|count| count.values > 0) {
        let what = format!("the read model {} still holds {} of its values", left.store, left.values);
        return Err(Error::Unverified { erasure: erasure.erasure.0, what });
    }
    crash_point::reach("erase.remains_counted");
    record(engine, erasure, Step::ScrubReadModels(remains), vec![]).await
}

async fn verify(engine: &Engine, erasure: &Erasure, control_opened: bool) -> Result<(), Error> {
    let tried = sealed::try_to_open(engine, erasure.subject, classes(erasure.scope)).await?;
    if tried.opened > 0 || !control_opened {
        let what = format!("{} of its values open; a control value opens: {control_opened}", tried.opened);
        return Err(Error::Unverified { erasure: erasure.erasure.0, what });
    }
    crash_point::reach("erase.tried");
    record(engine, erasure, Step::Verify { tried: tried.values, control_opened }, vec![]).await
}

/// Issues the report. Two may make one for the same erasure, after a crash; the log takes one of them.
async fn report(engine: &Engine, keeper: &Keeper, erasure: &Erasure) -> Result<(), Error> {
    let Issued { report, sha256, envelope } =
        issue(keeper, engine.vault().as_ref(), erasure.erasure, engine.now(), vec![]).await?;
    crash_point::reach("erase.report_made");
    record(engine, erasure, Step::Report { status: report.status, sha256, envelope }, vec![]).await?;
    crash_point::reach("erase.report_recorded");
    Ok(())
}
