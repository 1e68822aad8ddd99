//! Read models in one `SQLite` file of the data directory.
//!
//! One connection writes, behind a mutex that only the projector takes; queries run on read-only connections and
//! wait for nobody. Nothing is flushed while the store is used: whatever is lost is projected again from the log, and a
//! mark beside the file tells whether something may be lost ([`unflushed`]). What cannot be projected again, the decisions of
//! an operator, is kept in a file of its own ([`skipped`]).

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use super::Error;
use super::parking::Keys;
use readers::Readers;
use unflushed::Mark;

mod apply;
mod beside;
mod bulk;
mod digest;
mod lifecycle;
mod parking;
mod readers;
mod reading;
mod retrying;
mod skipped;
mod unflushed;

pub(super) use bulk::Source;

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// What a file is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeping {
    /// It is opened again, perhaps after the machine went down.
    Lasting,
    /// It is thrown away by whoever made it.
    Scratch,
}

/// The store.
pub(super) struct Sqlite {
    path: PathBuf,
    writer: Mutex<Writer>,
    readers: Readers,
    /// Says that the file was not flushed; `None`: it need not be trusted, or is flushed as it is written.
    mark: Option<Mark>,
    /// Whether what is in it is of no use any more. Its mark stays then.
    is_discarded: AtomicBool,
}

struct Writer {
    connection: Connection,
    parked: Keys,
    /// Where the decisions of an operator are kept; `None`: nowhere, the file is thrown away.
    skipped: Option<PathBuf>,
}

impl Sqlite {
    /// The file.
    pub(super) fn path(&self) -> &std::path::Path {
        &self.path
    }

    // A thread that died while it held a lock left nothing half done: its transaction was rolled back, and what
    // is in memory changes only after a commit.
    fn writer(&self) -> Writing<'_> {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.readers.begin_writing();
        Writing { writer, readers: &self.readers }
    }
}

/// The connection that writes, while somebody may write.
struct Writing<'s> {
    writer: MutexGuard<'s, Writer>,
    readers: &'s Readers,
}

impl Deref for Writing<'_> {
    type Target = Writer;
    fn deref(&self) -> &Writer {
        &self.writer
    }
}

impl DerefMut for Writing<'_> {
    fn deref_mut(&mut self) -> &mut Writer {
        &mut self.writer
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.readers.end_writing();
    }
}
