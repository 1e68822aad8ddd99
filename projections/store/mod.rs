//! The read store: tables of every read model, their checkpoints, and what is parked, in one `SQLite` file.
//!
//! One connection writes, behind a mutex that only the projector takes; queries run on read-only connections and
//! wait for nobody. Rows and checkpoints move in one transaction. The file may be lost at any moment: a write is
//! not flushed at each commit, since whatever a crash takes back is projected again from the log.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};

use rollcall_schemas::ids::EventId;
use rusqlite::Connection;

mod apply;
mod digest;
mod lifecycle;
mod parking;
mod reading;
mod row;

pub use parking::{ParkedKey, Retried};
pub use row::Row;

/// Why the read store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be used now: disk full, I/O error, busy. Nothing was changed.
    #[error("the read store is unavailable: {0}")]
    Unavailable(#[from] rusqlite::Error),
    /// Events are missing between the checkpoint and the batch, or inside it. Nothing was changed.
    #[error("read model {model} expected position {expected} and was given {found}")]
    Gap {
        /// Which read model.
        model: &'static str,
        /// The position after its checkpoint.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// No such read model exists in this store; it may have been dropped.
    #[error("the read store has no read model {0}")]
    NoSuchModel(String),
    /// The events handed in are not the parked ones. Nothing was changed.
    #[error("the events handed in for stream {stream} are not those that {model} parked")]
    NotTheParked {
        /// Which read model.
        model: &'static str,
        /// Which stream.
        stream: String,
    },
    /// A column of an answer is missing or of an unexpected type: the tables are not of this version.
    #[error("column {0} of an answer has an unexpected type")]
    Column(usize),
}

/// How far a read model has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which read model.
    pub model: &'static str,
    /// Its version.
    pub version: u32,
    /// Position of the last event it applied; 0: none.
    pub position: u64,
    /// That event. A log that holds another one there was rewound under the read model.
    pub event: Option<EventId>,
}

/// The read store.
pub struct ReadStore {
    path: PathBuf,
    writer: Mutex<Writer>,
    /// What the last committed transaction left, so that waiting for a position costs no query.
    checkpoints: RwLock<Vec<Checkpoint>>,
    readers: Mutex<Vec<Connection>>,
}

struct Writer {
    connection: Connection,
    parked: parking::Keys,
}

impl ReadStore {
    /// How far a read model has come: the position of the last event it applied, 0 at its start.
    ///
    /// # Errors
    /// There is no such read model.
    pub fn checkpoint(&self, model: &str) -> Result<u64, Error> {
        let checkpoints = self.checkpoints.read().unwrap_or_else(PoisonError::into_inner);
        let found = checkpoints.iter().find(|checkpoint| checkpoint.model == model);
        found.map(|checkpoint| checkpoint.position).ok_or_else(|| Error::NoSuchModel(model.into()))
    }

    /// How far every read model has come.
    #[must_use]
    pub fn checkpoints(&self) -> Vec<Checkpoint> {
        self.checkpoints.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    // A thread that died while it held a lock left nothing half done: its transaction was rolled back, and what
    // is in memory changes only after a commit.
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn move_checkpoints(&self, moved: &[Checkpoint]) {
        let mut checkpoints = self.checkpoints.write().unwrap_or_else(PoisonError::into_inner);
        for new in moved {
            match checkpoints.iter_mut().find(|old| old.model == new.model) {
                Some(old) => *old = *new,
                None => checkpoints.push(*new),
            }
        }
    }
}
