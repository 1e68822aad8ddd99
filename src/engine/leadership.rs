//! Whose leadership it is to apply events to read models that several nodes share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rollcall_projections::store::{Lease, LeaseHolder, ReadStore};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How long an answer of the database about the lease is waited for: less than a lease lasts.
const ANSWER_MAX: Duration = Duration::from_millis(1_500);

/// Whether it is this node's leadership.
#[derive(Clone)]
pub(super) struct Leadership {
    leads: Arc<AtomicBool>,
    /// Whether the last question was not answered: it is asked often, and said once.
    unanswered: Arc<AtomicBool>,
    holder: LeaseHolder,
}

impl Default for Leadership {
    /// Where there is nobody else, it always is.
    fn default() -> Self {
        Self { leads: Arc::new(AtomicBool::new(true)), unanswered: Arc::default(), holder: LeaseHolder(Uuid::new_v4()) }
    }
}

impl Leadership {
    pub(super) fn is_leader(&self) -> bool {
        self.leads.load(Ordering::Acquire)
    }

    /// Asks for the lease once, where one is needed.
    pub(super) async fn renew(&self, read: &ReadStore) {
        let Some(lease) = read.lease() else { return };
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
