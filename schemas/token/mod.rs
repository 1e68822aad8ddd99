//! The access tokens of one user: that they were issued and ended, never the tokens.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use crate::declare::events;
use crate::ids::{SecretId, SubjectRef, TokenId};
use crate::personal::Personal;
use crate::plain::TokenScope;

events! { "token", "What happens to the access tokens of a user.";
    /// A token was issued.
    Issued = "issued" 1 {
        /// For whom.
        subject: plain => SubjectRef,
        /// Which token.
        token: plain => TokenId,
        /// The app's secret it depends on.
        secret: plain => SecretId,
        /// The user's epoch it depends on.
        epoch: plain => u32,
        /// When it was issued.
        issued_at: plain => DateTime<Utc>,
        /// When it ends by itself; absent: never.
        expires_at: plain => Option<DateTime<Utc>>,
    }
    /// A token that may not do everything was issued.
    IssuedV2 = "issued" 2 {
        /// For whom.
        subject: plain => SubjectRef,
        /// Which token.
        token: plain => TokenId,
        /// The app's secret it depends on.
        secret: plain => SecretId,
        /// The user's epoch it depends on.
        epoch: plain => u32,
        /// When it was issued.
        issued_at: plain => DateTime<Utc>,
        /// When it ends by itself; absent: never.
        expires_at: plain => Option<DateTime<Utc>>,
        /// What it may do; at least one.
        scopes: plain => BTreeSet<TokenScope>,
    }
    /// Tokens issued before a time are invalid.
    InvalidatedBefore = "invalidated_before" 1 {
        /// Whose.
        subject: plain => SubjectRef,
        /// The time.
        before: plain => DateTime<Utc>,
    }
    /// A token was given a label when it was issued, such as the device it is for.
    Labelled = "labelled" 1 {
        /// Whose.
        subject: plain => SubjectRef,
        /// Which token.
        token: plain => TokenId,
        /// The label.
        label: profile of subject => Personal<String>,
    }
    /// One token is not valid any more.
    Revoked = "revoked" 1 {
        /// Whose.
        subject: plain => SubjectRef,
        /// Which token.
        token: plain => TokenId,
        /// When it was issued.
        issued_at: plain => DateTime<Utc>,
        /// When it would have ended by itself; absent: never.
        expires_at: plain => Option<DateTime<Utc>>,
    }
}
