//! What events change about access tokens.

use super::queries;
use crate::{projection, statements};

statements! {
    issue = "INSERT INTO access_tokens_v1
            (subject, app, issued, last_token, last_issued_at, last_expires_at, last_secret, last_epoch)
        VALUES ($1, $2, 1, $3, $4, $5, $6, $7)
        ON CONFLICT (subject) DO UPDATE SET issued = access_tokens_v1.issued + 1, last_token = excluded.last_token,
            last_issued_at = excluded.last_issued_at, last_expires_at = excluded.last_expires_at,
            last_secret = excluded.last_secret, last_epoch = excluded.last_epoch";
    invalidate = "INSERT INTO access_tokens_v1 (subject, app, issued, invalid_before) VALUES ($1, $2, 0, $3)
        ON CONFLICT (subject) DO UPDATE SET invalid_before = excluded.invalid_before";
    forget = "DELETE FROM access_tokens_v1 WHERE subject = $1";
}

projection! {
    /// The access tokens of each user.
    AccessTokens: "access_tokens" version 1, tables ["access_tokens_v1"];
    reads(entry, changes) {
        token::Issued(e) => changes.push(issue, [
            e.subject.into(), entry.app(), e.token.into(), e.issued_at.into(), e.expires_at.into(), e.secret.into(),
            e.epoch.into(),
        ]),
        token::IssuedV2(e) => changes.push(issue, [
            e.subject.into(), entry.app(), e.token.into(), e.issued_at.into(), e.expires_at.into(), e.secret.into(),
            e.epoch.into(),
        ]),
        token::InvalidatedBefore(e) => changes.push(invalidate, [e.subject.into(), entry.app(), e.before.into()]),
        user::Forgotten(e) => changes.push(forget, [e.subject.into()]),
    }
}
