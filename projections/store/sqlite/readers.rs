//! The connections that read, and what they keep between queries.
//!
//! To begin and end a transaction takes two locks of the file, which is a sixth of what a query of one row costs. So while
//! nothing is written a connection stays in the transaction in which it read. Every such snapshot that nobody uses is given up
//! before anything is written: otherwise it would keep the write-ahead log from beginning anew, and the next query from what
//! was written.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;

use crate::store::Error;

/// Connections kept open between queries; one per thread that asks at the same time is enough.
const READERS_MAX: usize = 32;
/// After so many queries of a connection between which nothing was written it maps the file into memory: a page that the kernel
/// has costs no system call then. The next write ends that.
const MAPPED_AFTER: u32 = 256;

const begin: &str = "BEGIN";
const end: &str = "COMMIT";
const map: &str = "PRAGMA mmap_size = 1073741824";
const unmap: &str = "PRAGMA mmap_size = 0";

/// The connections that read.
#[derive(Default)]
pub(super) struct Readers {
    idle: Mutex<Vec<Reader>>,
    /// Grows by one when somebody begins to write, which makes it odd, and by one when that is over.
    generation: AtomicU64,
}

/// A connection that reads.
pub(super) struct Reader {
    connection: Connection,
    /// The generation of the snapshot that it is in, if it is in one.
    held: Option<u64>,
    /// The generation at its last query, and how many in a row it was the same.
    seen: (u64, u32),
    is_mapped: bool,
}

fn is_written(generation: u64) -> bool {
    generation % 2 == 1
}

impl Readers {
    fn idle(&self) -> MutexGuard<'_, Vec<Reader>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// A connection that nobody uses.
    pub(super) fn take(&self, open: impl FnOnce() -> Result<Connection, Error>) -> Result<Reader, Error> {
        let idle = self.idle().pop();
        let fresh = |connection| Reader { connection, held: None, seen: (0, 0), is_mapped: false };
        idle.map_or_else(|| open().map(fresh), Ok)
    }

    /// Keeps a connection for the next query.
    pub(super) fn give_back(&self, mut reader: Reader) {
        let mut idle = self.idle();
        // Whoever writes looks at those that are kept, and this one is not there yet.
        let is_current = !reader.keeps_something() || reader.seen.0 == self.generation();
        if idle.len() < READERS_MAX && (is_current || reader.release().is_ok()) {
            idle.push(reader);
        }
    }

    /// Called before anything is written, by whoever holds the connection that writes.
    pub(super) fn begin_writing(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        // One that is given back from here on is released by whoever does. To unmap a large file takes a while: nobody who wants
        // another connection waits for it.
        loop {
            let mut idle = self.idle();
            let Some(place) = idle.iter().position(Reader::keeps_something) else { return };
            let mut reader = idle.swap_remove(place);
            drop(idle);
            if reader.release().is_ok() {
                self.idle().push(reader);
            }
        }
    }

    /// Called once it is written, before anybody is told.
    pub(super) fn end_writing(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }
}

impl Reader {
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Whether it has a snapshot or a mapping.
    fn keeps_something(&self) -> bool {
        self.held.is_some() || self.is_mapped
    }

    /// Has the newest snapshot for the next query: keeps the one that it has if nothing was written since, which `generation`,
    /// that of now, tells.
    pub(super) fn hold_newest(&mut self, generation: u64) -> Result<(), Error> {
        if self.held == Some(generation) {
            return self.map_when_quiet();
        }
        if self.seen.0 != generation || is_written(generation) {
            self.seen = (generation, 0);
            return self.release();
        }
        // It begins with the first read after this, so that it is at least as new as the generation says.
        self.connection.prepare_cached(begin)?.execute([])?;
        self.held = Some(generation);
        Ok(())
    }

