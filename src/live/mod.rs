//! Who is connected: connections, presence, subscriptions. Nothing of it is a fact, so none of it is in the log.
//!
//! A face holds the sockets. It takes a place in the [`registry`] for each, lets its client in with [`Live::enter`], sends it
//! what it is told from then on, and closes it when [`registry::Connection::to_be_closed`] says so. The
//! [`follower`] pushes what the log says and cuts whoever may not stay.

use std::ops::Deref;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_schemas::ids::{AppId, SubjectRef};

use crate::domain::IssuedToken;
use crate::engine::Engine;
use crate::engine::connection_notices::{ConnectionNotice, ConnectionStatus};

pub mod change;
pub mod check;
pub mod close;
pub mod follower;
pub mod gap;
mod hidden;
pub mod key_uses;
pub mod last_seen;
mod newest;
pub mod online;
pub mod presence;
pub mod pushes;
mod reach;
pub mod registry;
pub mod store;
pub mod subscriptions;

use close::Close;
use key_uses::KeyUses;
use last_seen::LastSeen;
use presence::Presence;
use pushes::Pushes;
pub use reach::prepare as prepare_database;
use registry::{Connection, Entered, Newcomer, Push, Registry};
use store::Store;
use subscriptions::Subscriptions;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Who is connected to this node, and what is told of it.
pub struct Live {
    engine: Arc<Engine>,
    /// The connections.
    pub registry: Arc<Registry>,
    presence: Arc<dyn Presence>,
    last_seen: Arc<LastSeen>,
    /// Who follows whom.
    pub subscriptions: Subscriptions,
    pushes: Pushes,
    /// When API keys were last used.
    pub key_uses: KeyUses,
}

/// A client that was let in; it is gone when this is dropped.
pub struct Online {
    engine: Arc<Engine>,
    entered: Entered,
    presence: Arc<dyn Presence>,
    last_seen: Arc<LastSeen>,
}

impl Online {
    fn notify(&self, status: ConnectionStatus, at: DateTime<Utc>) {
        let connection = &self.entered.connection;
        self.engine.connection_notices().publish(ConnectionNotice {
            app: connection.app.id.clone(),
            subject: connection.subject(),
            platform: connection.platform,
            connection: connection.id.0,
            status,
            at,
        });
    }
}

impl Deref for Online {
    type Target = Entered;
    fn deref(&self) -> &Entered {
        &self.entered
    }
}

impl Drop for Online {
    fn drop(&mut self) {
        let connection = &self.entered.connection;
        self.presence.gone(connection.id);
        self.last_seen.note(&connection.app, connection.subject());
        let status = match connection.closes_with() {
            Some(Close::DEACTIVATED) => ConnectionStatus::LoggedOut,
            _ => ConnectionStatus::Disconnected,
        };
        // The clock that all nodes share may be ahead: whoever sorts by time still finds the end behind the beginning.
        self.notify(status, self.engine.now().max(connection.since + TimeDelta::milliseconds(1)));
    }
}

impl Live {
    /// Over the connections of this node.
    #[must_use]
    pub fn new(
        engine: Arc<Engine>,
        registry: Arc<Registry>,
        presence: Arc<dyn Presence>,
        store: Arc<dyn Store>,
    ) -> Self {
        Close::ALL.iter().for_each(|close| engine.metrics().counts_closes_with(close.code));
        let last_seen = Arc::new(LastSeen::new(engine.clone(), store.clone()));
        let subscriptions = Subscriptions::new(engine.clone(), store.clone(), presence.clone());
        let key_uses = KeyUses::new(store.clone());
        let pushes = Pushes::new(engine.clone(), registry.clone(), presence.clone(), store);
        Self { engine, registry, presence, last_seen, subscriptions, pushes, key_uses }
    }

    /// Lets a client in and says that it is online; answers what it is told, too.
    ///
    /// # Errors
    /// It may not be let in, and how it is to be closed.
    pub async fn enter(&self, newcomer: Newcomer) -> Result<(Online, mpsc::Receiver<Push>), Close> {
        // Nodes with clocks of their own agree which of two devices is the newer one.
        let since = self.presence.shared_time(newcomer.since).await;
        if self.presence.is_cut_off() {
            return Err(Close::NODE_CUT_OFF);
        }
        let (entered, pushes) = self.registry.enter(Newcomer { since, ..newcomer })?;
        let connection = &entered.connection;
        let (id, subject, platform) = (connection.id, connection.subject(), connection.platform);
        self.presence.announce(presence::Connection { id, subject, platform, since: connection.since });
        self.last_seen.note(&connection.app, subject);
        let (engine, since) = (self.engine.clone(), connection.since);
        let online = Online { engine, entered, presence: self.presence.clone(), last_seen: self.last_seen.clone() };
        online.notify(ConnectionStatus::Connected, since);
        Ok((online, pushes))
    }

    /// This node, and the others that tell each other who is online.
    ///
    /// # Errors
    /// The database in which they do so cannot be used.
    pub async fn nodes(&self) -> Result<(uuid::Uuid, Vec<uuid::Uuid>), presence::Error> {
        self.presence.nodes().await
    }

    /// Keeps this node's place among those whose users are online, until `stop`.
    pub async fn keep_presence(self: Arc<Self>, stop: CancellationToken) {
        self.presence.keep(self.registry.clone(), stop).await;
    }

    /// Writes when users were last seen and API keys last used, until `stop`.
    pub async fn keep_last_seen(self: Arc<Self>, stop: CancellationToken) {
        tokio::join!(self.last_seen.run(stop.clone()), self.key_uses.run(stop));
    }

    /// Tells followers what changes, until `stop`.
    pub async fn push_changes(self: Arc<Self>, stop: CancellationToken) {
        self.pushes.run(stop).await;
    }

    /// Closes every connection of a subject.
    fn cut(&self, subject: SubjectRef, close: Close) {
        self.registry.of(subject).iter().for_each(|connection| connection.close(close));
    }

    /// Tokens were made invalid: ends those of the connections that were made with one of them, where their app asks for it.
    fn invalidated(&self, connections: Vec<Arc<Connection>>, is_invalid: impl Fn(&IssuedToken) -> bool) {
        for connection in connections {
            let cuts = self.engine.app(connection.app.id.as_str()).is_some_and(|app| app.client.invalidation_cuts);
            if cuts && is_invalid(&connection.token) {
                connection.close(Close::TOKEN_NOT_VALID);
            }
        }
    }

    /// As [`Live::invalidated`], for all tokens of an app that were issued before a time.
    fn invalidated_of_app(&self, app: &AppId, before: DateTime<Utc>) {
        let mut connections = self.registry.all();
        connections.retain(|connection| connection.app.id == *app);
        self.invalidated(connections, |token| token.issued_at < before);
    }
}
