//! The webhooks of one application: where it is told of events, of which, and whether it is told at all.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::declare::events;
use crate::ids::WebhookId;
use crate::plain::{Plain, Shape};
use crate::words::recorded;

crate::words! {
    /// In which form events are sent.
    #[derive(PartialOrd, Ord)]
    Format {
        /// CloudEvents, signed as Standard Webhooks 1.0 says.
        Standard = "standard",
        /// The callbacks of the platform's first generation.
        V1 = "v1",
        /// The webhook of the platform's fourth generation.
        V4 = "v4",
    }

    /// Why a webhook is disabled.
    Cause {
        /// The app wants it.
        Operator = "operator",
        /// The receiver answered 410.
        Gone = "gone",
        /// Nothing was delivered for too long.
        Failing = "failing",
    }
}

recorded! { Format, Cause }

/// What a webhook is told, and where. Nothing in it may name a person; what an app writes into `description` is shown to
/// its operators only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Where to, without credentials in it.
    pub url: String,
    /// The types of events, as patterns such as `rollcall.user.*`.
    pub types: BTreeSet<String>,
    /// In which form.
    pub format: Format,
    /// What it is for.
    pub description: Option<String>,
}

impl Shape for Endpoint {
    fn shape() -> Value {
        json!({"type": "object", "properties": {
            "url": {"type": "string"},
            "types": {"type": "array", "items": {"type": "string"}, "uniqueItems": true},
            "format": Format::shape(),
            "description": {"type": ["string", "null"]}},
            "required": ["url", "types", "format", "description"], "additionalProperties": false})
    }
}

impl Plain for Endpoint {}

events! { "webhook", "What happens to a webhook.";
    /// There is another webhook, which is told of events from here on. Its first key has the number 1; the keys follow
    /// from a key in the vault.
    Registered = "registered" 1 {
        /// Which.
        webhook: plain => WebhookId,
        /// What it is told, and where.
        endpoint: plain => Endpoint,
    }
    /// What it is told, or where, is this from now on.
    Changed = "changed" 1 {
        /// Which.
        webhook: plain => WebhookId,
        /// What it is told, and where.
        endpoint: plain => Endpoint,
    }
    /// Deliveries are signed with another key, for a while with the one before as well.
    SecretRotated = "secret_rotated" 1 {
        /// Which.
        webhook: plain => WebhookId,
        /// Number of the new key.
        key: plain => u32,
        /// Until when the key before signs as well.
        previous_until: plain => DateTime<Utc>,
    }
    /// Nothing is sent until it is enabled; then delivery goes on where it stopped.
    Disabled = "disabled" 1 {
        /// Which.
        webhook: plain => WebhookId,
        /// Why.
        cause: plain => Cause,
    }
    /// Deliveries go on.
    Enabled = "enabled" 1 {
        /// Which.
        webhook: plain => WebhookId,
    }
    /// The receiver acknowledges nothing; it is tried on and on.
    Failing = "failing" 1 {
        /// Which.
        webhook: plain => WebhookId,
        /// Since when.
        since: plain => DateTime<Utc>,
    }
    /// The receiver acknowledges deliveries again.
    Recovered = "recovered" 1 {
        /// Which.
        webhook: plain => WebhookId,
    }
    /// The webhook is no more.
    Removed = "removed" 1 {
        /// Which.
        webhook: plain => WebhookId,
    }
}
