//! Rotates the keys from time to time, so that a copy of the vault that got away is worth nothing for long, and that the
//! way every erasure takes is taken also where nobody is erased.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::Engine;
use crate::privacy::{Error, Rotated};
use crate::tasks;

/// When a rotation that failed is tried again, unless the next one is due before.
const AGAIN: Duration = Duration::from_secs(3_600);
/// How often it is looked whether one is due: the clock may be set meanwhile, and another node may have rotated.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// How often a node that does not lead looks whether it does.
const SOON: Duration = Duration::from_secs(10);

/// Rotates until `stop`; `every`: how often, `None`: never.
pub async fn run(engine: Arc<Engine>, every: Option<Duration>, stop: CancellationToken) {
    let Some(every) = every else { return stop.cancelled().await };
    let mut rotations = Rotations::new(every);
    loop {
        let wait = rotations.look(&engine).await;
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => return,
        }
    }
}

/// When the keys are rotated. The time counts from the last rotation, also over restarts.
#[derive(Debug)]
pub struct Rotations {
    every: Duration,
    /// When this node tried last, and how long it waits from then on.
    tried: Option<(DateTime<Utc>, Duration)>,
}

impl Rotations {
    /// One every so often.
    #[must_use]
    pub fn new(every: Duration) -> Self {
        Self { every, tried: None }
    }

    /// Rotates the keys where that is due by the engine's clock, on the node that leads. Answers after how long to look again.
    pub async fn look(&mut self, engine: &Engine) -> Duration {
        if !engine.leads() {
            return SOON;
        }
        let vault = engine.vault().clone();
        let left = match on_blocking_thread(move || vault.last_rotation()).await {
            Ok(last) => self.left(last, engine.now()),
            Err(error) => {
                tracing::warn!(%error, "it is not known when the keys were rotated last; that is looked up again later");
                LOOK_EVERY
            }
        };
        if !left.is_zero() {
            return left.min(LOOK_EVERY);
        }
        let vault = engine.vault().clone();
        let rotated = on_blocking_thread(move || vault.rotate()).await;
        let wait = if rotated.is_ok() { self.every } else { self.every.min(AGAIN) };
        self.tried = Some((engine.now(), wait));
        match rotated {
            Ok(Rotated { generation_after, .. }) => {
                tracing::info!(generation = generation_after, "the keys are rotated");
            }
            Err(error) => tracing::warn!(%error, "the keys could not be rotated; that is tried again later"),
        }
        wait.min(LOOK_EVERY)
    }

    /// How long it is until the next rotation. What this node did itself counts as well: the vault's clock may be behind its own,
    /// and then a rotation would seem overdue as soon as it is done.
    fn left(&self, last: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
        let tried = self.tried.map_or(Duration::ZERO, |(at, wait)| left(at, now, wait));
        left(last, now, self.every).max(tried)
    }
}

/// What is left of a time that began `since`; the whole where the clock was put back behind that.
fn left(since: DateTime<Utc>, now: DateTime<Utc>, whole: Duration) -> Duration {
    whole.saturating_sub((now - since).to_std().unwrap_or_default())
}

/// Reading waits for a disk or a network; a rotation rewrites the keys of every subject.
async fn on_blocking_thread<T: Send + 'static>(
    task: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tasks::spawn_blocking(task).await;
    done.unwrap_or_else(|error| Err(Error::Unavailable(format!("the vault did not answer: {error}"))))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const WEEK: Duration = Duration::from_secs(7 * 86_400);

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    #[test]
    fn the_time_until_a_rotation_counts_from_the_last_one_and_never_exceeds_the_whole() {
        let rotations = Rotations::new(WEEK);
        for (now, expected) in [(1_000, WEEK), (1_060, WEEK - Duration::from_secs(60)), (900, WEEK)] {
            assert_eq!(rotations.left(at(1_000), at(now)), expected, "at {now}");
        }
        assert_eq!(rotations.left(at(0), at(8 * 86_400)), Duration::ZERO, "overdue: at once");
    }

    #[test]
    fn a_rotation_that_was_tried_is_not_due_again_at_once_whatever_the_vault_says_of_its_time() {
        let now = at(100 * 86_400);
        // The clock of the vault is two weeks behind.
        let last = at(86 * 86_400);
        let tried = |wait| Rotations { every: WEEK, tried: Some((now, wait)) };
        assert_eq!(tried(WEEK).left(last, now), WEEK);
        assert_eq!(tried(AGAIN).left(last, now), AGAIN, "it failed");
        assert_eq!(tried(AGAIN).left(last, now + chrono::TimeDelta::hours(1)), Duration::ZERO);
        assert_eq!(tried(AGAIN).left(now, now), WEEK, "another node has done it meanwhile");
    }
}
