//! What events change about tags.

use rollcall_schemas::personal::Class;
use rollcall_schemas::{Event, erasure, user};

use super::queries;
use crate::{Changes, Entry, Inconsistent, Projection, Value, statements};

statements! {
    tag = "INSERT INTO user_tags_v1 (subject, app, tags) VALUES ($1, $2, $3)
        ON CONFLICT (subject) DO UPDATE SET tags = excluded.tags";
    untag = "DELETE FROM user_tags_v1 WHERE subject = $1";
}

/// The read model.
pub struct UserTags;

impl Projection for UserTags {
    fn name(&self) -> &'static str {
        "user_tags"
    }
    fn version(&self) -> u32 {
        1
    }
    fn schema(&self) -> &'static str {
        include_str!("schema.sql")
    }
    fn tables(&self) -> &'static [&'static str] {
        &["user_tags_v1"]
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
            Event::User(event) => project_user(entry, event, changes),
            Event::Erasure(event) => project_erasure(event, changes),
            Event::App(_)
            | Event::Roster(_)
            | Event::Token(_)
            | Event::Ban(_)
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

fn project_user(entry: &Entry<'_>, event: &user::Event, changes: &mut Changes) {
    let recorded = entry.recorded;
    let app = || Value::from(&entry.recorded.metadata.app);
    match event {
        user::Event::Tagged(e) => match e.tags.as_ref().and_then(|tags| recorded.stored("tags", tags)) {
            Some(tags) => changes.push(tag, [e.subject.into(), app(), tags.into()]),
            None => changes.push(untag, [e.subject.into()]),
        },
        user::Event::Deactivated(e) => {
            changes.push(untag, [e.subject.into()]);
        }
        user::Event::Forgotten(e) => {
            changes.push(untag, [e.subject.into()]);
        }
        user::Event::Named(_)
        | user::Event::Registered(_)
        | user::Event::Reregistered(_)
        | user::Event::Modified(_)
        | user::Event::ProfileSet(_)
        | user::Event::ProfileCleaned(_)
        | user::Event::DirectMessagesMuted(_)
        | user::Event::DirectMessagesUnmuted(_)
        | user::Event::PushQuieted(_)
        | user::Event::PushUnquieted(_)
        | user::Event::FriendPermissionSet(_)
        | user::Event::HoldPlaced(_)
        | user::Event::HoldReleased(_)
        | user::Event::Restricted(_)
        | user::Event::Restored(_)
        | user::Event::Reactivated(_) => {}
    }
}

fn project_erasure(event: &erasure::Event, changes: &mut Changes) {
    match event {
        erasure::Event::Scrubbed(e) if e.classes.contains(&Class::Profile) => {
            changes.push(untag, [e.subject.into()]);
        }
        erasure::Event::Requested(_)
        | erasure::Event::RelationsEnded(_)
        | erasure::Event::Scrubbed(_)
        | erasure::Event::Begun(_)
        | erasure::Event::Cancelled(_)
        | erasure::Event::ReadModelsScrubbed(_)
        | erasure::Event::Verified(_)
        | erasure::Event::ReportIssued(_)
        | erasure::Event::Finalised(_)
        | erasure::Event::Notified(_) => {}
    }
}
