//! What a test can make go wrong; nothing in a release build.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// What became of a transaction whose flush was reported as failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailedSync {
    /// The file holds it nevertheless.
    Kept,
    /// The file does not hold it.
    Lost,
}

/// Faults of a log.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    next_sync: Arc<Mutex<Option<FailedSync>>>,
    next_checkpoint: Arc<AtomicBool>,
}

impl Faults {
    /// Has the next flush reported as failed.
    pub fn fail_sync(&self, failed: FailedSync) {
        *self.next_sync.lock().unwrap_or_else(PoisonError::into_inner) = Some(failed);
    }

    /// How the flush at hand fails, if it shall.
    pub(super) fn take(&self) -> Option<FailedSync> {
        if cfg!(debug_assertions) { self.next_sync.lock().unwrap_or_else(PoisonError::into_inner).take() } else { None }
    }

    /// Has the next flush of a checkpoint reported as failed.
    pub fn fail_checkpoint(&self) {
        self.next_checkpoint.store(true, Ordering::Relaxed);
    }

    /// Whether the flush at hand of a checkpoint fails.
    pub(super) fn take_checkpoint(&self) -> bool {
        cfg!(debug_assertions) && self.next_checkpoint.swap(false, Ordering::Relaxed)
    }
}
