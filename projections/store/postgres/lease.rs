//! Who projects: one node at a time, and another one soon after it fell silent.
//!
//! The lease keeps nodes from working in vain; that nothing is applied twice does not depend on it: every batch moves
//! the checkpoints from where it believes them to be, or is not applied at all.

use std::time::Duration;

use deadpool_postgres::{ClientWrapper, Pool};
use tokio::sync::Mutex;
use tokio_postgres::Statement;
use uuid::Uuid;

use super::connection::open;
use super::deadline::{QUERY_MAX, within};
use super::schema::LIVE;
use crate::store::Error;

/// A lock that a connection of the holder has. Where it is free, the holder is gone, and nobody need wait for the end of
/// its lease.
const HOLDER_LIVES: i64 = 1_380_731_989;

/// A node, for as long as it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseHolder(pub Uuid);

/// The connections of whoever wants the lease.
#[derive(Default)]
pub(super) struct LeaseConnections {
    /// Asks for the lease.
    asking: Mutex<Option<(ClientWrapper, Statement)>>,
    /// Has the lock, or tries to get it, for as long as this node holds the lease.
    living: Mutex<Option<Living>>,
}

struct Living {
    client: ClientWrapper,
    has_lock: bool,
}

/// The lease of a store.
pub struct Lease<'s> {
    pub(super) connections: &'s LeaseConnections,
    pub(super) pool: &'s Pool,
}

impl Lease<'_> {
    /// How long it lasts when it is not renewed.
    pub const LASTS: Duration = Duration::from_secs(3);
    /// How often a holder renews it, and how often others ask for it: it is taken over within five seconds.
    pub const RENEW: Duration = Duration::from_secs(1);

    /// Takes or renews the lease; answers whether the node holds it. The clock is the database's.
    ///
    /// # Errors
    /// The store is unavailable: whoever held it does not know that it still does.
    pub async fn take(&self, holder: LeaseHolder) -> Result<bool, Error> {
        within(QUERY_MAX, async {
            let taken = self.ask(holder).await?;
            let mut living = self.connections.living.lock().await;
            let mine = living.take().filter(|living| taken && !living.client.is_closed());
            if taken {
                *living = Some(self.show_life(mine).await?);
            }
            Ok(taken)
        })
        .await?
    }

    async fn ask(&self, holder: LeaseHolder) -> Result<bool, Error> {
        let mut slot = self.connections.asking.lock().await;
        let (client, statement) = match slot.take().filter(|(client, _)| !client.is_closed()) {
            Some(kept) => kept,
            None => {
                let client = open(self.pool).await?;
                let sql = format!(
                    "INSERT INTO {LIVE}.store_lease AS l (name, holder, until)
                     VALUES ('projector', $1, now() + $2 * interval '1 s')
                     ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
                     WHERE l.holder = excluded.holder OR l.until < now()
                        OR pg_try_advisory_xact_lock({HOLDER_LIVES}) RETURNING 1"
                );
                let statement = client.prepare(&sql).await?;
                (client, statement)
            }
        };
        let taken = client.query_opt(&statement, &[&holder.0, &Self::LASTS.as_secs_f64()]).await?.is_some();
        *slot = Some((client, statement));
        Ok(taken)
    }

    /// Gets the lock and keeps it. Whoever held the lease before may still have it for a moment.
    async fn show_life(&self, living: Option<Living>) -> Result<Living, Error> {
        let client = match living {
            Some(living) if living.has_lock => return Ok(living),
            Some(living) => living.client,
            None => open(self.pool).await?,
        };
        let asked = client.query_typed_one(&format!("select pg_try_advisory_lock({HOLDER_LIVES})"), &[]).await?;
        Ok(Living { client, has_lock: asked.try_get(0)? })
    }

    /// Lets the lease go, so that another node need not wait for its end.
    ///
    /// # Errors
    /// The store is unavailable; the lease ends by itself.
    pub async fn release(&self, holder: LeaseHolder) -> Result<(), Error> {
        *self.connections.living.lock().await = None;
        let sql = format!("DELETE FROM {LIVE}.store_lease WHERE name = 'projector' AND holder = $1");
        within(QUERY_MAX, async {
            let client = open(self.pool).await?;
            client.execute(&sql, &[&holder.0]).await?;
            Ok(())
        })
        .await?
    }
}
