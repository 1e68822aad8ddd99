//! The erasure process: takes every requested erasure through its steps. Each step is recorded, may be repeated
//! without harm, and is taken up again after a crash.
//!
//! Fenced → relations ended → keys destroyed, ciphertexts detached, scrubbing event → finished.

use std::sync::Arc;
use std::time::Duration;

use rollcall_projections::erasure_ledger::{self, Erasure};
use rollcall_projections::{audit_trail, friend_graph};
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::personal::{Class, Sealed};
use rollcall_schemas::plain::Scope;
use tokio_util::sync::CancellationToken;

use crate::domain::Command;
use crate::domain::command::ErasureStep;
use crate::domain::erasure::{State, Step};
use crate::engine::{Caller, Engine, Error, journal};

/// How many erasures share one rotation of the root.
const BATCH_MAX: u32 = 100;
/// How long an unfinished erasure waits at most before it is taken up again.
const EVERY: Duration = Duration::from_secs(2);
const PAGE: u32 = 512;
/// Relations ended at once; the two sides of a mutual request are counted twice.
const RELATIONS_MAX: u32 = 4_000;

/// Runs until `stop`: whenever an erasure was requested, and every two seconds.
pub async fn run(engine: Arc<Engine>, stop: CancellationToken) {
    let requested = engine.erasures();
    loop {
        match advance_all(&engine).await {
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

/// Takes every open erasure to its end; returns how many there were.
///
/// # Errors
/// A step could not be taken; it is taken again by the next call.
pub async fn advance_all(engine: &Engine) -> Result<usize, Error> {
    // The ledger must hold every request that was acknowledged, and the relations as they were at the fence.
    engine.applied_up_to(engine.log().head()).await?;
    let open = erasure_ledger::open(engine.read(), BATCH_MAX).await?;
    let mut scrub = Vec::new();
    for erasure in &open {
        if state_of(erasure) == State::Requested {
            end_relations(engine, erasure).await?;
        }
        if state_of(erasure) < State::Scrubbed {
            scrub.push(erasure);
        }
    }
    if !scrub.is_empty() {
        destroy(engine, &scrub).await?;
    }
    for erasure in &open {
        record(engine, erasure, Step::Finish, vec![]).await?;
    }
    engine.applied_up_to(engine.log().head()).await?;
    Ok(open.len())
}

fn state_of(erasure: &Erasure) -> State {
    use erasure_ledger::Step as Recorded;
    match erasure.step() {
        Recorded::Requested => State::Requested,
        Recorded::RelationsEnded => State::RelationsEnded,
        Recorded::Scrubbed => State::Scrubbed,
        Recorded::Finished => State::Finished,
    }
}

fn classes(scope: Scope) -> &'static [Class] {
    match scope {
        Scope::Deactivate => &[Class::Profile, Class::Moderation],
        Scope::Forget => &Class::ALL,
    }
}

async fn record(engine: &Engine, erasure: &Erasure, step: Step, friends: Vec<SubjectRef>) -> Result<(), Error> {
    let caller = Caller::internal(erasure.app.clone(), Actor::System);
    let step = ErasureStep { erasure: erasure.erasure, subject: erasure.subject, step, friends };
    engine.execute(&caller, Command::Erasure(step)).await?;
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
        engine.applied_up_to(engine.log().head()).await?;
    }
}

/// Destroys the keys of all these erasures in one rotation, detaches what they sealed, records the scrubbing.
async fn destroy(engine: &Engine, erasures: &[&Erasure]) -> Result<(), Error> {
    let subjects: Vec<_> = erasures.iter().map(|erasure| (erasure.subject, classes(erasure.scope))).collect();
    let vault = engine.vault().clone();
    let destroyed = tokio::task::spawn_blocking(move || vault.destroy(&subjects))
        .await
        .map_err(|error| Error::Unavailable(error.to_string()))??;
    for erasure in erasures {
        let events_detached = detach(engine, erasure).await?;
        let step = Step::Scrub {
            classes: classes(erasure.scope).to_vec(),
            keys_destroyed: destroyed.keys,
            generation_before: destroyed.generation_before,
            generation_after: destroyed.generation_after,
            events_detached,
        };
        record(engine, erasure, step, vec![]).await?;
    }
    Ok(())
}

/// Detaches the ciphertexts about a subject from the events that hold them; the events stay.
async fn detach(engine: &Engine, erasure: &Erasure) -> Result<u32, Error> {
    let subject = erasure.subject;
    let classes = classes(erasure.scope);
    let erased = |sealed: &Sealed| sealed.subject == subject && classes.contains(&sealed.class);
    let (mut detached, mut after) = (0, 0);
    loop {
        let positions = audit_trail::positions_about(engine.read(), subject, after, PAGE).await?;
        let Some(last) = positions.last() else { break };
        after = *last;
        let mut remaining = Vec::new();
        for position in positions {
            for raw in engine.log().read_all(position - 1, 1).await? {
                if let Some(left) = journal::detach(&raw, &erased)? {
                    remaining.push((raw.position, left.map(Into::into)));
                }
            }
        }
        if !remaining.is_empty() {
            detached += engine.log().detach(remaining).await?;
        }
    }
    Ok(u32::try_from(detached).unwrap_or(u32::MAX))
}
