//! Who projects: one node at a time, and another one soon after it fell silent.
//!
//! The lease keeps nodes from working in vain; that nothing is applied twice does not hang on it: every batch moves
//! the checkpoints from where it believes them to be, or is not applied at all.

use std::time::Duration;

use deadpool_postgres::Object;
use uuid::Uuid;

use super::{LIVE, Postgres};
use crate::store::Error;

/// How long a lease lasts when it is not renewed.
const LASTS: Duration = Duration::from_secs(3);

/// A lock that the holder's connection has: where it is free, the holder is gone, and nobody need wait for the end of its
/// lease.
const SIGN_OF_LIFE: i64 = 1_380_731_989;

/// A node, for as long as it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseHolder(pub Uuid);

/// The lease of a store.
pub struct Lease<'s>(&'s Postgres);

impl Postgres {
    pub(in crate::store) fn lease(&self) -> Lease<'_> {
        Lease(self)
    }
}

impl Lease<'_> {
    /// How often a holder renews it, and how often others ask for it: it is taken over within five seconds.
    pub const RENEW: Duration = Duration::from_secs(1);

    /// Takes or renews the lease; answers whether the node holds it. The clock is the database's.
    ///
    /// # Errors
    /// The store is unavailable: whoever held it does not know that it still does.
    pub async fn take(&self, holder: LeaseHolder) -> Result<bool, Error> {
        let sql = format!(
            "INSERT INTO {LIVE}.store_lease AS l (name, holder, until) VALUES ('projector', $1, now() + $2 * interval '1 s')
             ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
             WHERE l.holder = excluded.holder OR l.until < now() OR pg_try_advisory_xact_lock({SIGN_OF_LIFE}) RETURNING 1"
        );
        let client = self.0.pool.get().await?;
        let statement = client.prepare_cached(&sql).await?;
        let taken = client.query_opt(&statement, &[&holder.0, &LASTS.as_secs_f64()]).await?.is_some();
        drop(client);
        if taken {
            self.show_life().await?;
        }
        Ok(taken)
    }

    /// Keeps a lock for as long as this node's connection lives.
    async fn show_life(&self) -> Result<(), Error> {
        let mut life = self.0.life.lock().await;
        if life.as_ref().is_none_or(|client| client.is_closed()) {
            let client = Object::take(self.0.pool.get().await?);
            client.batch_execute(&format!("select pg_try_advisory_lock({SIGN_OF_LIFE})")).await?;
            *life = Some(client);
        }
        Ok(())
    }

    /// Lets the lease go, so that another node need not wait for its end.
    ///
    /// # Errors
    /// The store is unavailable; the lease ends by itself.
    pub async fn release(&self, holder: LeaseHolder) -> Result<(), Error> {
        let client = self.0.pool.get().await?;
        let sql = format!("DELETE FROM {LIVE}.store_lease WHERE name = 'projector' AND holder = $1");
        client.execute(&sql, &[&holder.0]).await?;
        *self.0.life.lock().await = None;
        Ok(())
    }
}
