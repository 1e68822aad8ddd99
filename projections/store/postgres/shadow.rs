//! Building a read model anew beside the live one, and taking its place in one transaction.

use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use deadpool_postgres::{ClientWrapper, Pool};
use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use super::before::{clear, shift};
use super::connection::{open, open_with};
use super::deadline::{QUERY_MAX, TABLES_MAX, within};
use super::schema::{BEFORE, LIVE, NEXT};
use super::store::Postgres;
use crate::Projection;
use crate::store::{Backend, Error, ReadStore};

/// A lock that the connection of whoever builds has.
pub(super) const BUILDS: i64 = 1_380_731_990;
/// How often it is asked whether it is free.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// How long a lock is waited for while queries wait behind it.
const FLIP_LOCK_MAX: Duration = Duration::from_millis(40);
/// For a transaction whose commit need not wait for the disk: [`Shadow::keep_flips`] does, for all of them.
const not_flushed: &str = "set local synchronous_commit = off";
/// How long a lock is waited for where nobody waits behind it.
pub(super) const LOCK_MAX: Duration = Duration::from_secs(2);

/// The lock to build read models beside the live ones: one process has it, until it drops it or ends.
pub struct BuildLock {
    pool: Pool,
    /// Has the lock for as long as it is open.
    pub(super) client: ClientWrapper,
}

impl BuildLock {
    /// Waits until nobody else builds.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn wait(pool: Pool) -> Result<Self, Error> {
        // What is noted on it is a hint for those who look; [`Shadow::keep_flips`] has it on the disk at the end.
        let client = open_with(&pool, "set synchronous_commit = off").await?;
        let ask = format!("select pg_try_advisory_lock({BUILDS})");
        let mut waits = false;
        // Without a limit: the other process may have millions of events to apply.
        loop {
            let asked = within(QUERY_MAX, client.query_typed_one(&ask, &[])).await??;
            if asked.try_get(0)? {
                return Ok(Self { pool, client });
            }
            if !waits {
                tracing::info!("another process builds read models anew; waiting until it is done");
                waits = true;
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    }
}

/// Read models that are being built beside the live ones. It survives the process that builds it: who opens it again
/// goes on where that one stopped.
pub struct Shadow {
    pub(super) pool: Pool,
    pub(super) store: Arc<ReadStore>,
    pub(super) build_lock: BuildLock,
    /// Connections that changed tables and may do so again: a new one has to read the catalog first, for longer than the
    /// change itself takes.
    idle: Mutex<Vec<ClientWrapper>>,
}

impl Shadow {
    /// A connection to change tables on, taken: it is put back only after it was used without an error.
    pub(super) async fn take(&self) -> Result<ClientWrapper, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        match idle.filter(|client| !client.is_closed()) {
            Some(client) => Ok(client),
            None => open(&self.pool).await,
        }
    }

