//! How far each webhook was told, kept so that a crash loses nothing: a cursor for each, and a row for each delivery that is
//! behind it and not acknowledged. A row names a position and a subject and nothing personal; what is sent is made when it is
//! sent.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rollcall_schemas::ids::WebhookId;
use rollcall_schemas::words;
use uuid::Uuid;

pub mod postgres;
pub mod sqlite;

/// Why something could not be stored or read.
#[derive(Debug, thiserror::Error)]
#[error("the deliveries of webhooks are unavailable: {0}")]
pub struct Error(pub(super) String);

words! {
    /// How far a delivery is that has a row.
    State {
        /// It was not acknowledged yet, or waits for one that was not.
        Waiting = "waiting",
        /// It is to be sent once more, because somebody asked for it.
        Replay = "replay",
        /// It was given up.
        Dead = "dead",
    }
}

/// A delivery that has a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Position of its event.
    pub position: u64,
    /// Whom it is about; nil: the app itself.
    pub subject: Uuid,
    /// How far it is.
    pub state: State,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried again; `None`: once it is its turn, or not any more.
    pub next_at: Option<DateTime<Utc>>,
    /// What its receiver answered last.
    pub status: Option<u16>,
    /// Why that is no acknowledgement, in a few words of the service.
    pub reason: String,
}

impl Delivery {
    /// One that waits for its turn.
    pub(super) fn waiting(position: u64, subject: Uuid) -> Self {
        Self {
            position,
            subject,
            state: State::Waiting,
            attempts: 0,
            next_at: None,
            status: None,
            reason: String::new(),
        }
    }
}

/// What changes in one transaction.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// The cursor is moved here, if that is forward.
    pub cursor: u64,
    /// Rows to add or replace; of two with the same position the later one counts.
    pub upserts: Vec<Delivery>,
    /// Positions of rows to delete, after that.
    pub deletes: Vec<u64>,
}

/// Keeps cursors and rows. A change that was acknowledged may be lost when the machine goes down, but only as a whole and
/// with all later ones: then something is sent once more.
#[async_trait]
pub trait Store: Send + Sync {
    /// Up to where a webhook was told; `None`: it was never stored.
    ///
    /// # Errors
    /// The store is unavailable.
    async fn cursor(&self, webhook: WebhookId) -> Result<Option<u64>, Error>;

    /// The rows of a webhook in a state (`None`: in any), behind a position, in order.
    ///
    /// # Errors
    /// The store is unavailable.
    async fn rows(
        &self,
        webhook: WebhookId,
        state: Option<State>,
        after: u64,
        limit: u32,
    ) -> Result<Vec<Delivery>, Error>;

    /// How many rows a webhook has in a state.
    ///
    /// # Errors
    /// The store is unavailable.
    async fn count(&self, webhook: WebhookId, state: State) -> Result<u64, Error>;

    /// Stores what changed, all of it or nothing.
    ///
    /// # Errors
    /// The store is unavailable; whether it was stored is not known.
    async fn save(&self, webhook: WebhookId, progress: &Progress) -> Result<(), Error>;

    /// Deletes everything of a webhook.
    ///
    /// # Errors
    /// The store is unavailable.
    async fn remove(&self, webhook: WebhookId) -> Result<(), Error>;
}
