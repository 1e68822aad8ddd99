//! The only place that names adapters: puts the parts together over one data directory.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rollcall_projections::Projection;
use rollcall_projections::store::{BuildLock, ReadStore, Shadow};
use tokio::sync::OnceCell;

use crate::audit::incident::{self, Incidents};
use crate::audit::tree::{self, Keeper};
use crate::background::Background;
use crate::database::{self, Database};
use crate::engine::beside::KeptBeside;
use crate::engine::rebuild_live::{self, Progress, Scratch};
use crate::engine::rebuilds::OnServer;
use crate::engine::start::{self, Ports, Service};
use crate::engine::{Limits, projector, rebuild};
#[cfg(feature = "kurrentdb")]
use crate::eventlog::kurrentdb::{self, Kurrent};
use crate::eventlog::postgres::{Mode, Postgres};
use crate::eventlog::{self, DamageRecorder as _, EventLog};
use crate::live::store::{Kept, Store};
use crate::metrics;
use crate::privacy::key_tree::KeyTree;
pub use crate::privacy::key_tree::{CellSpec, Options as KeyOptions};
use crate::privacy::{self, Vault};
use crate::supervision;

pub mod backup;
mod damaged;
mod deliveries;
mod directory;
mod live;
#[cfg(feature = "kurrentdb")]
mod ownership;
pub mod places;

