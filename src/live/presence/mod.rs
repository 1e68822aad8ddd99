//! Who is online: the port, and its adapters.
//!
//! A node leases itself, not each of its users: it renews one row every few seconds and writes a connection once. A user is
//! online while one of its connections belongs to a node whose lease lives. So a node that was killed takes all its users
//! offline when its lease ends, and presence costs one write per node and beat, however many users there are.
//!
//! Whoever holds the sockets of this node calls [`Presence::announce`] once a client is let in and [`Presence::gone`] once its
//! socket has ended, for whatever reason; neither waits. In return it is a [`Sockets`]: it is told when this node must close
//! all of them, and what to push to whom.
//!
//! Every adapter passes the same contract suite (`tests/it/presence_contract.rs`).

use std::fmt;

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_schemas::ids::SubjectRef;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::engine;

mod local;
mod memory;
mod postgres;

pub use crate::engine::client_platform::Platform;
pub use memory::Memory;
pub use postgres::{Postgres, Timing};

/// Names one connection, in all the cluster and for all time: it is random and never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub Uuid);

impl ConnectionId {
    /// A new one.
    #[must_use]
    pub fn fresh() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A client that is connected to this node.
///
/// The name that a client gives its device is not here: it is a text of the person's own, which nobody asks for on another
/// node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connection {
    /// Its name.
    pub id: ConnectionId,
    /// Whose client it is.
    pub subject: SubjectRef,
    /// What it runs on.
    pub platform: Platform,
    /// When it was let in, by the time that all nodes share; millisecond resolution.
    pub since: DateTime<Utc>,
}

impl Connection {
    /// The order in which the connections of a user were made. No two of them are equal, and every node sees the same order.
    #[must_use]
    pub fn order(&self) -> (DateTime<Utc>, ConnectionId) {
        (self.since, self.id)
    }
}

/// A connection of a user, as others see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Device {
    /// What it runs on.
    pub platform: Platform,
    /// Since when it is connected; millisecond resolution.
    pub since: DateTime<Utc>,
}

/// Why it is not known who is online.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database in which the nodes tell each other does not answer. Try again.
    #[error("it is not known who is online, because the database cannot be used: {0}")]
    Unavailable(String),
    /// It holds what no version of this program has written.
    #[error("what the database says about who is online is not understood: {0}")]
    Damaged(String),
}

impl From<Error> for engine::Error {
    fn from(error: Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// What is told of the connections of a user: each once, the earliest first.
fn in_order(mut found: Vec<Connection>) -> Vec<Device> {
    found.sort_unstable_by_key(Connection::order);
    found.dedup_by_key(|connection| connection.id);
    found.into_iter().map(|Connection { platform, since, .. }| Device { platform, since }).collect()
}

/// A user whose connections changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Change {
    /// Who.
    pub subject: SubjectRef,
    /// The one who is to be told, whatever was told before; `None`: whoever has subscribed.
    pub to: Option<SubjectRef>,
}

/// Who is online.
#[async_trait]
pub trait Presence: Send + Sync {
    /// A client is connected to this node. Never waits. To announce a connection again changes nothing.
    fn announce(&self, connection: Connection);

    /// A connection has ended. Never waits. What is not known, or was said before, changes nothing; no other connection of
    /// the same user is ended by it, whenever it arrives.
    fn gone(&self, connection: ConnectionId);

    /// Whether this node is cut off: for too long it could not tell the others that it lives, so that they take its users for
    /// offline. Its sockets were told to close (4004); nobody may be let in until it is not cut off any more.
    fn is_cut_off(&self) -> bool;

    /// The time now, by a clock that all nodes share: later than every time that any node was given before this was called.
    /// `own`: the time of this node, which is taken where there is no other.
    async fn shared_time(&self, own: DateTime<Utc>) -> DateTime<Utc>;

    /// The connections of each subject, on all nodes, in no order; none: it is offline. What this node announced counts at
    /// once, what another one announced as soon as it is written, a fraction of a second later.
    ///
    /// # Errors
    /// The database cannot be used.
    async fn connections(&self, subjects: &[SubjectRef]) -> Result<Vec<Vec<Connection>>, Error>;

    /// As [`Presence::connections`], as others see them: each once, the earliest first.
    ///
    /// # Errors
    /// The database cannot be used.
    async fn devices(&self, subjects: &[SubjectRef]) -> Result<Vec<Vec<Device>>, Error> {
        Ok(self.connections(subjects).await?.into_iter().map(in_order).collect())
    }

    /// Those of the subjects that have a connection to this node. Never waits.
    fn of_this_node(&self, subjects: &[SubjectRef]) -> Vec<SubjectRef>;

    /// This node, and the others whose leases live.
    ///
    /// # Errors
    /// The database cannot be used.
    async fn nodes(&self) -> Result<(Uuid, Vec<Uuid>), Error>;

    /// Lets every node hear of a change in [`Presence::changes`]. Never waits.
    fn tell(&self, change: Change);

    /// What changed on any node since the last call, each subject once; for one caller. A change may be told twice, and one
    /// that happens while the database crashes, together with its node, is not told.
    ///
    /// # Errors
    /// The database cannot be used; what was not told is told by a later call.
    async fn changes(&self) -> Result<Vec<Change>, Error>;

    /// Keeps this node's lease and writes what it announces, until `stop`. Then its lease ends at once. `sockets` is told when
    /// this node is cut off.
    async fn keep(&self, sockets: Arc<dyn Sockets>, stop: CancellationToken);
}

/// Whoever holds the sockets of this node, as presence needs it.
pub trait Sockets: Send + Sync {
    /// This node was cut off: closes every socket with 4004, spread over a few seconds. Never waits.
    fn close_all(&self);

    /// Sends a notification to every socket of a subject on this node, if it has any; one whose queue is full is closed.
    /// Never waits. `method` is its name, such as `presence.changed`, `params` what it says.
    fn push(&self, subject: SubjectRef, method: &'static str, params: &serde_json::Value);
}
