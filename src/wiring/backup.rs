//! Backups of a data directory, taken while its service runs, and put back on another machine.
//!
//! A backup holds what is nowhere else: the log, and what is kept beside it. It never holds keys. A copy of the keys is
//! inert once the root has moved on, which is what makes an erasure final: keys are replicated, not archived.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use chrono::{DateTime, Utc};
use rusqlite::{Connection, OpenFlags};
use serde::{Deserialize, Serialize};

use super::{LogPlace, Place, directory};
use crate::audit::tree;
use crate::audit::tree::note::Checkpoint;
use crate::audit::tree::verify::{Verdict, verify_copy};
use crate::eventlog::EventLog;
use crate::eventlog::embedded::Embedded;

const LOG: &str = "log.db";
/// What is kept beside the log. It is copied first: a cursor must not be ahead of the log that it points into.
const BESIDE: &[&str] = &["deliveries.db", "live.db"];
const MANIFEST: &str = "manifest.json";
const KEYS: &str = "vault.db";

/// Why a backup is not taken or put back.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing to back up here.
    #[error("the log is on a server: back that up with the server's own means (docs/operating.md)")]
    OnServer,
    /// A place is not as it must be.
    #[error("{path} {problem}")]
    Place {
        /// Which.
        path: PathBuf,
        /// What is wrong with it, and what helps.
        problem: &'static str,
    },
    /// A file cannot be read or written.
    #[error("{path}: {error}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A database cannot be copied.
    #[error("{path} cannot be copied: {error}", path = .path.display())]
    Database {
        /// Which.
        path: PathBuf,
        /// Why.
        error: rusqlite::Error,
    },
    /// The manifest is not readable.
    #[error("{MANIFEST} is not that of a backup: {0}")]
    Manifest(String),
    /// A file is not the one that was backed up.
    #[error("{0} in the backup is damaged: it is not the file that was written")]
    Damaged(String),
    /// The copied log is not whole.
    #[error("the log is broken at position {position}: {reason}; run `rollcall audit verify` on the original")]
    Broken {
        /// Where.
        position: u64,
        /// What is wrong.
        reason: String,
    },
    /// The tree over the log.
    #[error(transparent)]
    Tree(#[from] tree::Error),
    /// The copied log.
    #[error(transparent)]
    Log(#[from] crate::eventlog::Error),
    /// The data directory.
    #[error(transparent)]
    Directory(#[from] super::Error),
}

impl Error {
    fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |error| Self::File { path, error }
    }
}

/// What a backup is: beside its files, written last.
#[derive(Debug, Serialize, Deserialize)]
pub struct Manifest {
    /// The form of the backup.
    pub version: u32,
    /// When it was begun.
    pub taken_at: DateTime<Utc>,
    /// The name of the log: whose keys open it.
    pub origin: String,
    /// Events in the log.
    pub events: u64,
    /// The root over them (RFC 6962), in hexadecimal.
    pub root: String,
    files: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    name: String,
    bytes: u64,
    sha256: String,
}

const VERSION: u32 = 1;

/// Copies log and what is beside it to a directory that does not exist yet, and walks the copy: it agrees with the signed
/// checkpoint, event by event and ciphertext by ciphertext. The service may run.
///
/// # Errors
/// Something cannot be read or written, or the log is broken. Then there is no manifest, and so no backup.
pub async fn back_up(
    place: &Place,
    to: &Path,
    taken_at: DateTime<Utc>,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Manifest, Error> {
    if place.log != LogPlace::Embedded {
        return Err(Error::OnServer);
    }
    place.must_exist()?;
    match fs::DirBuilder::new().mode(0o700).create(to) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(Error::Place { path: to.into(), problem: "exists; name a directory that does not" });
        }
        made => made.map_err(Error::file(to))?,
    }
    let signed = place.dir.join("tree/checkpoint");
    let note = fs::read_to_string(&signed).map_err(Error::file(&signed))?;
    let checkpoint = Checkpoint::claimed(&note).map_err(|error| Error::Manifest(error.to_string()))?;
    let mut names = vec![];
    for name in BESIDE.iter().chain([&LOG]) {
        let from = place.dir.join(name);
        if from.exists() {
            copy_database(&from, &to.join(name))?;
            names.push(*name);
        }
    }
    let verdict = {
        let log: Arc<dyn EventLog> = Arc::new(Embedded::open(&to.join(LOG))?);
        verify_copy(&log, &checkpoint, progress).await?
    };
    let (events, root) = match verdict {
        Verdict::Whole { events, root, .. } => (events, hex::encode(root)),
        Verdict::Broken { position, reason, .. } => return Err(Error::Broken { position, reason }),
    };
    let files = names.into_iter().map(|name| entry(to, name)).collect::<Result<_, _>>()?;
    let manifest = Manifest { version: VERSION, taken_at, origin: checkpoint.origin, events, root, files };
    write_manifest(to, &manifest)?;
    Ok(manifest)
}

