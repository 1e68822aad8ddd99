//! The read store: tables of every read model, their checkpoints, and what is parked, in `SQLite` or in `PostgreSQL`.
//!
//! Rows and checkpoints move in one transaction, and queries wait for nobody. Whatever is lost here is projected again
//! from the log.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{PoisonError, RwLock};

use deadpool_postgres::Pool;
use rollcall_schemas::ids::EventId;

use crate::{ALL, Arrival, Projection, Query, Value};

mod beside;
mod digest;
mod observed;
mod parking;
mod postgres;
mod row;
mod shares;
mod sqlite;

pub use beside::Beside;
pub use observed::Timed;
pub use parking::{ParkedKey, ParkingCursor, Retried, SkippedEvent};
pub use postgres::{
    BuildLock, ClaimVersion, Claimed, Claims, Lease, LeaseHolder, RebuildNote, Shadow, UnusedClaim, describe,
    drop_before, go_back, prepare_connection,
};
pub use row::Row;

use observed::Observed;
use postgres::{Lanes, Postgres};
use sqlite::{Keeping, Sqlite};

/// Why the read store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database cannot be used now: disk full, I/O error, busy. Nothing was changed.
    #[error("the read store is unavailable: {0}")]
    Unavailable(String),
    /// Events are missing between the checkpoint and the batch, or inside it. Nothing was changed.
    #[error("read model {model} expected position {expected} and was given {found}")]
    Gap {
        /// Which read model.
        model: &'static str,
        /// The position after its checkpoint.
        expected: u64,
        /// What came.
        found: u64,
    },
    /// Somebody else moved the read model on: this node does not hold its lease any more. Nothing was changed.
    #[error("read model {0} was moved on by another node")]
    Moved(&'static str),
    /// Somebody else uses what is asked for, for longer than it may be waited for. Nothing was changed.
    #[error("tables of the read store are in use by somebody else, for longer than can be waited for; try again later")]
    InUse,
    /// No such read model exists in this store; it may have been dropped.
    #[error("the read store has no read model {0}")]
    NoSuchModel(String),
    /// The events handed in are not the parked ones. Nothing was changed.
    #[error("the events handed in for stream {stream} are not those that {model} parked")]
    NotTheParked {
        /// Which read model.
        model: &'static str,
        /// Which stream.
        stream: String,
    },
    /// A column of an answer is missing or of an unexpected type: the tables are not of this version.
    #[error("column {0} of an answer has an unexpected type")]
    Column(usize),
}

/// How far a read model has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which read model.
    pub model: &'static str,
    /// Its version.
    pub version: u32,
    /// Position of the last event it applied; 0: none.
    pub position: u64,
    /// That event. A log that holds another one there was rewound under the read model.
    pub event: Option<EventId>,
}

/// Takes the rows of an answer, one after the other, until it breaks off.
pub(crate) type TakeRow<'t> = &'t mut (dyn FnMut(&Row<'_, '_>) -> Result<ControlFlow<()>, Error> + Send);
/// Takes the rows of several answers, each with the number of its set of parameters.
type TakeRowOf<'t> = &'t mut (dyn FnMut(usize, &Row<'_, '_>) -> Result<(), Error> + Send);
/// Sets of parameters, one behind the other, and how many parameters each has.
type Sets<'s> = (&'s [Value], usize);

enum Backend {
    Sqlite(Box<Sqlite>),
    Postgres(Box<Postgres>),
}

/// The read store.
pub struct ReadStore {
    backend: Backend,
    /// What the last committed transaction left, so that waiting for a position costs no query.
    checkpoints: RwLock<Vec<Checkpoint>>,
    timed: Option<Timed>,
}

/// Does the same with either database; the answer of the one comes at once.
macro_rules! with {
    ($self:ident, $store:ident => $sync:expr, $async:expr) => {
        match &$self.backend {
            Backend::Sqlite($store) => $sync,
            // On the heap: what waits for a server is large, and would be a part of whatever reads from a file.
            Backend::Postgres($store) => Box::pin($async).await,
        }
    };
}

