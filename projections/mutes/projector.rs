//! What events change about mutes.

use rollcall_schemas::{Event, user};

use super::queries;
use crate::{Changes, Entry, Inconsistent, Projection, Value, statements};

statements! {
    mute = "INSERT INTO mutes_v1 (subject, app, muted_position) VALUES ($1, $2, $3)";
    count_in = "INSERT INTO mutes_count_v1 (app, users) VALUES ($1, 1)
        ON CONFLICT (app) DO UPDATE SET users = mutes_count_v1.users + 1";
    count_out = "UPDATE mutes_count_v1 SET users = users - 1
        WHERE app = $1 AND EXISTS (SELECT 1 FROM mutes_v1 WHERE subject = $2)";
    unmute = "DELETE FROM mutes_v1 WHERE subject = $1";
}

/// The read model.
pub struct Mutes;

impl Projection for Mutes {
    fn name(&self) -> &'static str {
        "mutes"
    }
    fn version(&self) -> u32 {
        1
    }
    fn schema(&self) -> &'static str {
        include_str!("schema.sql")
    }
    fn tables(&self) -> &'static [&'static str] {
        &["mutes_v1", "mutes_count_v1"]
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
    let recorded = entry.recorded;
    let app = || Value::from(&entry.recorded.metadata.app);
    match event {
        user::Event::DirectMessagesMuted(e) => {
            changes.push(mute, [e.subject.into(), app(), recorded.position.into()]);
            changes.push(count_in, [app()]);
        }
        user::Event::DirectMessagesUnmuted(e) => {
            changes.push(count_out, [app(), e.subject.into()]);
            changes.push(unmute, [e.subject.into()]);
        }
        user::Event::Deactivated(e) => {
            changes.push(count_out, [app(), e.subject.into()]);
            changes.push(unmute, [e.subject.into()]);
        }
        user::Event::Forgotten(e) => {
            changes.push(count_out, [app(), e.subject.into()]);
            changes.push(unmute, [e.subject.into()]);
        }
        user::Event::Named(_)
        | user::Event::Registered(_)
        | user::Event::Reregistered(_)
        | user::Event::Modified(_)
        | user::Event::ProfileSet(_)
        | user::Event::ProfileCleaned(_)
        | user::Event::Tagged(_)
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
