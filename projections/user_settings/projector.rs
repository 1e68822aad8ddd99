//! What events change about the settings of users.

use chrono::Timelike;
use rollcall_schemas::user;

use super::queries;
use crate::{Changes, Entry, projection, statements};

statements! {
    quiet = "INSERT INTO user_settings_v2 (subject, app, quiet_start, quiet_minutes, quiet_level)
        VALUES ($1, $2, $3, $4, $5)
        ON CONFLICT (subject) DO UPDATE SET quiet_start = excluded.quiet_start,
            quiet_minutes = excluded.quiet_minutes, quiet_level = excluded.quiet_level";
    unquiet = "UPDATE user_settings_v2 SET quiet_start = NULL, quiet_minutes = NULL, quiet_level = NULL
        WHERE subject = $1";
    permit = "INSERT INTO user_settings_v2 (subject, app, friend_permission) VALUES ($1, $2, $3)
        ON CONFLICT (subject) DO UPDATE SET friend_permission = excluded.friend_permission";
    set_visibility = "INSERT INTO user_settings_v2 (subject, app, visibility) VALUES ($1, $2, $3)
        ON CONFLICT (subject) DO UPDATE SET visibility = excluded.visibility";
    forget = "DELETE FROM user_settings_v2 WHERE subject = $1";
}

projection! {
    /// What each user set for itself.
    UserSettings: "user_settings" version 2, tables ["user_settings_v2"];
    reads(entry, changes) {
        user::PushQuieted(e) => set_quiet_hours(e, entry, changes),
        user::PushUnquieted(e) => changes.push(unquiet, [e.subject.into()]),
        user::FriendPermissionSet(e) =>
            changes.push(permit, [e.subject.into(), entry.app(), e.permission.as_str().into()]),
        user::VisibilitySet(e) =>
            changes.push(set_visibility, [e.subject.into(), entry.app(), e.visibility.as_str().into()]),
        user::Deactivated(e) => changes.push(forget, [e.subject.into()]),
        user::Forgotten(e) => changes.push(forget, [e.subject.into()]),
    }
}

fn set_quiet_hours(e: &user::PushQuieted, entry: &Entry<'_>, changes: &mut Changes) {
    let start = e.start.num_seconds_from_midnight().into();
    let (minutes, level) = (u32::from(e.minutes).into(), u32::from(e.level).into());
    changes.push(quiet, [e.subject.into(), entry.app(), start, minutes, level]);
}