impl ReadStore {
    /// Opens the store in a file with every read model.
    ///
    /// # Errors
    /// The file cannot be opened or written.
    pub fn open(path: &Path) -> Result<Self, Error> {
        Self::open_with(path, ALL)
    }

    /// Opens the store in a file with these read models: a missing one is created, and one that was stored by another
    /// version is dropped and starts at position 0. So does every one where the machine went down, or the file was copied,
    /// before the store was closed: nothing is flushed while it is used (docs/decisions/0028-read-models-unflushed.md).
    ///
    /// # Errors
    /// The file cannot be opened or written.
    pub fn open_with(path: &Path, models: &[&dyn Projection]) -> Result<Self, Error> {
        Self::open_file(path, models, Keeping::Lasting)
    }

    /// Opens a store in a file that is thrown away: nothing of it is flushed, and no other process is to open it.
    ///
    /// # Errors
    /// The file cannot be opened or written.
    pub fn scratch(path: &Path, models: &[&dyn Projection]) -> Result<Self, Error> {
        Self::open_file(path, models, Keeping::Scratch)
    }

    fn open_file(path: &Path, models: &[&dyn Projection], keeping: Keeping) -> Result<Self, Error> {
        let (store, checkpoints) = Sqlite::open(path, models, keeping)?;
        Ok(Self { backend: Backend::Sqlite(Box::new(store)), checkpoints: RwLock::new(checkpoints), timed: None })
    }

    /// Opens a store in a file to build these read models in, of which nothing is asked: [`Shadow::take_over`] is to take
    /// them from there. What a process that ended left in it is there still.
    ///
    /// # Errors
    /// The file cannot be opened or written.
    pub fn open_to_build(path: &Path, models: &[&dyn Projection]) -> Result<Self, Error> {
        let store = Self::open_with(path, models)?;
        store.file()?.drop_query_indexes(models)?;
        Ok(store)
    }

    /// Tells that nobody needs what is in this store any more: a file is not flushed when it is closed. It is to be removed then.
    pub fn discard(&self) {
        if let Backend::Sqlite(store) = &self.backend {
            store.discard();
        }
    }

    /// Opens the store in a database with these read models: a missing one is created. One that was stored by another
    /// version stays as it is and is not of this store until it was built anew beside it ([`Shadow`]).
    /// Connections of the pool must have been prepared by [`prepare_connection`].
    ///
    /// # Errors
    /// The database is unavailable, or the role may not make tables.
    pub async fn connect(pool: Pool, models: &[&'static dyn Projection]) -> Result<Self, Error> {
        let (store, checkpoints) = Postgres::open(pool, postgres::LIVE, models).await?;
        Ok(Self { backend: Backend::Postgres(Box::new(store)), checkpoints: RwLock::new(checkpoints), timed: None })
    }

    /// Applies on so many connections at once, each for its share of the read models; 1 to 4, by default one for each two
    /// processors.
    #[must_use]
    pub fn with_lanes(mut self, count: usize) -> Self {
        if let Backend::Postgres(store) = &mut self.backend {
            store.lanes = Lanes::new(count);
        }
        self
    }

    /// Tells how long each query takes; of a store in a file and one on a server alike.
    #[must_use]
    pub fn timed_by(mut self, timed: Timed) -> Self {
        self.timed = Some(timed);
        self
    }

    /// Has every claim on the disk before it is answered: needed where the log is in no transaction of this database.
    #[must_use]
    pub fn with_flushed_claims(mut self) -> Self {
        if let Backend::Postgres(store) = &mut self.backend {
            store.claiming.flushed = true;
        }
        self
    }

    /// How far a read model has come: the position of the last event it applied, 0 at its start.
    ///
    /// # Errors
    /// There is no such read model.
    pub fn checkpoint(&self, model: &str) -> Result<u64, Error> {
        let checkpoints = self.checkpoints.read().unwrap_or_else(PoisonError::into_inner);
        let found = checkpoints.iter().find(|checkpoint| checkpoint.model == model);
        found.map(|checkpoint| checkpoint.position).ok_or_else(|| Error::NoSuchModel(model.into()))
    }

    /// How far every read model has come.
    #[must_use]
    pub fn checkpoints(&self) -> Vec<Checkpoint> {
        self.checkpoints.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Learns how far the read models were moved on by others.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn refresh(&self) -> Result<(), Error> {
        if let Backend::Postgres(store) = &self.backend {
            let stored = store.checkpoints().await?;
            self.move_checkpoints(&stored);
        }
        Ok(())
    }

    /// How read models on a server were built anew the last time, by whichever process; nothing of those in a file.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn rebuilds(&self) -> Result<Vec<RebuildNote>, Error> {
        match &self.backend {
            Backend::Sqlite(_) => Ok(vec![]),
            Backend::Postgres(store) => store.rebuilds().await,
        }
    }

    /// Whether several nodes share this store, so that whoever projects needs a lease.
    #[must_use]
    pub fn lease(&self) -> Option<Lease<'_>> {
        match &self.backend {
            Backend::Sqlite(_) => None,
            Backend::Postgres(store) => Some(store.lease()),
        }
    }

