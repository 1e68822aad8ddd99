//! The only place that names adapters: puts the parts together over one data directory.

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rollcall_projections::store::ReadStore;

use crate::engine::Limits;
use crate::engine::start::{self, Ports, Service};
use crate::eventlog::{self, EventLog};
pub use crate::privacy::embedded::{CellSpec, Options as KeyOptions};
use crate::privacy::{self, Vault};

/// Why a data directory cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be made or its lock cannot be taken.
    #[error("the data directory {path} cannot be used: {source}")]
    Unusable {
        /// Which directory.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another process has it.
    #[error("the data directory {0} is in use by another rollcall process; stop it first or use another --data-dir")]
    Locked(PathBuf),
    /// There is nothing in it.
    #[error("there is no rollcall data in {0}; check --data-dir, or start the service once with `rollcall serve`")]
    Missing(PathBuf),
    /// The log.
    #[error(transparent)]
    Log(#[from] eventlog::Error),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] privacy::Error),
    /// The read models.
    #[error(transparent)]
    Read(#[from] rollcall_projections::store::Error),
    /// The engine.
    #[error(transparent)]
    Start(#[from] start::Error),
}

/// An open data directory. Its lock is held until it is dropped.
pub struct DataDir {
    path: PathBuf,
    _lock: File,
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// The vault.
    pub vault: Arc<dyn Vault>,
    /// The read models.
    pub read: Arc<ReadStore>,
}

impl DataDir {
    /// Opens a data directory that exists.
    ///
    /// # Errors
    /// It does not exist, is in use, or is damaged.
    pub fn open(path: &Path, keys: &KeyOptions) -> Result<Self, Error> {
        if !path.join("log.db").is_file() {
            return Err(Error::Missing(path.into()));
        }
        Self::create(path, keys)
    }

    /// Opens a data directory, making it if it does not exist.
    ///
    /// # Errors
    /// It cannot be made, is in use, or is damaged.
    pub fn create(path: &Path, keys: &KeyOptions) -> Result<Self, Error> {
        let unusable = |source| Error::Unusable { path: path.into(), source };
        std::fs::create_dir_all(path).map_err(unusable)?;
        restrict(path).map_err(unusable)?;
        let lock = File::create(path.join("lock")).map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Locked(path.into())),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
        Ok(Self {
            vault: Arc::new(privacy::embedded::Embedded::open(path, keys)?),
            log: Arc::new(eventlog::embedded::Embedded::open(&path.join("log.db"))?),
            read: Arc::new(ReadStore::open(&path.join("read.db"))?),
            path: path.into(),
            _lock: lock,
        })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Starts an engine over it.
    ///
    /// # Errors
    /// The log is corrupt or rewound, or a part is unavailable.
    pub async fn start(&self) -> Result<Service, Error> {
        let ports = Ports { log: self.log.clone(), vault: self.vault.clone(), read: self.read.clone() };
        Ok(start::start(ports, Limits::default()).await?)
    }
}

/// Keeps other users of the machine out: the directory holds keys.
fn restrict(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
}
