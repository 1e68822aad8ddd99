//! The steps of one erasure. Each is recorded, and skipped where it was recorded before.

use rollcall_projections::erasure_ledger::{self, Erasure, Step as Recorded};
use rollcall_projections::friend_graph;
use rollcall_schemas::plain::StoreCount;
use tokio::sync::OnceCell;

use super::{Error, classes, notice, record, sealed};
use crate::audit::report::issue::{Issued, issue};
use crate::audit::tree::Keeper;
use crate::crash_point;
use crate::domain::erasure::Step;
use crate::engine::Engine;
use crate::privacy::Destruction;

/// Relations ended at once; the two sides of a mutual request are counted twice.
const RELATIONS_MAX: u32 = 4_000;

/// Begins an erasure and ends its relations. `None`: it does not begin, because it was called off or is held.
pub(super) async fn begin(engine: &Engine, due: &Erasure) -> Result<Option<Erasure>, Error> {
    if due.step < Recorded::Begun {
        let begun = record(engine, due, Step::Begin(due.scope, due.operation.clone()), vec![]).await?;
        engine.applied_up_to(begun).await?;
    }
    let now = erasure_ledger::by_id(engine.read(), &due.app, due.erasure).await?;
    let Some(erasure) = now.filter(|now| now.begun_at.is_some() && !now.is_ended()) else { return Ok(None) };
    crash_point::reach("erase.begun");
    if erasure.step < Recorded::RelationsEnded {
        end_relations(engine, &erasure).await?;
    }
    crash_point::reach("erase.relations_ended");
    Ok(Some(erasure))
}

async fn end_relations(engine: &Engine, erasure: &Erasure) -> Result<(), Error> {
    let mut ended = 0_usize;
    loop {
        let friends = friend_graph::all_of(engine.read(), erasure.subject, RELATIONS_MAX).await?;
        let last = friends.len() < RELATIONS_MAX as usize / 2;
        ended += friends.len();
        let step =
            if last { Step::EndRelations(u32::try_from(ended).unwrap_or(u32::MAX)) } else { Step::EndSomeRelations };
        let recorded = record(engine, erasure, step, friends.into_iter().collect()).await?;
        if last {
            return Ok(());
        }
        engine.applied_up_to(recorded).await?;
    }
}

/// Takes an erasure from the destruction of its keys to its end. `destroyed`: absent where that was recorded before.
/// `control` is whether a value that nobody erased opens; it is tried once for all that share it.
pub(super) async fn finish(
    engine: &Engine,
    keeper: &Keeper,
    erasure: &Erasure,
    destroyed: Option<Destruction>,
    control: &OnceCell<bool>,
) -> Result<(), Error> {
    if let Some(destroyed) = destroyed {
        let scrubbed = scrub(engine, erasure, destroyed).await?;
        engine.applied_up_to(scrubbed).await?;
    }
    crash_point::reach("erase.scrubbed");
    if erasure.step < Recorded::ReadModelsScrubbed {
        scrub_read_models(engine, erasure).await?;
    }
    crash_point::reach("erase.read_models_scrubbed");
    let control_opens = || sealed::control_opens(engine.vault().as_ref());
    let control_opened = *control.get_or_try_init(control_opens).await?;
    crash_point::reach("erase.control_opened");
    if erasure.step < Recorded::Verified {
        verify(engine, erasure, control_opened).await?;
    }
    crash_point::reach("erase.verified");
    if erasure.step < Recorded::Reported {
        report(engine, keeper, erasure).await?;
    }
    crash_point::reach("erase.reported");
    let finality = engine.vault().finality().class();
    let finalised = record(engine, erasure, Step::Finalise(finality), vec![]).await?;
    crash_point::reach("erase.finalise_recorded");
    engine.applied_up_to(finalised).await?;
    crash_point::reach("erase.finalised");
    Ok(())
}

/// Detaches what the destroyed keys sealed and records the scrubbing.
async fn scrub(engine: &Engine, erasure: &Erasure, done: Destruction) -> Result<u64, Error> {
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
    let recorded = record(engine, erasure, step, vec![]).await?;
    crash_point::reach("erase.scrub_recorded");
    Ok(recorded)
}

async fn scrub_read_models(engine: &Engine, erasure: &Erasure) -> Result<(), Error> {
    let mut remains = rollcall_projections::remains(engine.read(), erasure.subject, classes(erasure.scope)).await?;
    for kept in engine.kept_beside() {
        kept.forget(erasure.subject).await?;
        let values = kept.remains(erasure.subject).await?;
        remains.push(StoreCount { store: kept.name().into(), values });
    }
    if let Some(left) = remains.iter().find(|count| count.values > 0) {
        let what = format!("the store {} still holds {} of its values", left.store, left.values);
        return Err(Error::Unverified { erasure: erasure.erasure.0, what });
    }
    crash_point::reach("erase.remains_counted");
    record(engine, erasure, Step::ScrubReadModels(remains), vec![]).await?;
    Ok(())
}

async fn verify(engine: &Engine, erasure: &Erasure, control_opened: bool) -> Result<(), Error> {
    let tried = sealed::try_to_open(engine, erasure.subject, classes(erasure.scope)).await?;
    if tried.opened > 0 || !control_opened {
        let what = format!("{} of its values open; a control value opens: {control_opened}", tried.opened);
        return Err(Error::Unverified { erasure: erasure.erasure.0, what });
    }
    crash_point::reach("erase.tried");
    record(engine, erasure, Step::Verify { tried: tried.values, control_opened }, vec![]).await?;
    Ok(())
}

/// Issues the report. After a crash two nodes may make one for the same erasure; the log accepts the first.
async fn report(engine: &Engine, keeper: &Keeper, erasure: &Erasure) -> Result<(), Error> {
    let recipients = notice::recipients(engine, erasure.subject).await?;
    let Issued { report, sha256, envelope } =
        issue(keeper, engine.vault().as_ref(), erasure.erasure, engine.now(), recipients).await?;
    crash_point::reach("erase.report_made");
    record(engine, erasure, Step::Report { status: report.status, sha256, envelope }, vec![]).await?;
    crash_point::reach("erase.report_recorded");
    Ok(())
}