/// Copies a database as it is at one moment, whoever writes to it.
fn copy_database(from: &Path, to: &Path) -> Result<(), Error> {
    let copy = || {
        // Not read-only: where no service runs, the write-ahead log has no index yet.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(from, flags)?;
        connection.execute_batch("pragma busy_timeout = 5000")?;
        connection.execute("vacuum into ?1", [to.to_string_lossy()]).map(drop)
    };
    copy().map_err(|error| Error::Database { path: from.into(), error })?;
    File::open(to).and_then(|file| file.sync_all()).map_err(Error::file(to))
}

fn entry(dir: &Path, name: &str) -> Result<Entry, Error> {
    let path = dir.join(name);
    let hash = || {
        let (mut file, mut context) = (File::open(&path)?, Context::new(&SHA256));
        let bytes = std::io::copy(&mut file, &mut Hashing(&mut context))?;
        Ok((bytes, hex::encode(context.finish())))
    };
    let (bytes, sha256) = hash().map_err(Error::file(&path))?;
    Ok(Entry { name: name.into(), bytes, sha256 })
}

struct Hashing<'c>(&'c mut Context);

impl std::io::Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn write_manifest(dir: &Path, manifest: &Manifest) -> Result<(), Error> {
    let path = dir.join(MANIFEST);
    let text = serde_json::to_string_pretty(manifest).map_err(|error| Error::Manifest(error.to_string()))?;
    let write = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        File::open(dir)?.sync_all()
    };
    write().map_err(Error::file(&path))
}

/// Puts a backup into a data directory that holds the keys and no log. The log is older than what the keys have seen, unless
/// nothing happened since: it is then to be recovered.
///
/// # Errors
/// The backup is damaged, or the directory is not as it must be. Then nothing of the backup is in it.
pub fn put_back(from: &Path, place: &Place) -> Result<Manifest, Error> {
    if place.log != LogPlace::Embedded {
        return Err(Error::OnServer);
    }
    let manifest = read_manifest(from)?;
    for expected in &manifest.files {
        let is_ours = expected.name == LOG || BESIDE.contains(&expected.name.as_str());
        let found = if is_ours { entry(from, &expected.name)? } else { return Err(Error::Damaged(MANIFEST.into())) };
        if (found.bytes, &found.sha256) != (expected.bytes, &expected.sha256) {
            return Err(Error::Damaged(found.name));
        }
    }
    if !place.dir.join(KEYS).is_file() {
        let problem = "has no keys: put the replica of vault.db and root.cell there first; without it, nothing personal in \
                       the backup can be read";
        return Err(Error::Place { path: place.dir.clone(), problem });
    }
    let _lock = directory::lock(&place.dir)?;
    if place.dir.join(LOG).exists() {
        return Err(Error::Place { path: place.dir.clone(), problem: "has a log; name another --data-dir" });
    }
    // The log comes last: a directory without it is no data directory yet, and this may be repeated.
    let log_last = |entry: &&Entry| entry.name == LOG;
    for entry in manifest.files.iter().filter(|entry| !log_last(entry)).chain(manifest.files.iter().filter(log_last)) {
        put(&from.join(&entry.name), &place.dir, &entry.name)?;
    }
    Ok(manifest)
}

fn read_manifest(from: &Path) -> Result<Manifest, Error> {
    let path = from.join(MANIFEST);
    let text = fs::read(&path).map_err(Error::file(&path))?;
    let manifest: Manifest = serde_json::from_slice(&text).map_err(|error| Error::Manifest(error.to_string()))?;
    if manifest.version != VERSION {
        return Err(Error::Manifest(format!("version {}, and this program reads {VERSION}", manifest.version)));
    }
    Ok(manifest)
}

fn put(from: &Path, dir: &Path, name: &str) -> Result<(), Error> {
    let (to, new) = (dir.join(name), dir.join(format!("{name}.new")));
    let put = || {
        fs::copy(from, &new)?;
        File::open(&new)?.sync_all()?;
        fs::rename(&new, &to)?;
        File::open(dir)?.sync_all()
    };
    put().map_err(Error::file(&to))
}
