//! Checkpoints of the write-ahead log, beside the writer: small ones and often, so that no append waits for a large one.
//!
//! A thread of its own moves pages to the database in passes, each of which moves what was appended during the one
//! before. While the writer appends, something always remains, of which a pass knows nothing: it sees what was committed
//! before it began. The writer, which knows, moves this rest itself, between two transactions. With everything moved, `SQLite`
//! writes the next transaction to the beginning of the write-ahead log, and the file stays small.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, OpenFlags};

use super::file::Readers;
use crate::eventlog::Error;

/// After how many new pages a checkpoint begins: 4 MiB.
const EVERY: u32 = 1_000;
/// Most pages that the writer is left to move, as long as the passes catch up.
const REST_MAX: u32 = 64;
/// Most passes of one checkpoint.
const PASSES_MAX: usize = 6;

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
    is_stopping: bool,
}

impl State {
    fn rest(&self, moved: u32) -> u32 {
        self.pages.saturating_sub(moved)
    }

    /// Not while the writer is asked for the rest: one of the two would find the other at it.
    fn is_due(&self) -> bool {
        !self.finish && self.rest(self.moved) >= EVERY
    }
}

/// When the write-ahead log is moved, and by whom.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    state: Mutex<State>,
    changed: Condvar,
}

/// How many pages of the write-ahead log are in the database after moving what can be moved.
fn pass(connection: &Connection) -> rusqlite::Result<u32> {
    // −1 where there is no write-ahead log yet, or somebody else is at it.
    connection.query_row(PASSIVE, [], |row| Ok(u32::try_from(row.get::<_, i64>(2)?).unwrap_or(0)))
}

impl Checkpoints {
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
            match self.move_pages(readers) {
                Ok(moved) => {
                    let mut state = self.state();
                    // It may have been begun anew meanwhile.
                    state.moved = moved.min(state.pages);
                    state.finish = state.rest(state.moved) > 0;
                }
                Err(error) => {
                    // What was not moved is durable where it is.
                    tracing::debug!(%error, "the write-ahead log was not moved; it is tried again later");
                    let mut state = self.state();
                    state.moved = state.pages;
                }
            }
        }
    }

    /// Has [`Checkpoints::run`] return; what it is at is done before.
    pub(super) fn stop(&self) {
        self.state().is_stopping = true;
        self.changed.notify_one();
    }

    pub(super) fn is_asked_to_finish(&self) -> bool {
        self.state().finish
    }

    /// Moves the rest on the writer's connection.
    pub(super) fn finish(&self, connection: &Connection) {
        let moved = pass(connection);
        let mut state = self.state();
        state.finish = false;
        match moved {
            Ok(moved) => state.moved = moved,
            Err(error) => tracing::debug!(%error, "the rest of the write-ahead log was not moved"),
        }
    }

    /// One checkpoint on a connection of its own, which is closed before the file is.
    fn move_pages(&self, readers: &Readers) -> Result<u32, Error> {
        let _lent = readers.lend()?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(readers.path(), flags)?;
        let mut moved = pass(&connection)?;
        for _ in 1..PASSES_MAX {
            if self.state().rest(moved) <= REST_MAX {
                break;
            }
            moved = pass(&connection)?;
        }
        Ok(moved)
    }
}
