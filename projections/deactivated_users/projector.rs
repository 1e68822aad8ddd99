//! What events change among the deactivated users.

use rollcall_schemas::{Event, user};

use super::queries;
use crate::{Changes, Entry, Inconsistent, Projection, Value, statements};

statements! {
    deactivate = "INSERT INTO deactivated_users_v2
            (subject, app, deactivated_at, deactivated_position, operation, restricted)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (subject) DO UPDATE SET deactivated_at = excluded.deactivated_at, restricted = excluded.restricted";
    end_deactivation = "DELETE FROM deactivated_users_v2 WHERE subject = $1";
}

/// The read model.
pub struct DeactivatedUsers;

impl Projection for DeactivatedUsers {
    fn name(&self) -> &'static str {
        "deactivated_users"
    }
    fn version(&self) -> u32 {
        2
    }
    fn schema(&self) -> &'static str {
        include_str!("schema.sql")
    }
    fn tables(&self) -> &'static [&'static str] {
        &["deactivated_users_v2"]
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
    let app = || Value::from(&recorded.metadata.app);
    let (at, position) = (|| Value::from(recorded.recorded_at), || Value::from(recorded.position));
    match event {
        user::Event::Deactivated(e) => {
            let operation = e.operation.0.as_str().into();
            changes.push(deactivate, [e.subject.into(), app(), at(), position(), operation, 0_u32.into()]);
        }
        user::Event::Restricted(e) => {
            let operation = e.operation.0.as_str().into();
            changes.push(deactivate, [e.subject.into(), app(), at(), position(), operation, 1_u32.into()]);
        }
        user::Event::Restored(e) => changes.push(end_deactivation, [e.subject.into()]),
        user::Event::Reactivated(e) => changes.push(end_deactivation, [e.subject.into()]),
        user::Event::Forgotten(e) => changes.push(end_deactivation, [e.subject.into()]),
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
        | user::Event::HoldReleased(_) => {}
    }
}
