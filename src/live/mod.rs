//! Who is connected: connections, presence, subscriptions. Nothing of it is a fact, so none of it is in the log.
//!
//! A face holds the sockets. It takes a place in the [`registry`] for each, lets its client in with [`Live::enter`], sends it
//! what comes out of [`registry::Entered::pushes`] and closes it when [`registry::Connection::to_be_closed`] says so. The
//! [`follower`] pushes what the log says and cuts whoever may not stay.

use std::ops::Deref;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::SubjectRef;

use crate::engine::Engine;

pub mod change;
pub mod check;
pub mod close;
pub mod follower;
pub mod gap;
pub mod last_seen;
pub mod presence;
pub mod pushes;
mod reach;
pub mod registry;
pub mod store;
pub mod subscriptions;

use close::Close;
use presence::Presence;
pub use reach::prepare as prepare_database;
use registry::{Entered, Newcomer, Registry};

/// Who is connected to this node.
pub struct Live {
    engine: Arc<Engine>,
    /// The connections.
    pub registry: Arc<Registry>,
    /// Who is online; `None`: nobody keeps it.
    presence: Option<Arc<dyn Presence>>,
}

/// A client that was let in; it is gone when this is dropped.
pub struct Online {
    entered: Entered,
    presence: Option<Arc<dyn Presence>>,
}

impl Deref for Online {
    type Target = Entered;
    fn deref(&self) -> &Entered {
        &self.entered
    }
}

impl std::ops::DerefMut for Online {
    fn deref_mut(&mut self) -> &mut Entered {
        &mut self.entered
    }
}

impl Drop for Online {
    fn drop(&mut self) {
        if let Some(presence) = &self.presence {
            presence.gone(self.entered.connection.id);
        }
    }
}

impl Live {
    /// Over the connections of this node.
    #[must_use]
    pub fn new(engine: Arc<Engine>, registry: Arc<Registry>, presence: Option<Arc<dyn Presence>>) -> Self {
        Self { engine, registry, presence }
    }

    /// Over a node of its own, whose users nobody asks about.
    #[must_use]
    pub fn without_presence(engine: Arc<Engine>) -> Self {
        Self::new(engine, Arc::default(), None)
    }

    /// Lets a client in and says that it is online.
    ///
    /// # Errors
    /// It may not be let in, and how it is to be closed.
    pub fn enter(&self, newcomer: Newcomer) -> Result<Online, Close> {
        if self.presence.as_ref().is_some_and(|presence| presence.is_cut_off()) {
            return Err(Close::NODE_CUT_OFF);
        }
        let entered = self.registry.enter(newcomer)?;
        if let Some(presence) = &self.presence {
            let connection = &entered.connection;
            let (id, subject, platform) = (connection.id, connection.subject(), connection.platform);
            presence.announce(presence::Connection { id, subject, platform, since: connection.since });
        }
        Ok(Online { entered, presence: self.presence.clone() })
    }

    /// Closes every connection of a subject.
    fn cut(&self, subject: SubjectRef, close: Close) {
        self.registry.of(subject).iter().for_each(|connection| connection.close(close));
    }

    /// Tokens of a subject that were issued before a time are invalid: ends the connections made with them, where the app
    /// asks for it.
    fn invalidated(&self, subject: SubjectRef, before: DateTime<Utc>) {
        for connection in self.registry.of(subject) {
            let cuts = self.engine.app(connection.app.id.as_str()).is_some_and(|app| app.client.invalidation_cuts);
            if cuts && connection.token.issued_at < before {
                connection.close(Close::TOKEN_NOT_VALID);
            }
        }
    }
}
