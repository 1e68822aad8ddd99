//! Presence of a single node: after its end nobody is online, since nobody is connected.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_schemas::ids::SubjectRef;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::local::Local;
use super::{Change, Connection, ConnectionId, Error, Presence, Sockets};

/// Presence in the memory of the only node, which has a name for as long as it runs.
pub struct Memory(Local, Uuid);

impl Default for Memory {
    fn default() -> Self {
        Self(Local::default(), Uuid::new_v4())
    }
}

#[async_trait]
impl Presence for Memory {
    fn announce(&self, connection: Connection) {
        self.0.announce(connection);
    }

    fn gone(&self, connection: ConnectionId) {
        self.0.gone(connection);
    }

    fn is_cut_off(&self) -> bool {
        false
    }

    async fn shared_time(&self, own: DateTime<Utc>) -> DateTime<Utc> {
        own
    }

    async fn connections(&self, subjects: &[SubjectRef]) -> Result<Vec<Vec<Connection>>, Error> {
        Ok(self.0.connections(subjects))
    }

    fn of_this_node(&self, subjects: &[SubjectRef]) -> Vec<SubjectRef> {
        self.0.has(subjects)
    }

    async fn nodes(&self) -> Result<(Uuid, Vec<Uuid>), Error> {
        Ok((self.1, vec![]))
    }

    fn tell(&self, change: Change) {
        self.0.note(change);
    }

    async fn changes(&self) -> Result<Vec<Change>, Error> {
        Ok(self.0.take_changes().into_iter().collect())
    }

    async fn keep(&self, _: Arc<dyn Sockets>, stop: CancellationToken) {
        stop.cancelled().await;
    }
}