    fn map_when_quiet(&mut self) -> Result<(), Error> {
        if self.is_mapped {
            return Ok(());
        }
        self.seen.1 += 1;
        if self.seen.1 < MAPPED_AFTER {
            return Ok(());
        }
        // Not within a transaction: the next query begins another one.
        self.connection.prepare_cached(end)?.execute([])?;
        self.held = None;
        self.connection.execute_batch(map)?;
        self.is_mapped = true;
        Ok(())
    }

    /// Gives up the snapshot, if it has one, and what is mapped.
    pub(super) fn release(&mut self) -> Result<(), Error> {
        if self.held.take().is_some() {
            self.connection.prepare_cached(end)?.execute([])?;
        }
        if std::mem::take(&mut self.is_mapped) {
            self.connection.execute_batch(unmap)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::ops::ControlFlow;
    use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

    use super::super::{Keeping, Sqlite};
    use super::MAPPED_AFTER;
    use crate::Query;
    use crate::store::Row;

    fn counted() -> Query {
        Query::from("SELECT number FROM counted")
    }

    fn store(dir: &tempfile::TempDir) -> Sqlite {
        let (store, _) = Sqlite::open(&dir.path().join("read.db"), &[], Keeping::Scratch).unwrap();
        let table = "CREATE TABLE counted (number BIGINT NOT NULL, filler BLOB); INSERT INTO counted VALUES (0, NULL)";
        store.writer().connection.execute_batch(table).unwrap();
        store
    }

    fn write(store: &Sqlite, number: i64) {
        let sql = "UPDATE counted SET number = $1, filler = zeroblob(20000)";
        store.writer().connection.execute(sql, [number]).unwrap();
    }

    fn read(store: &Sqlite) -> i64 {
        let mut found = None;
        let mut take = |row: &Row<'_, '_>| {
            found = Some(row.int(0)?);
            Ok(ControlFlow::Break(()))
        };
        store.each_row(counted(), &[], &mut take).unwrap();
        found.unwrap()
    }

    #[test]
    fn a_query_finds_what_was_written_before_it_however_long_nothing_was() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        for number in 1..5 {
            write(&store, number);
            for _ in 0..MAPPED_AFTER + 10 {
                assert_eq!(read(&store), number);
            }
            assert!(store.readers.idle().iter().any(|reader| reader.is_mapped && reader.held.is_some()));
            let (mut each, above) = (Vec::new(), Query::from("SELECT number FROM counted WHERE number > $1"));
            let mut take = |set: usize, row: &Row<'_, '_>| {
                each.push((set, row.int(0)?));
                Ok(())
            };
            store.each_row_of_each(above, (&[0_i64.into(), 0_i64.into()], 1), &mut take).unwrap();
            assert_eq!(each, [(0, number), (1, number)]);
        }
        write(&store, 9);
        assert!(store.readers.idle().iter().all(|reader| !reader.keeps_something()));
        assert!(store.reading(|connection| Ok(connection.is_autocommit())).unwrap(), "a long reading has its own");
    }

    #[test]
    fn what_readers_keep_does_not_keep_the_write_ahead_log_from_beginning_anew() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        store.writer().connection.execute_batch("PRAGMA wal_autocheckpoint = 10").unwrap();
        for number in 0..300 {
            write(&store, number);
            (0..3).for_each(|_| assert_eq!(read(&store), number));
        }
        let log = std::fs::metadata(dir.path().join("read.db-wal")).unwrap().len();
        assert!(log < 1_000_000, "{log} bytes");
    }

    #[test]
    fn who_is_told_of_a_write_reads_it_whoever_reads_and_writes_meanwhile() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(&dir);
        let (told, is_over) = (AtomicI64::new(0), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Acquire) {
                        let before = told.load(Ordering::Acquire);
                        let number = read(&store);
                        assert!(number >= before, "{number} was read after {before} was told");
                    }
                });
            }
            for number in 1..400 {
                write(&store, number);
                told.store(number, Ordering::Release);
                if number % 100 == 0 {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
            }
            is_over.store(true, Ordering::Release);
        });
    }
}
