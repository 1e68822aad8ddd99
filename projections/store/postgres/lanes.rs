//! Read models are applied side by side: each has tables, a checkpoint and parked streams of its own, so that none has to
//! wait for another one's transaction.

use tokio::sync::Mutex;

use super::connection::Writer;

/// Most connections that apply at once: most of the work is in three of the read models.
const LANES_MAX: usize = 4;

/// Connections that apply, each for its share of the read models, one batch at a time.
pub(in crate::store) struct Lanes(Vec<Mutex<Option<Writer>>>);

impl Lanes {
    /// So many, and at least one.
    pub(in crate::store) fn new(count: usize) -> Self {
        Self((0..count.clamp(1, LANES_MAX)).map(|_| Mutex::default()).collect())
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The lane of the read model that stands there in the list of all.
    pub(super) fn of(&self, at: usize) -> usize {
        at % self.0.len()
    }

    /// The connection of a lane, opened or not.
    pub(super) fn slot(&self, lane: usize) -> &Mutex<Option<Writer>> {
        &self.0[lane]
    }
}

impl Default for Lanes {
    /// One for each two processors: what is applied is read, decoded and sent as well, and the server is often on the same
    /// machine.
    fn default() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, |count| count.get() / 2))
    }
}
