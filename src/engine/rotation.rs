//! Rotates the keys from time to time, so that a copy of the vault that got away is worth nothing for long, and that the
//! way every erasure takes is taken also where nobody is erased.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::Engine;
use super::clock::Clock;
use crate::privacy::{Error, Rotated};

/// When a rotation that failed is tried again, unless the next one is due before.
const AGAIN: Duration = Duration::from_secs(3_600);

/// How often a node that does not lead looks whether it does.
const SOON: Duration = Duration::from_secs(10);

/// Runs until `stop`. The time counts from the last rotation, also over restarts.
pub async fn run(engine: Arc<Engine>, every: Option<Duration>, stop: CancellationToken) {
    let Some(every) = every else { return stop.cancelled().await };
    let clock = Clock::default();
    let mut failed = false;
    loop {
        let wait = match engine.vault().last_rotation() {
            _ if !engine.leads() => SOON,
            Ok(last) if !failed => left(last, clock.now(), every),
            _ => every.min(AGAIN),
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return,
        }
        if !engine.leads() {
            continue;
        }
        let rotated = rotate(&engine).await;
        failed = rotated.is_err();
        match rotated {
            Ok(Rotated { generation_after, .. }) => {
                tracing::info!(generation = generation_after, "the keys are rotated")
            }
            Err(error) => tracing::warn!(%error, "the keys could not be rotated; that is tried again later"),
        }
    }
}

/// How long it is until the next rotation; the whole time where the clock was put back behind the last one.
fn left(last: DateTime<Utc>, now: DateTime<Utc>, every: Duration) -> Duration {
    every.saturating_sub((now - last).to_std().unwrap_or_default())
}

async fn rotate(engine: &Engine) -> Result<Rotated, Error> {
    let vault = engine.vault().clone();
    // It rewrites every subject's keys: long enough to be in the way of what runs on this thread.
    let rotated = tokio::task::spawn_blocking(move || vault.rotate()).await;
    rotated.unwrap_or_else(|error| Err(Error::Unavailable(format!("the rotation did not end: {error}"))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_time_until_a_rotation_counts_from_the_last_one_and_never_exceeds_the_whole() {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).unwrap();
        let week = Duration::from_secs(7 * 86_400);
        for (now, expected) in [(1_000, week), (1_060, week - Duration::from_secs(60)), (900, week)] {
            assert_eq!(left(at(1_000), at(now), week), expected, "at {now}");
        }
        assert_eq!(left(at(0), at(8 * 86_400), week), Duration::ZERO, "overdue: at once");
    }
}
