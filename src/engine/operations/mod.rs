//! Deals with the users of bulk operations, on the node that leads: a few at a time, each by a command of its own, so that
//! no other caller waits for an operation.
//!
//! What became of each is recorded before the next ones are taken up. A user whose turn was cut short, by a crash or by
//! another node that leads now, is dealt with once more under the same idempotency key, and so once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use rollcall_projections::operations::{self, Operation};
use rollcall_schemas::envelope::Actor;
use tokio_util::sync::CancellationToken;

use super::{Caller, Engine, Error};
use crate::crash_point;
use crate::domain::operation::Progress;

mod act;
mod would;

pub use would::{ListChange, Would, would, would_list};

/// How often it is looked for operations.
const EVERY: Duration = Duration::from_millis(250);
/// The wait after none of them could go on.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Users of one operation whose results are recorded together.
const CHUNK: u32 = 50;
/// Users that are dealt with at the same time: far fewer than the decider takes at once.
const AT_ONCE: usize = 8;
/// Operations that are taken up in one round, each for one chunk.
const OPEN_MAX: u32 = 100;

/// Runs until `stop`. What is under way then is dropped, and taken up again by whoever leads next.
pub async fn run(engine: Arc<Engine>, stop: CancellationToken) {
    let mut is_stuck = false;
    loop {
        let went = stop.run_until_cancelled(round(&engine)).await;
        let was_stuck = std::mem::replace(&mut is_stuck, matches!(went, Some(Err(_))));
        let wait = match went {
            None => return,
            Some(Ok(true)) => continue,
            Some(Ok(false)) => EVERY,
            Some(Err(error)) => {
                // One line says enough until one of them goes on again.
                if !was_stuck {
                    tracing::warn!(%error, "bulk operations cannot go on for now; they are tried again");
                }
                RETRY_AFTER
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// Takes every open operation one chunk further; answers whether there was one.
async fn round(engine: &Engine) -> Result<bool, Error> {
    if !engine.leads() || operations::open(engine.read(), 0, 1).await?.is_empty() {
        return Ok(false);
    }
    // What was recorded before, by whichever node, must be known.
    engine.all_applied().await?;
    let open = operations::open(engine.read(), 0, OPEN_MAX).await?;
    let (mut went_on, mut failed) = (open.is_empty(), None);
    for operation in &open {
        // One that cannot go on holds up no other.
        match advance(engine, operation).await {
            Ok(()) => went_on = true,
            Err(error) => {
                tracing::debug!(%error, operation = %operation.batch, "a bulk operation cannot go on for now");
                failed = Some(error);
            }
        }
    }
    match failed {
        Some(error) if !went_on => Err(error),
        Some(_) | None => Ok(!open.is_empty()),
    }
}

/// Deals with the next users of an operation and records what became of them, also where a later one could not be dealt
/// with.
async fn advance(engine: &Engine, operation: &Operation) -> Result<(), Error> {
    let (batch, from, undoes) = (operation.batch, operation.reached(), operation.undone.is_some());
    let items = operations::items(engine.read(), batch, from.checked_sub(1), CHUNK).await?;
    let mut dealt = stream::iter(items).map(|item| act::deal(engine, operation, item)).buffered(AT_ONCE);
    let (mut results, mut failed) = (vec![], None);
    while let Some(result) = dealt.next().await {
        match result {
            Ok(result) => results.push(result),
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
    }
    drop(dealt);
    crash_point::reach("operation.dealt");
    if !results.is_empty() {
        let caller = Caller { correlation: batch.0, ..Caller::internal(operation.app.clone(), Actor::System) };
        engine.execute(&caller, Progress { batch, undoes, from, results }).await?;
        crash_point::reach("operation.recorded");
    }
    failed.map_or(Ok(()), Err)
}
