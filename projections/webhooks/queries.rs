//! What can be asked about webhooks.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, WebhookId};
use rollcall_schemas::webhook::{Cause, Endpoint};

use crate::store::{Error, ReadStore, Row};
use crate::{paging, queries};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT webhook, app, registered_position, registered_at, endpoint, key, previous_until, is_enabled, cause,
                failing_since FROM webhooks_v1 ",
            $rest
        )
    };
}

queries! {
    by_webhook: coalesced = select!("WHERE webhook = $1 AND app = $2");
    of_app = select!("WHERE app = $1 AND registered_position > $2 ORDER BY registered_position LIMIT $3");
    all_enabled = select!("WHERE webhook > $1 AND is_enabled = 1 ORDER BY webhook LIMIT $2");
}

/// One webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Which.
    pub webhook: WebhookId,
    /// Of which app.
    pub app: AppId,
    /// It is told of events after this position.
    pub registered_position: u64,
    /// When it was registered.
    pub registered_at: DateTime<Utc>,
    /// What it is told, and where.
    pub endpoint: Endpoint,
    /// Number of the key that signs.
    pub key: u32,
    /// Until when the key before signs as well.
    pub previous_until: Option<DateTime<Utc>>,
    /// Whether anything is sent.
    pub enabled: bool,
    /// Why not.
    pub cause: Option<Cause>,
    /// Since when its receiver acknowledges nothing.
    pub failing_since: Option<DateTime<Utc>>,
}

impl Webhook {
    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        Ok(Self {
            webhook: WebhookId(row.id(0)?),
            app: row.parsed(1)?,
            registered_position: row.number(2)?,
            registered_at: row.instant(3)?,
            endpoint: row.json(4)?,
            key: row.number(5)?,
            previous_until: row.optional_instant(6)?,
            enabled: row.flag(7)?,
            cause: row.optional_word(8)?,
            failing_since: row.optional_instant(9)?,
        })
    }
}

/// One webhook of an app.
///
/// # Errors
/// The store is unavailable.
pub async fn by_id(store: &ReadStore, app: &AppId, webhook: WebhookId) -> Result<Option<Webhook>, Error> {
    store.row(by_webhook, &[webhook.into(), app.into()], Webhook::read).await
}

/// The webhooks of an app, the first first; `after`: the position of the last one of the page before.
///
/// # Errors
/// The store is unavailable.
pub async fn page(store: &ReadStore, app: &AppId, after: u64, limit: u32) -> Result<Vec<Webhook>, Error> {
    store.rows(of_app, &[app.into(), after.into(), paging::limit(limit)], Webhook::read).await
}

/// The webhooks of all apps that are sent something, in the order of their ids; `after`: the last one of the page before.
///
/// # Errors
/// The store is unavailable.
pub async fn enabled_after(store: &ReadStore, after: WebhookId, limit: u32) -> Result<Vec<Webhook>, Error> {
    store.rows(all_enabled, &[after.into(), paging::limit(limit)], Webhook::read).await
}
