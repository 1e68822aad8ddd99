//! What a test can make go wrong; nothing in a release build.

use std::time::Duration;

/// Faults of an appender.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// How long a batch stands still at most before it commits, its lock held.
    pub stall_max: Duration,
    /// The mutation: a batch does not take the log's lock.
    pub without_lock: bool,
}

impl Faults {
    /// Stands still for some time up to the longest, as the batch's first position has it.
    pub(super) async fn stall(&self, position: u64) {
        if cfg!(debug_assertions) && !self.stall_max.is_zero() {
            // Spread over the whole range, and the same again in another run.
            let part = u32::try_from(position.wrapping_mul(2_654_435_761) % 1_000).unwrap_or_default();
            tokio::time::sleep(self.stall_max * part / 1_000).await;
        }
    }

    pub(super) fn takes_lock(&self) -> bool {
        !(cfg!(debug_assertions) && self.without_lock)
    }
}
