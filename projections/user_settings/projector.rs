//! What events change about the settings of users.

use chrono::Timelike;
use rollcall_schemas::{Event, user};

use super::queries;
use crate::{Changes, Entry, Inconsistent, Projection, Value, statements, words};

statements! {
    quiet = "INSERT INTO user_settings_v1 (subject, app, quiet_start, quiet_minutes, quiet_level)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (subject) DO UPDATE SET quiet_start = excluded.quiet_start,
            quiet_minutes = excluded.quiet_minutes, quiet_level = excluded.quiet_level";
    unquiet = "UPDATE user_settings_v1 SET quiet_start = NULL, quiet_minutes = NULL, quiet_level = NULL
        WHERE subject = $1";
    permit = "INSERT INTO user_settings_v1 (subject, app, friend_permission) VALUES ($1, $2, $3)
        ON CONFLICT (subject) DO UPDATE SET friend_permission = excluded.friend_permission";
    forget = "DELETE FROM user_settings_v1 WHERE subject = $1";
}

/// The read model.
pub struct UserSettings;

impl Projection for UserSettings {
    fn name(&self) -> &'static str {
        "user_settings"
    }
    fn version(&self) -> u32 {
        1
    }
    fn schema(&self) -> &'static str {
        include_str!("schema.sql")
    }
    fn tables(&self) -> &'static [&'static str] {
        &["user_settings_v1"]
    }
    fn statements(&self) -> &'static [&'static str] {
        STATEMENTS
    }
    fn queries(&self) -> &'static [&'static str] {
        queries::STATEMENTS
    }
    fn project(&self, entry: &Entry<'_>, changes: &mut Changes) -> Result<(), Inconsistent> {
        match &entry.recorded.event {
            Event::User(event) => project_user(entry, event, changes),
            Event::App(_)
            | Event::Roster(_)
            | Event::Token(_)
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

fn project_user(entry: &Entry<'_>, event: &user::Event, changes: &mut Changes) {
    let app = || Value::from(&entry.recorded.metadata.app);
    match event {
        user::Event::PushQuieted(e) => {
            changes.push(
                quiet,
                [
                    e.subject.into(),
                    app(),
                    e.start.num_seconds_from_midnight().into(),
                    u32::from(e.minutes).into(),
                    u32::from(e.level).into(),
                ],
            );
        }
        user::Event::PushUnquieted(e) => {
            changes.push(unquiet, [e.subject.into()]);
        }
        user::Event::FriendPermissionSet(e) => {
            changes.push(permit, [e.subject.into(), app(), words::friend_permission(e.permission).into()]);
        }
        user::Event::Deactivated(e) => {
            changes.push(forget, [e.subject.into()]);
        }
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
        | user::Event::Restricted(_)
        | user::Event::Restored(_)
        | user::Event::HoldPlaced(_)
        | user::Event::HoldReleased(_)
        | user::Event::Reactivated(_) => {}
    }
}