    /// Who gets which subject, where several nodes share this store.
    #[must_use]
    pub fn claims(&self) -> Option<Claims<'_>> {
        match &self.backend {
            Backend::Sqlite(_) => None,
            Backend::Postgres(store) => Some(store.claims()),
        }
    }

    /// Applies a batch, contiguous and in the order of the log, to these read models. Each skips what it applied
    /// before. Rows and checkpoint of a read model are written in one transaction: both or neither.
    ///
    /// An event that cannot be applied to a read model is parked there with what follows it in its stream; the
    /// batch succeeds nevertheless.
    ///
    /// # Errors
    /// Events are missing or a read model does not exist: nothing was changed. Or the store is unavailable: in a file
    /// nothing was changed, in a database each read model was moved on or not.
    pub async fn apply(&self, batch: &[Arrival<'_>], which: &[&dyn Projection]) -> Result<(), Error> {
        self.apply_shares(&shares::of(batch, which, &|model| self.checkpoint(model))?).await
    }

    /// Applies chosen events in the order of the log, with others left out between them. For a scratch store that
    /// answers about one subject only: what it says about anybody else is not whole.
    ///
    /// # Errors
    /// The events are not in the order of the log, a read model does not exist or is past the first of them, or the
    /// store is unavailable. Nothing was changed.
    pub async fn apply_chosen(&self, batch: &[Arrival<'_>], which: &[&dyn Projection]) -> Result<(), Error> {
        self.apply_shares(&shares::of_chosen(batch, which, &|model| self.checkpoint(model))?).await
    }

    async fn apply_shares(&self, shares: &[shares::Share<'_, '_>]) -> Result<(), Error> {
        if shares.is_empty() {
            return Ok(());
        }
        match &self.backend {
            Backend::Sqlite(store) => {
                store.apply(shares)?;
                self.move_checkpoints(&shares.iter().map(|share| share.after).collect::<Vec<_>>());
                Ok(())
            }
            Backend::Postgres(store) => store.apply(shares, &|moved| self.move_checkpoints(moved)).await,
        }
    }

    /// Creates a read model, empty and at position 0; what there was of it is dropped.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn create_model(&self, model: &dyn Projection) -> Result<(), Error> {
        let checkpoint = with!(self, store => store.create_model(model), store.create_model(model))?;
        self.move_checkpoints(&[checkpoint]);
        Ok(())
    }

    /// Drops a read model: its tables, its checkpoint and what it parked.
    ///
    /// # Errors
    /// The store is unavailable.
    pub async fn drop_model(&self, model: &str) -> Result<(), Error> {
        with!(self, store => store.drop_model(model), store.drop_model(model))?;
        let mut checkpoints = self.checkpoints.write().unwrap_or_else(PoisonError::into_inner);
        checkpoints.retain(|checkpoint| checkpoint.model != model);
        Ok(())
    }

    /// SHA-256 over every column of every row of a read model, table by table in the order of the primary key. The same
    /// for the same rows in either database.
    ///
    /// # Errors
    /// There is no such read model, or the store is unavailable.
    pub async fn digest(&self, model: &str) -> Result<[u8; 32], Error> {
        self.checkpoint(model)?;
        with!(self, store => store.digest(model), store.digest(model))
    }

    /// The rows a statement finds.
    ///
    /// # Errors
    /// The store is unavailable, or what `map` returns.
    pub async fn rows<T: Send>(
        &self,
        query: impl Into<Query>,
        params: &[Value],
        mut map: impl FnMut(&Row<'_, '_>) -> Result<T, Error> + Send,
    ) -> Result<Vec<T>, Error> {
        let mut rows = Vec::new();
        let mut take = |row: &Row<'_, '_>| {
            rows.push(map(row)?);
            Ok(ControlFlow::Continue(()))
        };
        self.each_row(query.into(), params, &mut take).await?;
        Ok(rows)
    }

    /// The row a statement finds, if any.
    ///
    /// # Errors
    /// The store is unavailable, or what `map` returns.
    pub async fn row<T: Send>(
        &self,
        query: impl Into<Query>,
        params: &[Value],
        mut map: impl FnMut(&Row<'_, '_>) -> Result<T, Error> + Send,
    ) -> Result<Option<T>, Error> {
        let mut found = None;
        let mut take = |row: &Row<'_, '_>| {
            found = Some(map(row)?);
            Ok(ControlFlow::Break(()))
        };
        self.each_row(query.into(), params, &mut take).await?;
        Ok(found)
    }

    /// The rows a statement finds for each set of parameters, all from one state of the store, in the order asked.
    ///
    /// # Errors
    /// The store is unavailable, or what `map` returns.
    pub async fn rows_of_each<const N: usize, T: Send>(
        &self,
        query: impl Into<Query>,
        asked: impl Iterator<Item = [Value; N]>,
        mut map: impl FnMut(&Row<'_, '_>) -> Result<T, Error> + Send,
    ) -> Result<Vec<Vec<T>>, Error> {
        const { assert!(N > 0) };
        let asked: Vec<_> = asked.collect();
        let mut found: Vec<_> = asked.iter().map(|_| Vec::new()).collect();
        let mut take = |set: usize, row: &Row<'_, '_>| {
            if let Some(rows) = found.get_mut(set) {
                rows.push(map(row)?);
            }
            Ok(())
        };
        self.each_row_of_each(query.into(), (asked.as_flattened(), N), &mut take).await?;
        Ok(found)
    }

    /// Hands each row that a statement finds to `take`. What is done for every query is compiled once here, not once for each
    /// type of row.
    pub(crate) async fn each_row(&self, query: Query, params: &[Value], take: TakeRow<'_>) -> Result<(), Error> {
        let observed = Observed::begin(query, self.timed);
        observed.end(with!(self, store => store.each_row(query, params, take), store.each_row(query, params, take)))
    }

    async fn each_row_of_each(&self, query: Query, sets: Sets<'_>, take: TakeRowOf<'_>) -> Result<(), Error> {
        let observed = Observed::begin(query, self.timed);
        observed.end(with!(
            self,
            store => store.each_row_of_each(query, sets, take),
            store.each_row_of_each(query, sets, take)
        ))
    }

    fn file(&self) -> Result<&Sqlite, Error> {
        match &self.backend {
            Backend::Sqlite(store) => Ok(store),
            Backend::Postgres(_) => Err(Error::Unavailable("read models are taken over from a file alone".into())),
        }
    }

    fn move_checkpoints(&self, moved: &[Checkpoint]) {
        let mut checkpoints = self.checkpoints.write().unwrap_or_else(PoisonError::into_inner);
        for new in moved {
            match checkpoints.iter_mut().find(|old| old.model == new.model) {
                Some(old) => *old = *new,
                None => checkpoints.push(*new),
            }
        }
    }
}
