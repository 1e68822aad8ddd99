//! The store, as a node has it open.

use std::sync::{Arc, Mutex, PoisonError};

use deadpool_postgres::Pool;

use super::claims::{Claiming, Claims};
use super::connection::Writer;
use super::lanes::Lanes;
use super::lease::{Lease, LeaseConnections};
use super::query_coalescer::QueryCoalescer;
use super::readers::{Follower, Readers};
use crate::Projection;
use crate::store::Error;
use crate::store::parking::Skipped;

/// The store.
pub(in crate::store) struct Postgres {
    pub(super) pool: Pool,
    pub(super) schema: &'static str,
    pub(super) models: Vec<&'static dyn Projection>,
    pub(in crate::store) lanes: Lanes,
    pub(super) skipped: Mutex<Arc<Skipped>>,
    pub(super) readers: Readers,
    pub(super) coalescer: QueryCoalescer,
    pub(in crate::store) claiming: Claiming,
    pub(super) lease: LeaseConnections,
    pub(super) follower: Follower,
}

impl Postgres {
    pub(in crate::store) fn claims(&self) -> Claims<'_> {
        Claims { claiming: &self.claiming, pool: &self.pool, schema: self.schema }
    }

    pub(in crate::store) fn lease(&self) -> Lease<'_> {
        Lease { connections: &self.lease, pool: &self.pool }
    }

    pub(super) fn skipped(&self) -> Arc<Skipped> {
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The lane in which a read model is applied.
    pub(super) fn lane_of(&self, model: &str) -> usize {
        self.lanes.of(self.models.iter().position(|known| known.name() == model).unwrap_or_default())
    }

    /// The connection that applies, taken: it is put back only after it was used without an error.
    pub(super) async fn take(&self, slot: &mut Option<Writer>) -> Result<Writer, Error> {
        match slot.take().filter(|writer| !writer.client.is_closed()) {
            Some(writer) => Ok(writer),
            None => Writer::open(&self.pool, self.schema).await,
        }
    }
}