pub use deliveries::Notices;

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
    /// It belongs to somebody else and everybody may get into it.
    #[error(
        "the data directory {path} has mode {mode:o} and belongs to another user, so that everybody on this machine can \
         read the keys in it; take the rights of others away (chmod o-rwx), or name a directory inside it with \
         --data-dir, such as {path}/rollcall, which is then made for this user alone"
    )]
    Exposed {
        /// Which directory.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Another process has it.
    #[error("the data directory {0} is in use by another rollcall process; stop it first or use another --data-dir")]
    Locked(PathBuf),
    /// There is nothing in it.
    #[error("there is no rollcall data in {0}; check --data-dir, or start the service once with `rollcall serve`")]
    Missing(PathBuf),
    /// Keys in a database are for many nodes, and these share everything else too.
    #[error(
        "keys in a database (--vault-database) serve many nodes, which share log and read models too: name the database \
         for these (--database)"
    )]
    HalfShared,
    /// It cannot be copied.
    #[error("the data directory cannot be copied, set TMPDIR to a directory with space: {0}")]
    Scratch(std::io::Error),
    /// The log.
    #[error(transparent)]
    Log(#[from] eventlog::Error),
    /// The database.
    #[error("the database cannot be used: {0}")]
    Database(#[from] database::Error),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] privacy::Error),
    /// The read models.
    #[error(transparent)]
    Read(#[from] rollcall_projections::store::Error),
    /// The log was found broken before.
    #[error(transparent)]
    Incident(#[from] incident::Error),
    /// Subscriptions.
    #[error(transparent)]
    Live(#[from] crate::live::store::Error),
    /// The tree over the log.
    #[error(transparent)]
    Tree(#[from] tree::Error),
    /// Read models cannot be built anew.
    #[error("a read model cannot be built anew: {0}")]
    Rebuild(#[from] projector::Error),
    /// The deliveries of the webhooks.
    #[error(transparent)]
    Deliveries(#[from] crate::delivery::webhooks::store::Error),
    /// The engine.
    #[error(transparent)]
    Start(#[from] start::Error),
}

/// Where the log is.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum LogPlace {
    /// In the data directory.
    #[default]
    Embedded,
    /// In a `PostgreSQL` database, with the read models.
    Postgres(Box<Database>),
    /// In `KurrentDB`, at this address; read models are in the data directory, or in the database where one is named.
    #[cfg(feature = "kurrentdb")]
    Kurrent(String, Option<Box<Database>>),
}

impl LogPlace {
    /// The place that the settings name.
    ///
    /// # Errors
    /// This build has no `KurrentDB`.
    pub fn of(kurrentdb: Option<String>, database: Option<Database>) -> Result<Self, String> {
        let database = database.map(Box::new);
        match (kurrentdb, database) {
            #[cfg(feature = "kurrentdb")]
            (Some(address), database) => {
                kurrentdb::check_stream(&address)?;
                Ok(Self::Kurrent(address, database))
            }
            #[cfg(not(feature = "kurrentdb"))]
            (Some(_), _) => Err("this build has no KurrentDB; build it with `--features kurrentdb`".into()),
            (None, Some(database)) => Ok(Self::Postgres(database)),
            (None, None) => Ok(Self::Embedded),
        }
    }

    fn database(&self) -> Option<&Database> {
        match self {
            Self::Embedded => None,
            Self::Postgres(database) => Some(database),
            #[cfg(feature = "kurrentdb")]
            Self::Kurrent(_, database) => database.as_deref(),
        }
    }
}

/// Where the parts of a service are.
#[derive(Debug, Clone, Default)]
pub struct Place {
    /// The data directory: the keys, and whatever is nowhere else.
    pub dir: PathBuf,
    /// Where the root of the keys is.
    pub keys: KeyOptions,
    /// Where the log is.
    pub log: LogPlace,
}

/// Connections on which a node queries its read models.
const READERS_MAX: usize = 16;
/// Connections that build read models anew.
const SHADOW_MAX: usize = 4;

impl Place {
    /// Opens log and read models for the vault whose values they hold.
    fn stores(&self, vault: &dyn Vault, background: Option<&Background>) -> Result<Stores, Error> {
        let Some(background) = background else {
            let log = eventlog::embedded::Embedded::open(&self.dir.join("log.db"))?;
            return Ok((Arc::new(log), Arc::new(self.read_models_here()?)));
        };
        if let Some(database) = self.log.database() {
            background.spawn(supervision::unpanicking("database-probe", database.clone().probe()));
        }
        background.block_on(async {
            let log = self.claimed_log(vault).await?;
            Ok((log, self.read_models().await?))
        })
    }

    /// Opens the log on its server, which must be that of this vault, or nobody's yet.
    async fn claimed_log(&self, vault: &dyn Vault) -> Result<Arc<dyn EventLog>, Error> {
        match &self.log {
            LogPlace::Postgres(database) => {
                let log = Postgres::open(database, Mode::Append).await?;
                Postgres::claim(database, vault.id()).await?;
                Ok(Arc::new(if vault.is_shared() { log } else { log.with_sole_writer() }))
            }
            #[cfg(feature = "kurrentdb")]
            LogPlace::Kurrent(address, _) => {
                let log = kurrent(address, &self.dir).await?;
                ownership::claim(&log, vault).await?;
                Ok(Arc::new(log))
            }
            LogPlace::Embedded => self.log(Mode::Append, &self.dir).await,
        }
    }

    /// Opens the read models, beside a log on a server.
    async fn read_models(&self) -> Result<Arc<ReadStore>, Error> {
        let Some(database) = self.log.database() else { return Ok(Arc::new(self.read_models_here()?)) };
        let read = ReadStore::connect(database.pool(READERS_MAX)?, rollcall_projections::ALL).await?;
        let log_is_there = matches!(self.log, LogPlace::Postgres(_));
        let read = if log_is_there { read } else { read.with_flushed_claims() };
        Ok(Arc::new(read.timed_by(metrics::queried)))
    }

    fn read_models_here(&self) -> Result<ReadStore, Error> {
        Ok(ReadStore::open(&self.dir.join("read.db"))?.timed_by(metrics::queried))
    }

    /// Opens the log on its server; `dir` is where a replica of it may lie.
    #[cfg_attr(not(feature = "kurrentdb"), allow(unused_variables))]
    async fn log(&self, mode: Mode, dir: &Path) -> Result<Arc<dyn EventLog>, Error> {
        Ok(match &self.log {
            LogPlace::Embedded => Arc::new(eventlog::embedded::Embedded::open(&dir.join("log.db"))?),
            LogPlace::Postgres(database) => Arc::new(Postgres::open(database, mode).await?),
            #[cfg(feature = "kurrentdb")]
            LogPlace::Kurrent(address, _) => Arc::new(kurrent(address, dir).await?),
        })
    }

    /// Opens the log alone, in a directory that exists, on the runtime this is called on: to measure it.
    ///
    /// # Errors
    /// It cannot be opened.
    pub async fn log_alone(&self) -> Result<Arc<dyn EventLog>, Error> {
        self.log(Mode::Append, &self.dir).await
    }

    /// Opens a log in another stream of `KurrentDB` than that of services, with its replica in a directory: to measure it.
    ///
    /// # Errors
    /// It cannot be opened.
    #[cfg(feature = "kurrentdb")]
    pub async fn log_in_stream(address: &str, stream: &str, dir: &Path) -> Result<Arc<dyn EventLog>, Error> {
        Ok(Arc::new(Kurrent::connect(address, stream, &dir.join("replica.db")).await?))
    }

    /// What somebody on the way to a server could read or change, one sentence each.
    #[must_use]
    pub fn weaknesses(&self) -> Vec<String> {
        let mut found = self.log.database().map(Database::weaknesses).unwrap_or_default();
        #[cfg(feature = "kurrentdb")]
        if let LogPlace::Kurrent(address, _) = &self.log {
            found.extend(kurrentdb::weakness(address));
        }
        found.extend(self.keys.weaknesses());
        found
    }

    fn background(&self) -> Result<Option<Background>, Error> {
        let threads = if is_small() { 1 } else { 2 };
        let background = (self.log != LogPlace::Embedded).then(|| Background::start("servers", threads)).transpose();
        background.map_err(|source| Error::Unusable { path: self.dir.clone(), source })
    }

    fn must_exist(&self) -> Result<(), Error> {
        // A node that shares its keys holds nothing that is nowhere else.
        if self.keys.database.is_some() {
            return Ok(());
        }
        let file = if self.log == LogPlace::Embedded { "log.db" } else { "vault.db" };
        if self.dir.join(file).is_file() { Ok(()) } else { Err(Error::Missing(self.dir.clone())) }
    }
}

/// Opens the log in the stream that an address names, with its replica in a directory.
#[cfg(feature = "kurrentdb")]
async fn kurrent(address: &str, dir: &Path) -> Result<Kurrent, eventlog::Error> {
    Kurrent::connect(address, kurrentdb::stream(address), &kurrentdb::replica(address, dir)).await
}

type Stores = (Arc<dyn EventLog>, Arc<ReadStore>);

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
    /// Who follows whom, and when users were last seen.
    store: Arc<dyn Store>,
    /// What a node found wrong with the log.
    pub incidents: Arc<Incidents>,
    checkpoint_copy: Option<PathBuf>,
    keeper: OnceCell<Arc<Keeper>>,
    database: Option<Database>,
    // Dropped last: log, vault and read models need it until they are closed.
    background: Option<Background>,
}

impl DataDir {
    /// Opens a data directory that exists.
    ///
    /// # Errors
    /// It does not exist, is in use, or is damaged.
    pub fn open(place: &Place) -> Result<Self, Error> {
        place.must_exist()?;
        Self::create(place)
    }

    /// Opens a data directory, making it if it does not exist.
    ///
    /// # Errors
    /// It cannot be made, is in use, or is damaged.
    pub fn create(place: &Place) -> Result<Self, Error> {
        Self::create_with(place, Place::stores)
    }

    fn create_with(
        place: &Place,
        open: impl FnOnce(&Place, &dyn Vault, Option<&Background>) -> Result<Stores, Error>,
    ) -> Result<Self, Error> {
        let path = place.dir.as_path();
        let lock = directory::lock(path)?;
        if place.keys.database.is_some() && place.log.database().is_none() {
            return Err(Error::HalfShared);
        }
        place.weaknesses().iter().for_each(|weakness| tracing::warn!("{weakness}"));
        let vault = KeyTree::open(path, &place.keys)?;
        let background = place.background()?;
        let incidents = Arc::new(Incidents::of(path));
        let opened = open(place, &vault, background.as_ref());
        // What is found while it is opened must outlive the attempt as well.
        if let Err(Error::Log(eventlog::Error::Corrupt { position, reason })) = &opened {
            incidents.record(*position, reason);
        }
        let (log, read) = opened?;
        log.record_damage_with(incidents.clone());
        let store = live::store(place, background.as_ref())?;
        Ok(Self {
            vault: Arc::new(vault),
            log,
            read,
            store,
            incidents,
            path: path.into(),
            _lock: lock,
            checkpoint_copy: None,
            keeper: OnceCell::new(),
            database: place.log.database().cloned(),
            background,
        })
    }

    /// Builds read models anew. On a server they are built beside the live ones, which they then replace; the result is the
    /// longest time for which a live one was locked meanwhile.
    ///
    /// # Errors
    /// A part is unavailable.
    pub async fn rebuild(
        &self,
        models: &[&'static dyn Projection],
        progress: Progress<'_>,
    ) -> Result<Option<Duration>, Error> {
        let Some(build_lock) = self.build_lock().await? else {
            rebuild::rebuild(&self.log, &self.vault, &self.read, models, progress.events).await?;
            return Ok(None);
        };
        // The live ones first apply what the service had not applied when it stopped: a new read model replaces a live one
        // only at the same position.
        rebuild::catch_up(&self.log, &self.vault, &self.read, models, progress.events).await?;
        self.rebuild_live(build_lock, models, progress).await.map(Some)
    }

    /// Waits for the lock to build read models, where the read models are on a server.
    async fn build_lock(&self) -> Result<Option<BuildLock>, Error> {
        match &self.database {
            Some(database) => Ok(Some(BuildLock::wait(database.pool(SHADOW_MAX)?).await?)),
            None => Ok(None),
        }
    }

    async fn rebuild_live(
        &self,
        build_lock: BuildLock,
        models: &[&'static dyn Projection],
        progress: Progress<'_>,
    ) -> Result<Duration, Error> {
        let (shadow, scratch) = (Shadow::open(build_lock, models).await?, Scratch::of(&self.path));
        Ok(rebuild_live::build(&self.log, &self.vault, &self.read, &shadow, models, &scratch, progress).await?)
    }

    fn outdated(&self) -> Vec<&'static dyn Projection> {
        let is_outdated = |model: &&&'static dyn Projection| self.read.checkpoint(model.name()).is_err();
        rollcall_projections::ALL.iter().filter(is_outdated).copied().collect()
    }

    /// Builds the read models anew that another version of the program left in another shape, unless another node is
    /// building them.
    async fn build_outdated(&self) -> Result<(), Error> {
        if !self.outdated().is_empty()
            && let Some(build_lock) = self.build_lock().await?
        {
            self.read.refresh().await?;
            let outdated = self.outdated();
            if !outdated.is_empty() {
                let names: Vec<_> = outdated.iter().map(|model| model.name()).collect();
                tracing::info!(models = names.join(", "), "read models of another version are built anew");
                self.rebuild_live(build_lock, &outdated, Progress { events: &|_, _| {}, rows: &|_, _| {} }).await?;
            }
        }
        // Removes the files of a rebuild that was interrupted and not continued.
        Ok(Scratch::of(&self.path).remove()?)
    }

    /// Opens log and read models in another place, for the same vault.
    ///
    /// # Errors
    /// They cannot be opened, or hold the values of another vault.
    pub fn in_place(&self, log: LogPlace) -> Result<OtherStores, Error> {
        let place = Place { dir: self.path.clone(), keys: KeyOptions::default(), log };
        let background = place.background()?;
        let has_read_models_here = place.log.database().is_none() && self.database.is_none();
        let (log, read) = place.stores(self.vault.as_ref(), background.as_ref())?;
        let read = if has_read_models_here { self.read.clone() } else { read };
        Ok(OtherStores { log, read, _background: background })
    }

    /// Keeps a copy of the signed checkpoint there, and compares the log with it at the start.
    #[must_use]
    pub fn with_checkpoint_copy(mut self, path: Option<PathBuf>) -> Self {
        self.checkpoint_copy = path;
        self
    }

    /// Opens the tree over the log and brings it up to the end of the log.
    ///
    /// # Errors
    /// The log was put back to an earlier state or changed, or a part is unavailable.
    pub async fn keeper(&self) -> Result<Arc<Keeper>, Error> {
        let keeper = self.opened_keeper().await?;
        keeper.catch_up().await?;
        Ok(keeper)
    }

    /// Opens the tree over the log. If much of the log is missing in it, [`Keeper::run`] adds that later.
    ///
    /// # Errors
    /// The log was put back to an earlier state or changed, or a part is unavailable.
    pub async fn opened_keeper(&self) -> Result<Arc<Keeper>, Error> {
        let open = async || {
            self.incidents.settle(self.log.as_ref()).await?;
            let (copy, log, vault) = (self.checkpoint_copy.clone(), self.log.clone(), self.vault.clone());
            Ok::<_, Error>(Arc::new(Keeper::open(&self.tree(), copy, log, vault).await?))
        };
        Ok(self.keeper.get_or_try_init(open).await?.clone())
    }

    /// Where the tree over the log lies.
    #[must_use]
    pub fn tree(&self) -> PathBuf {
        self.path.join("tree")
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
        self.opened_keeper().await?;
        self.start_unproven().await
    }

    /// Starts an engine without comparing the log with what was seen of it before.
    ///
    /// # Errors
    /// The log is corrupt, or a part is unavailable.
    pub async fn start_unproven(&self) -> Result<Service, Error> {
        self.build_outdated().await?;
        let kept_beside: Vec<Arc<dyn KeptBeside>> = vec![Arc::new(Kept(self.store.clone()))];
        let on_server = |database: &Database| OnServer { database: database.clone(), scratch: Scratch::of(&self.path) };
        let ports = Ports {
            log: self.log.clone(),
            vault: self.vault.clone(),
            read: self.read.clone(),
            kept_beside,
            on_server: self.database.as_ref().map(on_server),
        };
        Ok(start::start(ports, Limits::default()).await?)
    }
}

/// Log and read models in another place than those of the data directory.
pub struct OtherStores {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// The read models.
    pub read: Arc<ReadStore>,
    _background: Option<Background>,
}

/// A copy of a stopped data directory, removed when this is dropped. The directory is only read; its read models are not
/// copied, and its root key stays where it is: a copy of the keys is worth nothing without it.
pub struct Copy {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// The vault, which opens values alone.
    pub vault: Arc<dyn Vault>,
    /// Read models without a row.
    pub read: Arc<ReadStore>,
    _background: Option<Background>,
    // Dropped last, because it removes the files that the others have open.
    _scratch: tempfile::TempDir,
    _lock: Option<File>,
}

impl Copy {
    /// Copies what is needed of a data directory that nobody serves.
    ///
    /// # Errors
    /// It does not exist, is in use, or is damaged; or there is no space for the copy.
    pub fn of(place: &Place) -> Result<Self, Error> {
        place.must_exist()?;
        let path = place.dir.as_path();
        let unusable = |source| Error::Unusable { path: path.into(), source };
        let lock = match File::open(path.join("lock")) {
            Ok(lock) => Some(lock),
            // Without a lock file nobody serves the directory: the lock is made first.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(unusable(error)),
        };
        match lock.as_ref().map(File::try_lock_shared) {
            None | Some(Ok(())) => {}
            Some(Err(TryLockError::WouldBlock)) => return Err(Error::Locked(path.into())),
            Some(Err(TryLockError::Error(source))) => return Err(unusable(source)),
        }
        let scratch = tempfile::Builder::new().prefix("rollcall-replay-").tempdir().map_err(Error::Scratch)?;
        let to = scratch.path();
        for name in ["log.db", "log.db-wal", "vault.db", "vault.db-wal"] {
            match std::fs::copy(path.join(name), to.join(name)) {
                Err(error) if error.kind() == ErrorKind::NotFound && name.ends_with("-wal") => {}
                Err(error) if error.kind() == ErrorKind::NotFound && place.log != LogPlace::Embedded => drop(error),
                Err(error) if error.kind() == ErrorKind::NotFound => return Err(unusable(error)),
                copied => drop(copied.map_err(Error::Scratch)?),
            }
        }
        let background = place.background()?;
        let log = match &background {
            // A log on a server is read where it is; reading changes nothing.
            Some(background) => background.block_on(place.log(Mode::Read, to))?,
            None => Arc::new(eventlog::embedded::Embedded::open(&to.join("log.db"))?),
        };
        Ok(Self {
            log,
            vault: Arc::new(KeyTree::open_to_read(&to.join("vault.db"), path, &place.keys)?),
            read: Arc::new(ReadStore::open(&to.join("read.db"))?),
            _background: background,
            _scratch: scratch,
            _lock: lock,
        })
    }
}

/// Rewrites an embedded log of an earlier format as this version writes it, and answers how many events it holds; `None`: it
/// is of this format already.
///
/// # Errors
/// The directory is in use, or the log cannot be read or written; it stays as it was.
pub fn convert_log(place: &Place, progress: &dyn Fn(u64, u64)) -> Result<Option<u64>, Error> {
    place.must_exist()?;
    let _lock = directory::lock(&place.dir)?;
    Ok(eventlog::embedded::Embedded::convert(&place.dir.join("log.db"), progress)?)
}

/// Moves the keys of a service that nobody runs to where `to` says.
///
/// # Errors
/// The directory is in use, there are other keys already, or something cannot be read or written; it may be repeated.
pub fn move_keys(place: &Place, to: &KeyOptions) -> Result<(), Error> {
    place.must_exist()?;
    let _lock = directory::lock(&place.dir)?;
    KeyTree::open(&place.dir, &place.keys)?.move_to(&place.dir, to)?;
    Ok(())
}

/// Whether there are so few processors that a second thread for connections only takes turns with the first: waking it costs more
/// than what it does meanwhile.
fn is_small() -> bool {
    std::thread::available_parallelism().is_ok_and(|processors| processors.get() < 4)
}
