//! What a node does differently where there are others: it asks instead of believing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rollcall_schemas::stream::Stream;
use tokio::sync::Mutex;

use super::leadership::Leadership;
use crate::eventlog::{Error, EventLog};

/// The other nodes, as this one has to reckon with them.
pub(super) struct Nodes {
    /// Whether there may be any.
    pub(super) are_there: bool,
    /// Whose leadership it is.
    pub(super) leadership: Leadership,
    /// Questions to the log that were begun.
    begun: AtomicU64,
    /// The number of the last question that was answered, and its answer.
    answered: Mutex<(u64, u64)>,
}

impl Nodes {
    pub(super) fn new(are_there: bool, leadership: Leadership) -> Self {
        Self { are_there, leadership, begun: AtomicU64::new(0), answered: Mutex::default() }
    }

    /// Position of the log's last event, as of this call. One question serves all who ask before it is put.
    pub(super) async fn latest(&self, log: &Arc<dyn EventLog>) -> Result<u64, Error> {
        if !self.are_there {
            return Ok(log.head());
        }
        let begun_before = self.begun.load(Ordering::Acquire);
        let mut answered = self.answered.lock().await;
        if answered.0 > begun_before {
            return Ok(answered.1);
        }
        let number = self.begun.fetch_add(1, Ordering::AcqRel) + 1;
        *answered = (number, log.latest().await?);
        Ok(answered.1)
    }
}

/// What was appended lately, by whichever node: a state that is older than that is not believed any more. To miss some of
/// it costs a conflict, no more.
#[derive(Default)]
pub(super) struct ForeignAppends(std::sync::Mutex<Vec<(Stream, u64)>>);

/// Most that is remembered until the decider loop takes it.
const MOVED_MAX: usize = 100_000;

impl ForeignAppends {
    fn moved(&self) -> std::sync::MutexGuard<'_, Vec<(Stream, u64)>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The log holds an event of this stream at this revision.
    pub(super) fn saw(&self, stream: Stream, revision: u64) {
        let mut moved = self.moved();
        if moved.len() < MOVED_MAX {
            moved.push((stream, revision));
        }
    }

    /// What was seen since the last call.
    pub(super) fn take(&self) -> Vec<(Stream, u64)> {
        std::mem::take(&mut *self.moved())
    }
}
