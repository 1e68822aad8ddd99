//! The parts of the deliveries to webhooks: where their cursors are, and who records that recipients were told of erasures.

use std::sync::Arc;

use async_trait::async_trait;
use rollcall_schemas::ids::{AppId, ErasureId};

use super::{DataDir, Error};
use crate::audit::erasure::{self, notice};
use crate::audit::tree::Keeper;
use crate::delivery::webhooks::ErasureNotices;
use crate::delivery::webhooks::store::Store;
use crate::delivery::webhooks::store::postgres::Postgres;
use crate::delivery::webhooks::store::sqlite::Sqlite;
use crate::engine::{self, Engine};

/// Records acknowledgements in the log, one after the other.
pub struct Notices {
    engine: Arc<Engine>,
    keeper: Arc<Keeper>,
    // Reports about the same erasure replace one another: made at the same time, all but one would be made again.
    one_at_a_time: tokio::sync::Mutex<()>,
}

impl Notices {
    /// Over the log of an engine, and the tree over it.
    #[must_use]
    pub fn new(engine: Arc<Engine>, keeper: Arc<Keeper>) -> Self {
        Self { engine, keeper, one_at_a_time: tokio::sync::Mutex::default() }
    }
}

#[async_trait]
impl ErasureNotices for Notices {
    async fn acknowledged(&self, app: &AppId, erasure: ErasureId, recipient: &str) -> Result<(), engine::Error> {
        let _one_at_a_time = self.one_at_a_time.lock().await;
        let recorded = notice::acknowledged(&self.engine, &self.keeper, app, erasure, recipient).await;
        recorded.map_err(|error| match error {
            erasure::Error::Engine(error) => error,
            error @ (erasure::Error::Unverified { .. } | erasure::Error::Stuck { .. }) => {
                engine::Error::Unavailable(error.to_string())
            }
        })
    }

    fn is_ready(&self) -> bool {
        self.keeper.is_proven()
    }
}

impl DataDir {
    /// Opens the cursors of the webhooks: in the database of the read models, or in a file.
    ///
    /// # Errors
    /// They cannot be opened.
    pub async fn deliveries(&self) -> Result<Arc<dyn Store>, Error> {
        let opened: Result<Arc<dyn Store>, _> = match &self.database {
            Some(database) => Postgres::open(database).await.map(|store| Arc::new(store) as _),
            None => Sqlite::open(&self.path.join("deliveries.db")).map(|store| Arc::new(store) as _),
        };
        Ok(opened?)
    }
}
