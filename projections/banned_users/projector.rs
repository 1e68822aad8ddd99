//! What events change among the bans.

use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::personal::{Class, Personal};
use rollcall_schemas::{Event, ban, erasure, user};

use super::queries;
use crate::{Changes, Entry, Inconsistent, Projection, statements};

statements! {
    /// A replaced ban keeps when the user was first banned.
    ban_user = "INSERT INTO banned_users_v1 (subject, app, banned_at, until_at, reason) VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (subject) DO UPDATE SET until_at = excluded.until_at, reason = excluded.reason";
    end_ban = "DELETE FROM banned_users_v1 WHERE subject = $1";
    scrub_reason = "UPDATE banned_users_v1 SET reason = NULL WHERE subject = $1";
}

/// The read model.
pub struct BannedUsers;

impl Projection for BannedUsers {
    fn name(&self) -> &'static str {
        "banned_users"
    }
    fn version(&self) -> u32 {
        1
    }
    fn schema(&self) -> &'static str {
        include_str!("schema.sql")
    }
    fn tables(&self) -> &'static [&'static str] {
        &["banned_users_v1"]
    }
    fn statements(&self) -> &'static [&'static str] {
        STATEMENTS
    }
    fn queries(&self) -> &'static [&'static str] {
        queries::STATEMENTS
    }
    fn remains(&self) -> &'static [(Class, &'static str)] {
        queries::REMAINS
    }
    fn project(&self, entry: &Entry<'_>, changes: &mut Changes) -> Result<(), Inconsistent> {
        match &entry.recorded.event {
            Event::Ban(event) => project_ban(entry, event, changes),
            Event::User(event) => project_user(event, changes),
            Event::Erasure(event) => project_erasure(event, changes),
            Event::App(_)
            | Event::Roster(_)
            | Event::Token(_)
            | Event::Blocklist(_)
            | Event::Allowlist(_)
            | Event::Friendship(_)
            | Event::Remarks(_)
            | Event::Access(_)
            | Event::DataRequest(_) => {}
        }
        Ok(())
    }
}

fn project_ban(entry: &Entry<'_>, event: &ban::Event, changes: &mut Changes) {
    let recorded = entry.recorded;
    let mut ban = |subject: SubjectRef, until: chrono::DateTime<chrono::Utc>, reason: &Option<Personal<String>>| {
        let reason = reason.as_ref().and_then(|reason| recorded.stored("reason", reason));
        let app = (&recorded.metadata.app).into();
        changes.push(ban_user, [subject.into(), app, recorded.recorded_at.into(), until.into(), reason.into()]);
    };
    match event {
        ban::Event::Imposed(e) => ban(e.subject, e.until, &e.reason),
        ban::Event::Replaced(e) => ban(e.subject, e.until, &e.reason),
        ban::Event::Lifted(e) => changes.push(end_ban, [e.subject.into()]),
        ban::Event::Expired(e) => changes.push(end_ban, [e.subject.into()]),
    }
}

fn project_user(event: &user::Event, changes: &mut Changes) {
    match event {
        user::Event::Forgotten(e) => changes.push(end_ban, [e.subject.into()]),
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

fn project_erasure(event: &erasure::Event, changes: &mut Changes) {
    match event {
        erasure::Event::Scrubbed(e) if e.classes.contains(&Class::Moderation) => {
            changes.push(scrub_reason, [e.subject.into()]);
        }
        erasure::Event::Scrubbed(_)
        | erasure::Event::Requested(_)
        | erasure::Event::RelationsEnded(_)
        | erasure::Event::Begun(_)
        | erasure::Event::Cancelled(_)
        | erasure::Event::ReadModelsScrubbed(_)
        | erasure::Event::Verified(_)
        | erasure::Event::ReportIssued(_)
        | erasure::Event::Finalised(_)
        | erasure::Event::Notified(_) => {}
    }
}
