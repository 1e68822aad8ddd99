//! What erasure and its proofs cost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rollcall_projections::erasure_ledger;
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::AppId;
use rollcall_schemas::plain::Scope;

use super::{Error, cpu_time, register};
use crate::audit::erasure::advance_all;
use crate::audit::report::issue;
use crate::audit::report::verify::{Verdict, verify};
use crate::audit::tree::{self, Keeper, leaf};
use crate::domain::erasure::{Erase, Request};
use crate::domain::values::UserId;
use crate::engine::{Caller, Engine};
use crate::out::say;
use crate::wiring::DataDir;

/// Users erased together.
const TOGETHER: usize = 1_000;
/// Users erased one after the other.
const ALONE: usize = 50;
const VERIFIED: u32 = 200;

async fn users(engine: &Engine, app: &AppId, stem: &str, count: usize) -> Result<Vec<UserId>, Error> {
    let mut users = Vec::with_capacity(count);
    for number in 0..count {
        let user_id = format!("{stem}{number}");
        register(engine, app, &user_id).await?;
        let parsed = UserId::parse("userId", &user_id).map_err(|error| Error::Constant(error.to_string()))?;
        users.push(parsed);
    }
    engine.all_applied().await?;
    Ok(users)
}

async fn request(engine: &Engine, app: &AppId, who: Vec<UserId>) -> Result<(), Error> {
    let caller = Caller { overrides_brake: true, ..Caller::internal(app.clone(), Actor::Operator) };
    engine.execute(&caller, Erase { who, scope: Scope::Deactivate, request: Request::default() }).await?;
    Ok(())
}

/// Erases users, all at once and one by one, and checks a report. `subjects`: how many subjects the vault should have.
pub(super) async fn measure(engine: &Arc<Engine>, keeper: &Keeper, app: &AppId, subjects: u64) -> Result<(), Error> {
    for _ in 0..subjects {
        engine.vault().allocate().await?;
    }
    let together = users(engine, app, "erased", TOGETHER).await?;
    for some in together.chunks(100) {
        request(engine, app, some.to_vec()).await?;
    }
    let (began, cpu) = (Instant::now(), cpu_time("self")?);
    while advance_all(engine, keeper).await? > 0 {}
    let (took, cpu) = (began.elapsed(), cpu_time("self")?.saturating_sub(cpu));
    let count = u32::try_from(TOGETHER).unwrap_or(1);
    say!(
        "{:<44} {:>10.0}/s  CPU {:>8.2?} each, at {subjects} other subjects",
        "erase, batched",
        f64::from(count) / took.as_secs_f64(),
        cpu / count
    );

    let mut times = Vec::with_capacity(ALONE);
    for user in users(engine, app, "alone", ALONE).await? {
        let began = Instant::now();
        request(engine, app, vec![user]).await?;
        while advance_all(engine, keeper).await? > 0 {}
        times.push(began.elapsed());
    }
    times.sort_unstable();
    say!(
        "{:<44} p50 {:>8.2?}  p99 {:>8.2?}",
        "erase one, requested to finalised",
        times[ALONE / 2],
        times[ALONE * 99 / 100]
    );

    let newest = erasure_ledger::page(engine.read(), app, None, 1).await?;
    let Some(newest) = newest.first() else { return Err(Error::Constant("nothing was erased".into())) };
    let report = issue::newest(keeper, engine.vault().as_ref(), newest.erasure, engine.now()).await?;
    let trusted = keeper.verifiers();
    let began = Instant::now();
    for _ in 0..VERIFIED {
        if !matches!(verify(report.envelope.as_bytes(), &trusted), Verdict::Final(_)) {
            return Err(Error::Constant("a report does not verify".into()));
        }
    }
    say!("{:<44} {:>10.2?}  ({} bytes)", "verify a report", began.elapsed() / VERIFIED, report.envelope.len());
    Ok(())
}

/// What the tree costs per event, and how fast a walk over the whole log is. `registration`: CPU time of one.
pub(super) async fn measure_tree(data: &DataDir, registration: Duration) -> Result<(), Error> {
    let events = data.log.read_all(0, 100_000).await?;
    let count = u32::try_from(events.len()).unwrap_or(u32::MAX).max(1);
    let (began, mut hashes) = (Instant::now(), Vec::with_capacity(events.len()));
    hashes.extend(events.iter().map(leaf::hash));
    let dir = data.path().join("bench-tree");
    tree::tiles::Tiles::open(&dir, 0)?.append(&hashes)?;
    let each = began.elapsed() / count;
    std::fs::remove_dir_all(dir)?;
    // A registration records three events: the user, its place on the roster, its token.
    let share = 300.0 * each.as_secs_f64() / registration.as_secs_f64().max(f64::EPSILON);
    say!("{:<44} {each:>10.2?}  per event, {share:.1} % of a registration's CPU", "tree over the log");
    drop((events, hashes));
    let began = Instant::now();
    let tree = data.tree();
    let verdict = tree::verify::verify(&tree, None, &data.log, data.vault.as_ref(), &|_, _| {}).await?;
    let tree::verify::Verdict::Whole { events, .. } = verdict else {
        return Err(Error::Constant(format!("the log is not whole: {verdict:?}")));
    };
    #[allow(clippy::cast_precision_loss)]
    let rate = events as f64 / began.elapsed().as_secs_f64();
    say!("{:<44} {rate:>10.0} events/s  ({events} events, {:.1?})", "audit verify", began.elapsed());
    Ok(())
}
