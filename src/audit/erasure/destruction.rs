//! The keys of many erasures, destroyed in one rotation of the root.

use rollcall_projections::erasure_ledger::Erasure;

use super::{Error, classes};
use crate::audit::tree::Keeper;
use crate::crash_point;
use crate::engine::{self, Engine};
use crate::privacy::{self, Destruction, KeysToDestroy};
use crate::tasks;

/// An erasure, and what became of its keys.
type Destroyed = (Erasure, Result<Destruction, Error>);

/// Destroys the keys of all these erasures, in one rotation where that succeeds. Where the vault finds something wrong
/// with one of them, the batch is halved until that one is alone, so that it does not hold up the others.
///
/// # Errors
/// The log or the tree is unavailable: nothing was destroyed.
pub(super) async fn destroy(engine: &Engine, keeper: &Keeper, erasures: Vec<Erasure>) -> Result<Vec<Destroyed>, Error> {
    if erasures.is_empty() {
        return Ok(vec![]);
    }
    // The vault knows of the requests before it acts on them: a log without them is recognised.
    keeper.close().await?;
    crash_point::reach("erase.witnessed");
    let (mut all, mut pending) = (Vec::with_capacity(erasures.len()), vec![erasures]);
    while let Some(mut some) = pending.pop() {
        match rotate(engine, &some).await {
            Ok(destroyed) => all.extend(some.into_iter().zip(destroyed.into_iter().map(Ok))),
            Err(error) if some.len() == 1 || matches!(error, privacy::Error::Unavailable(_)) => {
                let failed = |erasure| (erasure, Err(engine::Error::Unavailable(error.to_string()).into()));
                all.extend(some.into_iter().map(failed));
            }
            Err(_) => {
                let half = some.split_off(some.len() / 2);
                pending.extend([some, half]);
            }
        }
    }
    crash_point::reach("erase.destroyed");
    Ok(all)
}

async fn rotate(engine: &Engine, erasures: &[Erasure]) -> Result<Vec<Destruction>, privacy::Error> {
    let of = |erasure: &Erasure| KeysToDestroy {
        erasure: erasure.erasure,
        app: erasure.app.clone(),
        subject: erasure.subject,
        classes: classes(erasure.scope).to_vec(),
        operation: erasure.operation.clone(),
    };
    let keys: Vec<_> = erasures.iter().map(of).collect();
    let vault = engine.vault().clone();
    let destroyed = tasks::spawn_blocking(move || vault.destroy(&keys)).await;
    destroyed.map_err(|error| privacy::Error::Unavailable(error.to_string()))?
}
