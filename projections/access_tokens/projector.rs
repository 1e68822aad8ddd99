//! What events change about access tokens.

use rollcall_schemas::{Event, token, user};

use super::queries;
use crate::{Changes, Entry, Inconsistent, Projection, Value, statements};

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

/// The read model.
pub struct AccessTokens;

impl Projection for AccessTokens {
    fn name(&self) -> &'static str {
        "access_tokens"
    }
    fn version(&self) -> u32 {
        1
    }
    fn schema(&self) -> &'static str {
        include_str!("schema.sql")
    }
    fn tables(&self) -> &'static [&'static str] {
        &["access_tokens_v1"]
    }
    fn statements(&self) -> &'static [&'static str] {
        STATEMENTS
    }
    fn queries(&self) -> &'static [&'static str] {
        queries::STATEMENTS
    }
    fn project(&self, entry: &Entry<'_>, changes: &mut Changes) -> Result<(), Inconsistent> {
        match &entry.recorded.event {
            Event::User(event) => project_user(event, changes),
            Event::Token(event) => project_token(entry, event, changes),
            Event::App(_)
            | Event::Roster(_)
            | Event::Ban(_)
            | Event::Blocklist(_)
            | Event::Allowlist(_)
            | Event::Friendship(_)
            | Event::Remarks(_)
            | Event::Erasure(_)
            | Event::Access(_)
            | Event::DataRequest(_) => {}
        }
        Ok(())
    }
}

fn project_user(event: &user::Event, changes: &mut Changes) {
    match event {
        user::Event::Forgotten(e) => {
            changes.push(forget, [e.subject.into()]);
        }
        user::Event::Named(_)
        | user::Event::Registered(_)
        | user::Event::Reregistered(_)
        | user::Event::Modified(_)
        | user::Event::ProfileSet(_)
        | user::Event::ProfileCleaned(_)
        | user::Event::Tagged(_)
        | user::Event::DirectMessagesMuted(_)
        | user::Event::DirectMessagesUnmuted(_)
        | user::Event::PushQuieted(_)
        | user::Event::PushUnquieted(_)
        | user::Event::FriendPermissionSet(_)
        | user::Event::HoldPlaced(_)
        | user::Event::HoldReleased(_)
        | user::Event::Restricted(_)
        | user::Event::Restored(_)
        | user::Event::Deactivated(_)
        | user::Event::Reactivated(_) => {}
    }
}

fn project_token(entry: &Entry<'_>, event: &token::Event, changes: &mut Changes) {
    let app = || Value::from(&entry.recorded.metadata.app);
    match event {
        token::Event::Issued(e) => {
            changes.push(
                issue,
                [
                    e.subject.into(),
                    app(),
                    e.token.into(),
                    e.issued_at.into(),
                    e.expires_at.into(),
                    e.secret.into(),
                    e.epoch.into(),
                ],
            );
        }
        token::Event::InvalidatedBefore(e) => {
            changes.push(invalidate, [e.subject.into(), app(), e.before.into()]);
        }
    }
}
