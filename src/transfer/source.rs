//! Reads a file record by record, whatever its size.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Seek as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use clap::ValueEnum;
use serde_json::{Map, Value};

use super::{Error, Foreign};

mod document;
mod json_lines;
mod table;

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object on each line
    Jsonl,
    /// Comma-separated values (RFC 4180); the first row names the columns, `profile.email` is the member of an object
    Csv,
}

/// A record as it was read, or what is there instead and why it is none.
pub(super) type Found = Result<Map<String, Value>, NoRecord>;

/// Something that should be a record.
#[derive(Debug)]
pub(super) struct NoRecord {
    /// What is written there, as far as it is worth repeating.
    pub(super) text: String,
    /// What is wrong with it.
    pub(super) problem: String,
}

/// Takes each record; answers whether it wants more.
pub(super) type Sink<'s> = dyn FnMut(Found) -> bool + 's;

/// The longest record of a file, in bytes: far above every limit of ours, since exports of other services say more of a user.
const RECORD_MAX: u64 = 1 << 20;

/// Reads all records of a file. `read` counts the bytes.
///
/// # Errors
/// The file is not readable, or not of the expected form as a whole.
pub(super) fn read_all(
    path: &Path,
    (format, from): (Option<Format>, Option<Foreign>),
    read: Arc<AtomicU64>,
    sink: &mut Sink<'_>,
) -> Result<(), Error> {
    let mut file = File::open(path).map_err(Error::file(path))?;
    let is_document = from.is_some() && document::is_one(&mut BufReader::new(&mut file)).map_err(Error::file(path))?;
    file.rewind().map_err(Error::file(path))?;
    let reader = Counting { file, read };
    if is_document {
        let mut reader = BufReader::with_capacity(BUFFER, reader);
        skip_byte_order_mark(&mut reader).map_err(Error::file(path))?;
        return document::read(path, reader, sink);
    }
    let is_table = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"));
    let format = format.unwrap_or(if is_table { Format::Csv } else { Format::Jsonl });
    read_records(path, reader, format, RECORD_MAX, sink)
}

/// Bytes that are read at once.
const BUFFER: usize = 1 << 16;

/// Reads the records of a text that is called `path` in errors, of which none is longer than `record_max` bytes.
///
/// # Errors
/// The text is not readable, or not of the expected form as a whole.
pub(super) fn read_records(
    path: &Path,
    reader: impl Read,
    format: Format,
    record_max: u64,
    sink: &mut Sink<'_>,
) -> Result<(), Error> {
    let mut reader = BufReader::with_capacity(BUFFER, reader);
    skip_byte_order_mark(&mut reader).map_err(Error::file(path))?;
    match format {
        Format::Csv => table::read(path, reader, record_max, sink),
        Format::Jsonl => json_lines::read(reader, record_max, sink).map_err(Error::file(path)),
    }
}

fn skip_byte_order_mark(reader: &mut BufReader<impl Read>) -> std::io::Result<()> {
    if reader.fill_buf()?.starts_with(b"\xef\xbb\xbf") {
        reader.consume(3);
    }
    Ok(())
}

/// Counts what is read.
struct Counting {
    file: File,
    read: Arc<AtomicU64>,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.read.fetch_add(count.try_into().unwrap_or_default(), Ordering::Relaxed);
        Ok(count)
    }
}
