//! Where it is kept who is connected and who follows whom.

use std::sync::Arc;

use super::{DataDir, Error, Place};
use crate::background::Background;
use crate::engine::Engine;
use crate::live::Live;
use crate::live::presence::{self, Presence, Timing};
use crate::live::registry::Registry;
use crate::live::store::{self, Store};

/// Subscriptions are where the read models are.
pub(super) fn store(place: &Place, background: Option<&Background>) -> Result<Arc<dyn Store>, Error> {
    Ok(match (place.log.database(), background) {
        (Some(database), Some(background)) => Arc::new(background.block_on(store::Postgres::open(database))?),
        _ => Arc::new(store::Sqlite::open(&place.dir.join("live.db"))?),
    })
}

impl DataDir {
    /// Who is connected to this node. Where there may be others, they are told by way of the database. Blocks.
    ///
    /// # Errors
    /// The database is unavailable.
    pub fn live(&self, engine: Arc<Engine>, registry: Registry, timing: Timing) -> Result<Arc<Live>, Error> {
        let presence: Arc<dyn Presence> = match (&self.database, &self.background) {
            (Some(database), Some(background)) if self.vault.is_shared() => {
                Arc::new(background.block_on(presence::Postgres::open(database, timing))?)
            }
            _ => Arc::new(presence::Memory::default()),
        };
        Ok(Arc::new(Live::new(engine, Arc::new(registry), presence, self.store.clone())))
    }
}
