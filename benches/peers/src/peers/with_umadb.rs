//! `UmaDB`: an event is appended unless one with the user's tag is there.

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};
use umadb_client::{AsyncUmaDbClient, UmaDbClient};
use umadb_dcb::{DcbAppendCondition, DcbEvent, DcbEventStoreAsync as _, DcbQuery, DcbQueryItem};
use uuid::Uuid;

use crate::measure::Peer;
use crate::umadb::Server;
use crate::user::Profile;

struct UmaDb {
    connections: Vec<AsyncUmaDbClient>,
    turn: AtomicUsize,
}

/// Begins with an empty server.
pub(crate) async fn open(server: &Server, connections: u32) -> Result<impl Peer> {
    let mut open = Vec::new();
    for _ in 0..connections {
        open.push(UmaDbClient::new(server.address()).connect_async().await?);
    }
    Ok(UmaDb { connections: open, turn: AtomicUsize::new(0) })
}

impl Peer for UmaDb {
    async fn register(&self, user: Uuid, profile: Profile) -> Result<u64> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let client = self.connections.get(turn % self.connections.len().max(1)).context("no connection")?;
        let tag = format!("user:{user}");
        let is_new = DcbQuery::new().item(DcbQueryItem::new().tags([tag.clone()]));
        let event = DcbEvent::default().event_type("UserRegistered").tags([tag]).data(serde_json::to_vec(&profile)?);
        client.append(vec![event], Some(DcbAppendCondition::new(is_new)), None).await?;
        Ok(0)
    }
}
