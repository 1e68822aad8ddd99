//! What events change in the directory.

use rollcall_schemas::personal::{Class, Personal};
use rollcall_schemas::{Event, erasure, user};

use super::queries;
use crate::{Changes, Entry, Inconsistent, Projection, Value, statements};

statements! {
    name_user = "INSERT INTO user_directory_v1 (subject, app, tag, user_id, epoch, deactivated)
        VALUES ($1, $2, $3, $4, 0, 0)";
    register_user = "INSERT INTO user_directory_v1
        (subject, app, tag, user_id, name, portrait, registered_at, registered_position, epoch, deactivated)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, 0)";
    register_named = "UPDATE user_directory_v1
        SET name = $1, portrait = $2, registered_at = $3, registered_position = $4
        WHERE subject = $5 AND registered_position IS NULL";
    change_user = "UPDATE user_directory_v1 SET name = COALESCE($1, name), portrait = COALESCE($2, portrait)
        WHERE subject = $3";
    deactivate_user = "UPDATE user_directory_v1 SET name = NULL, portrait = NULL, deactivated = 1 WHERE subject = $1";
    restrict_user = "UPDATE user_directory_v1 SET deactivated = 1 WHERE subject = $1";
    restore_user = "UPDATE user_directory_v1 SET deactivated = 0 WHERE subject = $1";
    reactivate_user = "UPDATE user_directory_v1 SET name = NULL, portrait = NULL, deactivated = 0, epoch = $1
        WHERE subject = $2";
    forget_user = "DELETE FROM user_directory_v1 WHERE subject = $1";
    scrub_profile = "UPDATE user_directory_v1 SET name = NULL, portrait = NULL WHERE subject = $1";
    scrub_identity = "UPDATE user_directory_v1 SET user_id = NULL WHERE subject = $1";
    count_registered = "INSERT INTO user_directory_count_v1 (app, registered) VALUES ($1, $2)
        ON CONFLICT (app) DO UPDATE SET registered = user_directory_count_v1.registered + excluded.registered";
    uncount_active = "UPDATE user_directory_count_v1 SET registered = registered - 1
        WHERE app = $1 AND EXISTS (SELECT 1 FROM user_directory_v1
            WHERE subject = $2 AND registered_position IS NOT NULL AND deactivated = 0)";
    count_reactivated = "UPDATE user_directory_count_v1 SET registered = registered + 1
        WHERE app = $1 AND EXISTS (SELECT 1 FROM user_directory_v1
            WHERE subject = $2 AND registered_position IS NOT NULL AND deactivated = 1)";
}

/// The read model.
pub struct UserDirectory;

impl Projection for UserDirectory {
    fn name(&self) -> &'static str {
        "user_directory"
    }
    fn version(&self) -> u32 {
        1
    }
    fn schema(&self) -> &'static str {
        include_str!("schema.sql")
    }
    fn tables(&self) -> &'static [&'static str] {
        &["user_directory_v1", "user_directory_count_v1"]
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
    let app = || Value::from(&recorded.metadata.app);
    let stored = |path, value: Option<&Personal<String>>| -> Value {
        value.and_then(|value| recorded.stored(path, value)).into()
    };
    match event {
        user::Event::Named(e) => {
            let user_id = stored("user_id", Some(&e.user_id));
            changes.push(name_user, [e.subject.into(), app(), entry.tag.into(), user_id]);
        }
        user::Event::Registered(e) => {
            let name = stored("name", Some(&e.name));
            let portrait = stored("portrait", e.portrait.as_ref());
            let (at, position) = (recorded.recorded_at.into(), recorded.position.into());
            match &e.user_id {
                Some(user_id) => {
                    let user_id = stored("user_id", Some(user_id));
                    let subject = e.subject.into();
                    changes
                        .push(register_user, [subject, app(), entry.tag.into(), user_id, name, portrait, at, position]);
                }
                None => changes.push_must_change(register_named, [name, portrait, at, position, e.subject.into()]),
            }
            changes.push_sum(count_registered, [app(), 1_u32.into()]);
        }
        user::Event::Reregistered(e) => {
            let name = stored("name", Some(&e.name));
            changes.push(change_user, [name, stored("portrait", e.portrait.as_ref()), e.subject.into()]);
        }
        user::Event::Modified(e) => {
            let name = stored("name", e.name.as_ref());
            changes.push(change_user, [name, stored("portrait", e.portrait.as_ref()), e.subject.into()]);
        }
        user::Event::Deactivated(e) => {
            changes.push(uncount_active, [app(), e.subject.into()]);
            changes.push(deactivate_user, [e.subject.into()]);
        }
        user::Event::Restricted(e) => {
            changes.push(uncount_active, [app(), e.subject.into()]);
            changes.push(restrict_user, [e.subject.into()]);
        }
        user::Event::Restored(e) => {
            changes.push(count_reactivated, [app(), e.subject.into()]);
            changes.push(restore_user, [e.subject.into()]);
        }
        user::Event::Reactivated(e) => {
            changes.push(count_reactivated, [app(), e.subject.into()]);
            changes.push(reactivate_user, [e.epoch.into(), e.subject.into()]);
        }
        user::Event::Forgotten(e) => {
            changes.push(uncount_active, [app(), e.subject.into()]);
            changes.push(forget_user, [e.subject.into()]);
        }
        user::Event::ProfileSet(_)
        | user::Event::ProfileCleaned(_)
        | user::Event::Tagged(_)
        | user::Event::DirectMessagesMuted(_)
        | user::Event::DirectMessagesUnmuted(_)
        | user::Event::PushQuieted(_)
        | user::Event::PushUnquieted(_)
        | user::Event::FriendPermissionSet(_)
        | user::Event::HoldPlaced(_)
        | user::Event::HoldReleased(_) => {}
    }
}

fn project_erasure(event: &erasure::Event, changes: &mut Changes) {
    match event {
        erasure::Event::Scrubbed(e) => {
            for class in &e.classes {
                match class {
                    Class::Profile => changes.push(scrub_profile, [e.subject.into()]),
                    Class::Identity => changes.push(scrub_identity, [e.subject.into()]),
                    Class::Moderation | Class::Hold => {}
                }
            }
        }
        erasure::Event::Requested(_)
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
