//! Checkpoints of the write-ahead log, beside the writer: small ones and often, so that no append waits for a large one.
//!
//! A thread of its own moves pages to the database and flushes them, in passes, each of which moves what was appended during the
//! one before. While the writer appends, something always remains, of which a pass knows nothing: it sees what was committed
//! before it began. The writer, which knows, moves and flushes this rest, between two transactions. With everything moved,
//! `SQLite` writes the next transaction to the beginning of the write-ahead log, and the file stays small.
//!
//! After a flush that failed, a later one that succeeds does not say that what was moved before is on the disk. The write-ahead log
//! still holds it: the file is opened anew, which moves all of it once more.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags};

use super::faults::Faults;
use super::file::Readers;
use crate::eventlog::Error;

/// After how many new pages a checkpoint begins: 16 MiB.
const EVERY: u32 = 2_000;
/// Most pages that the writer is left to move, as long as the passes catch up.
const REST_MAX: u32 = 32;
/// With so many pages in the write-ahead log, 32 MiB, the writer is left whatever there is.
const PAGES_MAX: u32 = 4_000;

/// Moves what it can without waiting for anybody; pages in the write-ahead log, and how many of them were moved.
const PASSIVE: &str = "pragma wal_checkpoint(passive)";

#[derive(Debug, Default)]
struct State {
    /// Pages in the write-ahead log after the last commit.
    pages: u32,
    /// How many of them are in the database.
    moved: u32,
    /// Whether the writer is asked to move the rest.
    finish: bool,
    /// Why what was moved may not be on the disk.
    unflushed: Option<Error>,
    is_stopping: bool,
}

impl State {
    fn rest(&self, moved: u32) -> u32 {
        self.pages.saturating_sub(moved)
    }

    /// Not while the writer is asked for the rest: one of the two would find the other at it.
    fn is_due(&self) -> bool {
        !self.finish && self.unflushed.is_none() && self.rest(self.moved) >= EVERY
    }
}

/// When the write-ahead log is moved, and by whom.
#[derive(Debug)]
pub(super) struct Checkpoints {
    state: Mutex<State>,
    changed: Condvar,
    faults: Faults,
}

/// Why a checkpoint did not come to its end.
enum Failure {
    /// What was not moved is durable where it is; it is tried again.
    Later(Error),
    /// What was moved may not be on the disk.
    Unflushed(Error),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error().map(|error| error.extended_code);
        let failure = if code == Some(rusqlite::ffi::SQLITE_IOERR_FSYNC) { Self::Unflushed } else { Self::Later };
        failure(error.into())
    }
}

/// How many pages of the write-ahead log are in the database after moving what can be moved.
fn pass(connection: &Connection) -> Result<u32, Failure> {
    // −1 where there is no write-ahead log yet, or somebody else is at it.
    Ok(connection.query_row(PASSIVE, [], |row| Ok(u32::try_from(row.get::<_, i64>(2)?).unwrap_or(0)))?)
}

impl Checkpoints {
    pub(super) fn new(faults: Faults) -> Self {
        Self { state: Mutex::default(), changed: Condvar::new(), faults }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Its numbers only decide when a checkpoint is made.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns of what this connection commits.
    pub(super) fn follow(self: &std::sync::Arc<Self>, connection: &mut Connection) -> rusqlite::Result<()> {
        let checkpoints = self.clone();
        connection.wal_hook(Some(move |_: &mut _, pages| {
            checkpoints.committed(u32::try_from(pages).unwrap_or(0));
            Ok(())
        }))
    }

    fn committed(&self, pages: u32) {
        let mut state = self.state();
        if pages < state.pages {
            // It was begun anew.
            state.moved = 0;
        }
        state.pages = pages;
        if state.is_due() {
            self.changed.notify_one();
        }
    }

    /// Makes checkpoints until [`Checkpoints::stop`].
    pub(super) fn run(&self, readers: &Readers) {
        loop {
            let due = self.changed.wait_while(self.state(), |state| !state.is_due() && !state.is_stopping);
            if due.unwrap_or_else(PoisonError::into_inner).is_stopping {
                return;
            }
            let moved = self.move_pages(readers);
            let mut state = self.state();
            match moved {
                Ok(moved) => {
                    // It may have been begun anew meanwhile.
                    state.moved = moved.min(state.pages);
                    state.finish = state.rest(state.moved) > 0;
                }
                Err(Failure::Later(error)) => {
                    tracing::debug!(%error, "the write-ahead log was not moved; it is tried again later");
                    state.moved = state.pages;
                }
                Err(Failure::Unflushed(error)) => state.unflushed = Some(error),
            }
        }
    }

    /// Has [`Checkpoints::run`] return; what it is at is done before.
    pub(super) fn stop(&self) {
        self.state().is_stopping = true;
        self.changed.notify_one();
    }

    /// Moves the rest on the writer's connection, if the thread asks for it.
    ///
    /// # Errors
    /// What was moved may not be on the disk: the file must be opened anew.
    pub(super) fn finish(&self, connection: &Connection) -> Result<(), Error> {
        let mut state = self.state();
        if let Some(error) = state.unflushed.take() {
            return Err(error);
        }
        if !state.finish {
            return Ok(());
        }
        drop(state);
        let moved = pass(connection);
        let mut state = self.state();
        state.finish = false;
        // Where somebody reads an earlier state something is left, which is tried again later.
        state.moved = state.pages;
        match moved {
            Ok(_) => Ok(()),
            Err(Failure::Later(error)) => {
                tracing::debug!(%error, "the rest of the write-ahead log was not moved");
                Ok(())
            }
            Err(Failure::Unflushed(error)) => Err(error),
        }
    }

    /// One checkpoint on a connection of its own, which is closed before the file is.
    fn move_pages(&self, readers: &Readers) -> Result<u32, Failure> {
        let _lent = readers.lend().map_err(Failure::Later)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(readers.path(), flags)?;
        let mut last = None;
        loop {
            let moved = pass(&connection)?;
            let data = readers.data().map_err(Failure::Later)?;
            let flushed =
                if self.faults.take_checkpoint() { Err(io::ErrorKind::Other.into()) } else { data.sync_data() };
            flushed.map_err(|error| {
                Failure::Unflushed(Error::Unavailable(format!("a checkpoint could not be flushed: {error}")))
            })?;
            let state = self.state();
            let is_enough = state.rest(moved) <= REST_MAX || state.pages >= PAGES_MAX;
            // While somebody reads an earlier state, nothing more is moved.
            if is_enough || state.is_stopping || last == Some(moved) {
                return Ok(moved);
            }
            last = Some(moved);
        }
    }
}
