//! What events change about invalid tokens.

use super::queries;
use crate::{projection, statements};

statements! {
    invalidate = "INSERT INTO invalidated_tokens_v1 (subject, app, invalid_before) VALUES ($1, $2, $3)
        ON CONFLICT (subject) DO UPDATE SET invalid_before = excluded.invalid_before";
    forget = "DELETE FROM invalidated_tokens_v1 WHERE subject = $1";
}

projection! {
    /// Since when the access tokens of users are good.
    InvalidatedTokens: "invalidated_tokens" version 1, tables ["invalidated_tokens_v1"];
    reads(entry, changes) {
        token::InvalidatedBefore(e) => changes.push(invalidate, [e.subject.into(), entry.app(), e.before.into()]),
        user::Forgotten(e) => changes.push(forget, [e.subject.into()]),
    }
}
