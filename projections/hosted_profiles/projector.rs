//! What events change in hosted profiles.

use rollcall_schemas::personal::Class;
use rollcall_schemas::{Event, erasure, user};

use super::queries;
use crate::{Changes, Entry, Inconsistent, Projection, Value, statements};

statements! {
    register = "INSERT INTO hosted_profiles_v1 (subject, app, registered_position, changes, filled)
        VALUES ($1, $2, $3, 0, 0)
        ON CONFLICT (subject) DO UPDATE SET registered_position = excluded.registered_position";
    set_field = "INSERT INTO hosted_profiles_fields_v1 (subject, field, content) VALUES ($1, $2, $3)
        ON CONFLICT (subject, field) DO UPDATE SET content = excluded.content";
    clear_field = "DELETE FROM hosted_profiles_fields_v1 WHERE subject = $1 AND field = $2";
    clear_fields = "DELETE FROM hosted_profiles_fields_v1 WHERE subject = $1";
    count_change = "INSERT INTO hosted_profiles_v1 (subject, app, registered_position, changes, filled)
        VALUES ($1, $2, $3, 1,
            CASE WHEN EXISTS (SELECT 1 FROM hosted_profiles_fields_v1 f WHERE f.subject = $1) THEN 1 ELSE 0 END)
        ON CONFLICT (subject) DO UPDATE SET changes = hosted_profiles_v1.changes + 1, filled = excluded.filled";
    mark_empty = "UPDATE hosted_profiles_v1 SET filled = 0 WHERE subject = $1";
    start_over = "UPDATE hosted_profiles_v1 SET filled = 0, changes = 0 WHERE subject = $1";
    forget = "DELETE FROM hosted_profiles_v1 WHERE subject = $1";
}

/// The read model.
pub struct HostedProfiles;

impl Projection for HostedProfiles {
    fn name(&self) -> &'static str {
        "hosted_profiles"
    }
    fn version(&self) -> u32 {
        1
    }
    fn schema(&self) -> &'static str {
        include_str!("schema.sql")
    }
    fn tables(&self) -> &'static [&'static str] {
        &["hosted_profiles_v1", "hosted_profiles_fields_v1"]
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
        user::Event::Registered(e) => {
            changes.push(register, [e.subject.into(), app(), recorded.position.into()]);
        }
        user::Event::ProfileSet(e) => {
            for (field, value) in &e.fields {
                // A value whose ciphertext is gone was erased: the field has no value any more.
                match recorded.stored(&format!("fields.{}", field.0), value) {
                    Some(content) => changes.push(set_field, [e.subject.into(), field.into(), content.into()]),
                    None => changes.push(clear_field, [e.subject.into(), field.into()]),
                }
            }
            for field in &e.cleared {
                changes.push(clear_field, [e.subject.into(), field.into()]);
            }
            changes.push(count_change, [e.subject.into(), app(), recorded.position.into()]);
        }
        user::Event::ProfileCleaned(e) => {
            changes.push(clear_fields, [e.subject.into()]);
            changes.push(mark_empty, [e.subject.into()]);
        }
        user::Event::Deactivated(e) => {
            changes.push(clear_fields, [e.subject.into()]);
            changes.push(start_over, [e.subject.into()]);
        }
        user::Event::Forgotten(e) => {
            changes.push(clear_fields, [e.subject.into()]);
            changes.push(forget, [e.subject.into()]);
        }
        user::Event::Named(_)
        | user::Event::Reregistered(_)
        | user::Event::Modified(_)
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
        | user::Event::Reactivated(_) => {}
    }
}

fn project_erasure(event: &erasure::Event, changes: &mut Changes) {
    match event {
        erasure::Event::Scrubbed(e) if e.classes.contains(&Class::Profile) => {
            changes.push(clear_fields, [e.subject.into()]);
            changes.push(mark_empty, [e.subject.into()]);
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
