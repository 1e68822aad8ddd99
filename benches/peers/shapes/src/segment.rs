//! A file that is only appended to, flushed once for each batch, and an index beside it that is made again from the file.
//!
//! An event is its head, its core and its ciphertexts; each of the last two has a checksum, so that ciphertexts can be
//! overwritten where they stand. Of the index nothing is flushed: what the file holds behind it is read again at the start.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::registration::{Event, Registration, Stream};
use crate::shape::Shape;

/// Lengths of the core and the ciphertexts, checksums of both, the stream, revision, id, name, version and time.
const HEAD: usize = 4 * 4 + 17 + 4 + 16 + 2 + 8;
/// How many streams wait in memory before they are written to the index, in one transaction.
const WAITING_MAX: usize = 4_000;

/// Where the events of an append begin, and how many there are.
type Place = (u64, usize);

pub(crate) struct Segment {
    file: File,
    length: u64,
    /// Where each position begins, eight bytes each.
    positions: File,
    position: u64,
    index: Option<Connection>,
    waiting: HashMap<Stream, Place>,
}

impl Segment {
    pub(crate) fn open(dir: &Path, is_indexed: bool) -> Result<Self> {
        let made = |name: &str| File::options().read(true).write(true).create_new(true).open(dir.join(name));
        let index = if is_indexed {
            let index = Connection::open(dir.join("index.db"))?;
            index.execute_batch(
                "pragma journal_mode = wal; pragma synchronous = off; pragma cache_size = -16384;
                 create table of_stream (stream blob, revision integer, at integer, primary key (stream, revision))
                     without rowid",
            )?;
            Some(index)
        } else {
            None
        };
        let (file, positions) = (made("log")?, made("positions")?);
        Ok(Self { file, length: 0, positions, position: 0, index, waiting: HashMap::new() })
    }

    fn find(&self, stream: &Stream) -> Result<Option<Place>> {
        let Some(index) = &self.index else { return Ok(None) };
        if let Some(waiting) = self.waiting.get(stream) {
            return Ok(Some(*waiting));
        }
        let mut statement = index.prepare_cached("select at, revision from of_stream where stream = ?1")?;
        let found = statement.query_row([stream], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)));
        found.optional()?.map(|(at, revision)| Ok((u64::try_from(at)?, usize::try_from(revision)?))).transpose()
    }

    fn write_index(&mut self) -> Result<()> {
        let Some(index) = &mut self.index else { return Ok(()) };
        let transaction = index.transaction()?;
        {
            let mut insert = transaction.prepare_cached("insert into of_stream values (?1, ?2, ?3)")?;
            for (stream, (at, events)) in self.waiting.drain() {
                insert.execute(params![stream, i64::try_from(events)?, i64::try_from(at)?])?;
            }
        }
        transaction.commit()?;
        Ok(())
    }
}

fn put(registration: &Registration, revision: u32, event: &Event, to: &mut Vec<u8>) -> Result<()> {
    let blobs = event.blobs.as_deref().unwrap_or_default();
    to.extend(u32::try_from(event.core.len())?.to_be_bytes());
    to.extend(u32::try_from(blobs.len())?.to_be_bytes());
    let checksums = to.len();
    to.extend([0; 8]);
    let checked = to.len();
    to.extend(registration.stream);
    to.extend(revision.to_be_bytes());
    to.extend(event.id);
    to.extend([event.name, 1]);
    to.extend(registration.recorded_at.to_be_bytes());
    to.extend(&event.core);
    let (of_core, of_blobs) = (crc32fast::hash(&to[checked..]), crc32fast::hash(blobs));
    to[checksums..checksums + 4].copy_from_slice(&of_core.to_be_bytes());
    to[checksums + 4..checked].copy_from_slice(&of_blobs.to_be_bytes());
    to.extend(blobs);
    Ok(())
}

