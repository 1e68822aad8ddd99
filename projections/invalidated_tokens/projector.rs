//! What events change about invalid tokens.

use super::queries;
use crate::{projection, statements};

statements! {
    invalidate = "INSERT INTO invalidated_tokens_v2 (subject, app, invalid_before) VALUES ($1, $2, $3)
        ON CONFLICT (subject) DO UPDATE SET invalid_before = excluded.invalid_before";
    invalidate_of_app = "INSERT INTO invalidated_tokens_apps_v2 (app, invalid_before) VALUES ($1, $2)
        ON CONFLICT (app) DO UPDATE SET invalid_before = excluded.invalid_before";
    revoke = "INSERT INTO invalidated_tokens_revoked_v2 (subject, token, issued_at, expires_at) VALUES ($1, $2, $3, $4)
        ON CONFLICT (subject, token) DO NOTHING";
    drop_expired = "DELETE FROM invalidated_tokens_revoked_v2 WHERE subject = $1 AND expires_at <= $2";
    drop_invalid = "DELETE FROM invalidated_tokens_revoked_v2 WHERE subject = $1 AND issued_at < $2";
    forget = "DELETE FROM invalidated_tokens_v2 WHERE subject = $1";
    forget_revoked = "DELETE FROM invalidated_tokens_revoked_v2 WHERE subject = $1";
}

projection! {
    /// Since when the access tokens of users are good, and which are not good by themselves.
    InvalidatedTokens: "invalidated_tokens" version 2,
        tables ["invalidated_tokens_v2", "invalidated_tokens_revoked_v2", "invalidated_tokens_apps_v2"];
    reads(entry, changes) {
        token::InvalidatedBefore(e) => {
            changes.push(invalidate, [e.subject.into(), entry.app(), e.before.into()]);
            changes.push(drop_invalid, [e.subject.into(), e.before.into()]);
        },
        token::Revoked(e) => {
            changes.push(drop_expired, [e.subject.into(), entry.at()]);
            changes.push(revoke, [e.subject.into(), e.token.into(), e.issued_at.into(), e.expires_at.into()]);
        },
        app::TokensInvalidatedBefore(e) => changes.push(invalidate_of_app, [(&e.app).into(), e.before.into()]),
        user::Forgotten(e) => {
            changes.push(forget, [e.subject.into()]);
            changes.push(forget_revoked, [e.subject.into()]);
        },
    }
}
