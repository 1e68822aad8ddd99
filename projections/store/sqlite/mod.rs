//! Read models in one `SQLite` file of the data directory.
//!
//! One connection writes, behind a mutex that only the projector takes; queries run on read-only connections and
//! wait for nobody. The file may be lost at any moment: a write is not flushed at each commit, since whatever a crash
//! takes back is projected again from the log.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::Error;
use super::parking::Keys;

mod apply;
mod bulk;
mod digest;
mod lifecycle;
mod parking;
mod reading;
mod retrying;

pub(super) use bulk::Source;

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// The store.
pub(super) struct Sqlite {
    path: PathBuf,
    writer: Mutex<Writer>,
    readers: Mutex<Vec<Connection>>,
}

struct Writer {
    connection: Connection,
    parked: Keys,
}

impl Sqlite {
    // A thread that died while it held a lock left nothing half done: its transaction was rolled back, and what
    // is in memory changes only after a commit.
    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
