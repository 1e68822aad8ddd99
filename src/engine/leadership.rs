//! Whose leadership it is to apply events to read models that several nodes share.
//!
//! A node renews its lease only while its projector makes progress. One that is stuck in a batch lets the lease go: what
//! it still writes then moves the checkpoints from where another node may have taken them, and fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rollcall_projections::store::{Lease, LeaseHolder, ReadStore};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long an answer of the database about the lease is waited for: less than a lease lasts.
const ANSWER_MAX: Duration = Duration::from_millis(1_500);

/// How long a batch may take until its node lets the lease go. A batch takes milliseconds; a disk that is busy, seconds.
const BATCH_MAX: Duration = Duration::from_secs(5);

/// Whether it is this node's leadership.
#[derive(Clone)]
pub(super) struct Leadership {
    leads: Arc<AtomicBool>,
    /// Whether the last question was not answered: it is asked often, and said once.
    unanswered: Arc<AtomicBool>,
    /// When the projector began the batch it works on.
    batch_begun: Arc<Mutex<Option<Instant>>>,
    holder: LeaseHolder,
}

impl Default for Leadership {
    /// Where there is nobody else, it always is.
    fn default() -> Self {
        Self {
            leads: Arc::new(AtomicBool::new(true)),
            unanswered: Arc::default(),
            batch_begun: Arc::default(),
            holder: LeaseHolder(Uuid::new_v4()),
        }
    }
}

impl Leadership {
    pub(super) fn is_leader(&self) -> bool {
        self.leads.load(Ordering::Acquire)
    }

    /// To be kept while the projector works on a batch.
    pub(super) fn begin_batch(&self) -> Batch<'_> {
        *self.batch_begun() = Some(Instant::now());
        Batch(self)
    }

    fn batch_begun(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.batch_begun.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the projector makes no progress.
    fn is_stalled(&self, now: Instant) -> bool {
        self.batch_begun().is_some_and(|begun| now.saturating_duration_since(begun) > BATCH_MAX)
    }

    /// Asks for the lease once, where one is needed; lets it go where the projector makes no progress.
    pub(super) async fn renew(&self, read: &ReadStore) {
        let Some(lease) = read.lease() else { return };
        if self.is_stalled(Instant::now()) {
            if self.leads.swap(false, Ordering::AcqRel) {
                tracing::warn!(
                    seconds = BATCH_MAX.as_secs(),
                    "a batch of events is not applied for too long; another node may apply events from now on"
                );
                self.release(read).await;
            }
            return;
        }
        let answer = tokio::time::timeout(ANSWER_MAX, lease.take(self.holder)).await;
        let answer =
            answer.map_or_else(|_| Err("the database does not answer".to_owned()), |a| a.map_err(|e| e.to_string()));
        if let Err(error) = &answer
            && !self.unanswered.load(Ordering::Acquire)
        {
            tracing::warn!(error, "the lease of the read models cannot be renewed for now");
        }
        self.unanswered.store(answer.is_err(), Ordering::Release);
        let taken = answer.unwrap_or(false);
        if self.leads.swap(taken, Ordering::AcqRel) != taken {
            tracing::info!(taken, "whose leadership it is to apply events has changed");
        }
    }

    /// Keeps asking until `stop`, and lets the lease go then.
    pub(super) async fn keep_renewing(self, read: Arc<ReadStore>, stop: CancellationToken) {
        if read.lease().is_none() {
            return;
        }
        while !stop.is_cancelled() {
            self.renew(&read).await;
            tokio::select! {
                () = tokio::time::sleep(if self.is_leader() { Lease::RENEW } else { Lease::RENEW / 4 }) => {}
                () = stop.cancelled() => {}
            }
        }
        self.release(&read).await;
    }

    /// Lets the lease go, where one was needed.
    pub(super) async fn release(&self, read: &ReadStore) {
        if let Some(lease) = read.lease() {
            let _ = tokio::time::timeout(ANSWER_MAX, lease.release(self.holder)).await;
        }
    }
}

/// A batch that the projector works on, until dropped.
pub(super) struct Batch<'l>(&'l Leadership);

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        *self.0.batch_begun() = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_stalled_once_a_batch_takes_too_long_and_not_between_batches() {
        let leadership = Leadership::default();
        let hours = Instant::now() + Duration::from_secs(36_000);
        assert!(!leadership.is_stalled(hours), "nothing is to be applied");
        let before = Instant::now();
        let batch = leadership.begin_batch();
        assert!(!leadership.is_stalled(before + BATCH_MAX));
        assert!(leadership.is_stalled(hours));
        drop(batch);
        assert!(!leadership.is_stalled(hours));
    }

    #[test]
    fn a_lease_is_asked_for_often_enough_that_one_question_without_an_answer_does_not_lose_it() {
        assert!(Lease::RENEW + ANSWER_MAX + Lease::RENEW / 4 < Lease::LASTS);
    }
}