fn number(head: &[u8; HEAD], at: usize) -> u32 {
    head.get(at..).and_then(|rest| rest.first_chunk()).copied().map_or(0, u32::from_be_bytes)
}

/// The event that stands there; checked.
fn read(from: &mut impl std::io::Read) -> Result<(Stream, Event)> {
    let mut head = [0; HEAD];
    from.read_exact(&mut head)?;
    let (mut core, mut blobs) = (vec![0; number(&head, 0) as usize], vec![0; number(&head, 4) as usize]);
    from.read_exact(&mut core)?;
    from.read_exact(&mut blobs)?;
    let mut of_core = crc32fast::Hasher::new();
    of_core.update(&head[16..]);
    of_core.update(&core);
    ensure!(of_core.finalize() == number(&head, 8), "a core is not what was written");
    ensure!(crc32fast::hash(&blobs) == number(&head, 12), "ciphertexts are not what was written");
    let stream = *head[16..].first_chunk().context("no stream")?;
    let id = *head[37..].first_chunk().context("no id")?;
    Ok((stream, Event { id, name: head[53], core, blobs: Some(blobs).filter(|blobs| !blobs.is_empty()) }))
}

/// Reads a file from a place on.
struct From<'f>(&'f File, u64);

impl std::io::Read for From<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let read = self.0.read_at(to, self.1)?;
        self.1 += read as u64;
        Ok(read)
    }
}

impl Shape for Segment {
    fn append(&mut self, batch: &[Registration]) -> Result<()> {
        let (mut bytes, mut places) = (Vec::with_capacity(batch.len() * 800), Vec::with_capacity(batch.len() * 16));
        for registration in batch {
            ensure!(self.find(&registration.stream)?.is_none(), "a stream is not new");
            if self.index.is_some() {
                let place = (self.length + bytes.len() as u64, registration.events.len());
                self.waiting.insert(registration.stream, place);
            }
            for (revision, event) in (1..).zip(&registration.events) {
                places.extend((self.length + bytes.len() as u64).to_be_bytes());
                put(registration, revision, event, &mut bytes)?;
            }
        }
        self.file.write_all_at(&bytes, self.length)?;
        self.file.sync_data()?;
        self.length += bytes.len() as u64;
        self.positions.write_all_at(&places, self.position * 8)?;
        self.position += places.len() as u64 / 8;
        if self.waiting.len() >= WAITING_MAX {
            self.write_index()?;
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<()> {
        self.write_index()?;
        if let Some(index) = &self.index {
            index.query_row("pragma wal_checkpoint(truncate)", [], |_| Ok(()))?;
        }
        Ok(())
    }

    fn read_all(&mut self) -> Result<usize> {
        let mut from = BufReader::with_capacity(64 << 10, From(&self.file, 0).take(self.length));
        let mut count = 0;
        while !std::io::BufRead::fill_buf(&mut from)?.is_empty() {
            read(&mut from)?;
            count += 1;
        }
        Ok(count)
    }

    fn read_stream(&mut self, stream: &Stream) -> Result<Option<usize>> {
        let Some((at, events)) = self.find(stream)? else { return Ok(None) };
        let mut from = BufReader::with_capacity(1 << 10, From(&self.file, at));
        for _ in 0..events {
            let (found, _) = read(&mut from)?;
            ensure!(found == *stream, "the index leads to another stream");
        }
        Ok(Some(events))
    }

    fn detach(&mut self, stream: &Stream) -> Result<()> {
        let at = self.find(stream)?.context("no such stream")?.0;
        let mut head = [0; HEAD];
        self.file.read_exact_at(&mut head, at)?;
        let [core, blobs] = [number(&head, 0), number(&head, 4)].map(|length| length as usize);
        let nothing = vec![0; blobs];
        self.file.write_all_at(&nothing, at + (HEAD + core) as u64)?;
        self.file.write_all_at(&crc32fast::hash(&nothing).to_be_bytes(), at + 12)?;
        self.file.sync_data()?;
        Ok(())
    }
}