    pub(super) fn put_back(&self, client: ClientWrapper) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
    }

    /// Opens the place beside the live read models for these ones.
    ///
    /// # Errors
    /// The database is unavailable, or the role may not make tables.
    pub async fn open(build_lock: BuildLock, models: &[&'static dyn Projection]) -> Result<Self, Error> {
        let pool = build_lock.pool.clone();
        let (store, checkpoints) = Postgres::open(pool.clone(), NEXT, models).await?;
        let outdated: Vec<_> =
            models.iter().filter(|model| !checkpoints.iter().any(|found| found.model == model.name())).collect();
        let backend = Backend::Postgres(Box::new(store));
        let store = ReadStore { backend, checkpoints: RwLock::new(checkpoints), timed: None };
        for model in outdated {
            store.create_model(*model).await?;
        }
        Ok(Self { pool, store: Arc::new(store), build_lock, idle: Mutex::default() })
    }

    /// The store beside, to be filled from the log.
    #[must_use]
    pub fn store(&self) -> &Arc<ReadStore> {
        &self.store
    }

    /// Takes the place of a live read model. `fill` brings the shadow exactly to the position at which the live one is
    /// held meanwhile: little, where it is close already. What was live is kept aside. While that happens, a query
    /// waits for a moment; none fails and none sees half of each. A live one of another version stands still and need not
    /// be as far. Answers how long the live one was held, or nothing where the shadow is ahead or others use the tables:
    /// later.
    ///
    /// # Errors
    /// The database is unavailable, or what `fill` returns. Nothing was changed, unless it was the commit that had no answer:
    /// then the read model may have been replaced, whole.
    pub async fn flip<E: From<Error>>(
        &self,
        model: &dyn Projection,
        fill: impl AsyncFnOnce(u64) -> Result<(), E>,
    ) -> Result<Option<Duration>, E> {
        within(TABLES_MAX, self.flip_now(model, fill)).await.map_err(Error::from)?
    }

    async fn flip_now<E: From<Error>>(
        &self,
        model: &dyn Projection,
        fill: impl AsyncFnOnce(u64) -> Result<(), E>,
    ) -> Result<Option<Duration>, E> {
        let mut client = self.take().await?;
        // Not while the live one is held: files of many rows are slow to remove.
        let transaction = client.transaction().await.map_err(Error::from)?;
        transaction.batch_execute(not_flushed).await.map_err(Error::from)?;
        limit(&transaction, LOCK_MAX).await?;
        if unless_used(clear(&transaction, model.name()).await)?.is_none() {
            return Ok(None);
        }
        transaction.commit().await.map_err(Error::from)?;
        let transaction = client.transaction().await.map_err(Error::from)?;
        // The live one is not held for as long as a disk takes that has just been given many rows.
        transaction.batch_execute(not_flushed).await.map_err(Error::from)?;
        let began = Instant::now();
        let Some(found) = unless_used(lock(&transaction, LIVE, model, FLIP_LOCK_MAX).await)? else { return Ok(None) };
        let (live, version) = found.unwrap_or_default();
        let before = self.store.checkpoint(model.name())?;
        let stands_still = version != i64::from(model.version());
        if live < before && !stands_still {
            return Ok(None);
        }
        if live > before {
            fill(live).await?;
        }
        match lock(&transaction, NEXT, model, LOCK_MAX).await? {
            Some((next, _)) if next == live || stands_still && next > live => {}
            _ => return Ok(None),
        }
        limit(&transaction, FLIP_LOCK_MAX).await?;
        if unless_used(take_place(&transaction, model.name()).await)?.is_none() {
            return Ok(None);
        }
        transaction.commit().await.map_err(Error::from)?;
        let held = began.elapsed();
        self.put_back(client);
        Ok(Some(held))
    }

    /// Has every flip on the disk when it returns; until then, a crash may take one back, whole.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn keep_flips(&self) -> Result<(), Error> {
        // A commit that is flushed takes all before it along.
        within(TABLES_MAX, async {
            let mut client = open(&self.pool).await?;
            let transaction = client.transaction().await?;
            transaction.batch_execute("set local synchronous_commit = on").await?;
            transaction.query_typed("select pg_logical_emit_message(true, 'rollcall', 'flipped')", &[]).await?;
            Ok(transaction.commit().await?)
        })
        .await?
    }
}

async fn take_place(transaction: &Transaction<'_>, model: &str) -> Result<(), Error> {
    shift(transaction, model, LIVE, BEFORE).await?;
    shift(transaction, model, NEXT, LIVE).await
}

/// Nothing where it was in use for too long.
fn unless_used<T>(done: Result<T, Error>) -> Result<Option<T>, Error> {
    match done {
        Err(Error::InUse) => Ok(None),
        done => done.map(Some),
    }
}

async fn limit(transaction: &Transaction<'_>, lock_max: Duration) -> Result<(), Error> {
    Ok(transaction.batch_execute(&format!("set local lock_timeout = {}", lock_max.as_millis())).await?)
}

/// How far a read model of a schema is, and its version; nobody moves it on until the transaction ends.
pub(super) async fn lock(
    transaction: &Transaction<'_>,
    schema: &str,
    model: &dyn Projection,
    lock_max: Duration,
) -> Result<Option<(u64, i64)>, Error> {
    limit(transaction, lock_max).await?;
    let sql = format!("SELECT position, version FROM {schema}.store_checkpoint WHERE model = $1 FOR UPDATE");
    let found = transaction.query_typed_opt(&sql, &[(&model.name(), Type::TEXT)]).await?;
    found.map(|row| Ok((row.try_get::<_, i64>(0)?.unsigned_abs(), row.try_get(1)?))).transpose()
}
