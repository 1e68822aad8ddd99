//! How far an import is, in a file beside its input, and what it refused.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::Error;
use super::apply::Outcome;

/// So much of a file tells it from another one, with its length.
const TOLD_BY: u64 = 1 << 16;

/// How many records came to what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Records that were done.
    pub done: u64,
    /// Records about something that was there already and was left as it is.
    pub skipped: u64,
    /// Records that were refused: they are in the report.
    pub refused: u64,
}

impl Counts {
    /// All of them.
    #[must_use]
    pub fn records(self) -> u64 {
        self.done + self.skipped + self.refused
    }

    /// Counts one more.
    pub(super) fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Done => self.done += 1,
            Outcome::Skipped => self.skipped += 1,
            Outcome::Refused(..) => self.refused += 1,
        }
    }
}

/// How far an import is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Checkpoint {
    /// Which import: part of every command's idempotency key.
    pub(super) import: Uuid,
    /// What was asked for; it cannot change on the way.
    pub(super) asked: String,
    /// Of which file.
    pub(super) file: String,
    /// The first records, all of which are done.
    pub(super) counts: Counts,
    /// Bytes of the report that belong to them.
    pub(super) report_bytes: u64,
}

/// What tells a file from another one.
pub(super) fn identity(path: &Path) -> Result<String, Error> {
    let read = || {
        let file = File::open(path)?;
        let (length, mut head) = (file.metadata()?.len(), Vec::new());
        file.take(TOLD_BY).read_to_end(&mut head)?;
        Ok(format!("{length}:{}", hex::encode(digest(&SHA256, &head))))
    };
    read().map_err(Error::file(path))
}

/// Where the checkpoint of an import is kept.
fn place(report: &Path) -> PathBuf {
    let mut name = report.as_os_str().to_owned();
    name.push(".checkpoint");
    name.into()
}

/// What an earlier import with this report has left; `None`: nothing.
pub(super) fn read(report: &Path) -> Result<Option<Checkpoint>, Error> {
    let path = place(report);
    match fs::read(&path) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(checkpoint) => Ok(Some(checkpoint)),
            Err(error) => Err(Error::Document { path, reason: format!("{error}; begin anew with --restart") }),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file(path)(error)),
    }
}

/// Writes what was refused, one record a line, so that it can be corrected and imported.
pub(super) struct Report {
    path: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
}

impl Report {
    /// Goes on behind the first bytes of it. Only the owner of the process may read it: it repeats personal data.
    pub(super) fn open(path: &Path, bytes: u64) -> Result<Self, Error> {
        let open = || {
            let mut file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
            file.set_len(bytes)?;
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        };
        let file = open().map_err(Error::file(path))?;
        Ok(Self { path: path.into(), file: BufWriter::new(file), bytes })
    }

    /// Adds a record that was refused.
    pub(super) fn add(&mut self, line: &Map<String, Value>) -> Result<(), Error> {
        let mut text = serde_json::to_string(line).map_err(std::io::Error::from).map_err(Error::file(&self.path))?;
        text.push('\n');
        self.bytes += u64::try_from(text.len()).unwrap_or_default();
        self.file.write_all(text.as_bytes()).map_err(Error::file(&self.path))
    }

    /// Stores how far the import is; when this returns, it is durable.
    pub(super) fn save(&mut self, checkpoint: &mut Checkpoint) -> Result<(), Error> {
        checkpoint.report_bytes = self.bytes;
        let (path, new) = (place(&self.path), self.path.with_extension("checkpoint.new"));
        let written = serde_json::to_vec(checkpoint).map_err(std::io::Error::from);
        let save = |bytes: Vec<u8>| {
            self.file.flush()?;
            self.file.get_ref().sync_data()?;
            let mut file = File::create(&new)?;
            file.write_all(&bytes)?;
            file.sync_data()?;
            fs::rename(&new, &path)?;
            let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(dir)?.sync_all()
        };
        written.and_then(save).map_err(Error::file(place(&self.path)))
    }

    /// Ends it: nothing is left to go on with, and an empty report is removed.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        let mut end = || {
            self.file.flush()?;
            self.file.get_ref().sync_data()?;
            match fs::remove_file(place(&self.path)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                Ok(()) | Err(_) => {}
            }
            if self.bytes == 0 { fs::remove_file(&self.path) } else { Ok(()) }
        };
        let ended = end();
        ended.map_err(Error::file(self.path))
    }
}
