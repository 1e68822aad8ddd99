//! Rotates the keys from time to time, so that a copy of the vault that got away is worth nothing for long, and that the
//! way every erasure takes is taken also where nobody is erased.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Engine;
use crate::privacy::{Error, Rotated};

/// Runs until `stop`; the time is that of this process, so it begins anew with every start.
pub async fn run(engine: Arc<Engine>, every: Option<Duration>, stop: CancellationToken) {
    let Some(every) = every else { return };
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = stop.cancelled() => return,
        }
        match rotate(&engine).await {
            Ok(Rotated { generation_after, .. }) => {
                tracing::info!(generation = generation_after, "the keys are rotated")
            }
            Err(error) => tracing::warn!(%error, "the keys could not be rotated; that is tried again at the next time"),
        }
    }
}

async fn rotate(engine: &Engine) -> Result<Rotated, Error> {
    let vault = engine.vault().clone();
    // It rewrites every subject's keys: long enough to be in the way of what runs on this thread.
    let rotated = tokio::task::spawn_blocking(move || vault.rotate()).await;
    rotated.unwrap_or_else(|error| Err(Error::Unavailable(format!("the rotation did not end: {error}"))))
}
