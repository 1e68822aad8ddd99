//! Building a read model anew beside the live one, and taking its place in one transaction.

use std::sync::{Arc, RwLock};

use deadpool_postgres::Pool;
use tokio_postgres::Transaction;

use super::before::shift;
use super::lifecycle::{create, drop_all};
use super::{BEFORE, LIVE, NEXT, Postgres};
use crate::Projection;
use crate::store::{Backend, Error, ReadStore};

/// Read models that are being built beside the live ones. It survives the process that builds it: who opens it again
/// goes on where that one stopped.
pub struct Shadow {
    pub(super) pool: Pool,
    pub(super) store: Arc<ReadStore>,
}

impl Shadow {
    /// Opens the place beside the live read models for these ones.
    ///
    /// # Errors
    /// The database is unavailable, or the role may not make tables.
    pub async fn open(pool: Pool, models: &[&'static dyn Projection]) -> Result<Self, Error> {
        let (store, checkpoints) = Postgres::open(pool.clone(), NEXT, models).await?;
        let outdated: Vec<_> =
            models.iter().filter(|model| !checkpoints.iter().any(|found| found.model == model.name())).collect();
        let store = ReadStore { backend: Backend::Postgres(Box::new(store)), checkpoints: RwLock::new(checkpoints) };
        for model in outdated {
            store.create_model(*model).await?;
        }
        Ok(Self { pool, store: Arc::new(store) })
    }

    /// The store beside, to be filled from the log.
    #[must_use]
    pub fn store(&self) -> &Arc<ReadStore> {
        &self.store
    }

    /// Takes the place of a live read model. `fill` brings the shadow exactly to the position at which the live one is
    /// held meanwhile: little, where it is close already. What was live is kept aside. While that happens, a query
    /// waits for a moment; none fails and none sees half of each. A live one of another version stands still and need not
    /// be as far. Answers `false` where the shadow is ahead: later.
    ///
    /// # Errors
    /// The database is unavailable, or what `fill` returns; nothing was changed.
    pub async fn flip<E: From<Error>>(
        &self,
        model: &dyn Projection,
        fill: impl AsyncFnOnce(u64) -> Result<(), E>,
    ) -> Result<bool, E> {
        let mut client = self.pool.get().await.map_err(Error::from)?;
        let transaction = client.transaction().await.map_err(Error::from)?;
        let (live, version) = lock(&transaction, LIVE, model).await?.unwrap_or_default();
        let before = self.store.checkpoint(model.name())?;
        let stands_still = version != i64::from(model.version());
        if live < before && !stands_still {
            return Ok(false);
        }
        if live > before {
            fill(live).await?;
        }
        match lock(&transaction, NEXT, model).await? {
            Some((next, _)) if next == live || stands_still && next > live => {}
            _ => return Ok(false),
        }
        shift(&transaction, model.name(), LIVE, BEFORE).await?;
        shift(&transaction, model.name(), NEXT, LIVE).await?;
        transaction.commit().await.map_err(Error::from)?;
        Ok(true)
    }

    /// Gives up what was built of a read model.
    ///
    /// # Errors
    /// The database is unavailable.
    pub async fn discard(&self, model: &dyn Projection) -> Result<(), Error> {
        let mut client = self.pool.get().await?;
        let transaction = client.transaction().await?;
        transaction.batch_execute(&format!("set local search_path = {NEXT}")).await?;
        drop_all(&transaction, model.name()).await?;
        create(&transaction, model).await?;
        Ok(transaction.commit().await?)
    }
}

/// How far a read model of a schema is, and its version; nobody moves it on until the transaction ends.
pub(super) async fn lock(
    transaction: &Transaction<'_>,
    schema: &str,
    model: &dyn Projection,
) -> Result<Option<(u64, i64)>, Error> {
    transaction.batch_execute("set local lock_timeout = '2s'").await?;
    let sql = format!("SELECT position, version FROM {schema}.store_checkpoint WHERE model = $1 FOR UPDATE");
    let found = transaction.query_opt(&sql, &[&model.name()]).await?;
    found.map(|row| Ok((row.try_get::<_, i64>(0)?.unsigned_abs(), row.try_get(1)?))).transpose()
}
