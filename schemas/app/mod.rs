//! One application: its environment, plan, secrets, settings and declared extension fields.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::declare::events;
use crate::ids::{AppId, FieldName, SecretId};
use crate::plain::{ApiKey, ClientRules, Environment, Plan, RateLimit, Settings};

events! { "app", "What happens to an application.";
    /// The application exists from now on.
    Registered = "registered" 1 {
        /// Its key.
        app: plain => AppId,
        /// Development or production.
        environment: plain => Environment,
        /// Starter or pro.
        plan: plain => Plan,
    }
    /// Another secret is valid; it becomes the current one. The secret itself is in the vault.
    SecretAdded = "secret_added" 1 {
        /// The application.
        app: plain => AppId,
        /// Number of the secret.
        secret: plain => SecretId,
    }
    /// A secret is no longer valid.
    SecretRetired = "secret_retired" 1 {
        /// The application.
        app: plain => AppId,
        /// Number of the secret.
        secret: plain => SecretId,
    }
    /// The settings are these from now on.
    SettingsChanged = "settings_changed" 1 {
        /// The application.
        app: plain => AppId,
        /// All settings.
        settings: plain => Settings,
    }
    /// Which extension fields profiles and friends of this application may carry, all of them.
    ExtensionFieldsDeclared = "extension_fields_declared" 1 {
        /// The application.
        app: plain => AppId,
        /// Of a hosted profile.
        user_fields: plain => BTreeSet<FieldName>,
        /// Of a friend.
        friend_fields: plain => BTreeSet<FieldName>,
    }
    /// Another API key is valid.
    ApiKeyAdded = "api_key_added" 1 {
        /// The application.
        app: plain => AppId,
        /// The key, as a hash.
        key: plain => ApiKey,
    }
    /// An API key is no longer valid.
    ApiKeyRetired = "api_key_retired" 1 {
        /// The application.
        app: plain => AppId,
        /// Its number.
        key: plain => u32,
    }
    /// What its users may do by themselves, and how they are connected.
    ClientRulesSet = "client_rules_set" 1 {
        /// The application.
        app: plain => AppId,
        /// All rules.
        rules: plain => ClientRules,
    }
    /// How old a signed request may be, and for how long its signature is not accepted again.
    SignatureWindowSet = "signature_window_set" 1 {
        /// The application.
        app: plain => AppId,
        /// In seconds, before and after now; 0: a signature is accepted at any age and any number of times.
        seconds: plain => u32,
    }
    /// How often each endpoint may be called for it.
    RateLimitSet = "rate_limit_set" 1 {
        /// The application.
        app: plain => AppId,
        /// How often within a second.
        limit: plain => RateLimit,
    }
    /// Whether users may message only their friends.
    FriendsOnlyMessagesSet = "friends_only_messages_set" 1 {
        /// The application.
        app: plain => AppId,
        /// Whether they may.
        enabled: plain => bool,
    }
    /// Access tokens of all its users that were issued before a time are invalid.
    TokensInvalidatedBefore = "tokens_invalidated_before" 1 {
        /// The application.
        app: plain => AppId,
        /// The time.
        before: plain => DateTime<Utc>,
    }
}
