//! What events change in the directory.

use rollcall_schemas::personal::{Class, Personal};
use rollcall_schemas::{erasure, user};

use super::queries;
use crate::{Changes, Entry, Value, projection, statements};

statements! {
    name_user = "INSERT INTO user_directory_v2 (subject, app, tag, user_id, introduced_position, epoch, deactivated)
        VALUES ($1, $2, $3, $4, $5, 0, 0)";
    register_user = "INSERT INTO user_directory_v2
        (subject, app, tag, user_id, introduced_position, name, portrait, registered_at, registered_position, epoch,
            deactivated)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $5, 0, 0)";
    register_named = "UPDATE user_directory_v2
        SET name = $1, portrait = $2, registered_at = $3, registered_position = $4
        WHERE subject = $5 AND registered_position IS NULL";
    change_user = "UPDATE user_directory_v2 SET name = COALESCE($1, name), portrait = COALESCE($2, portrait)
        WHERE subject = $3";
    deactivate_user = "UPDATE user_directory_v2 SET name = NULL, portrait = NULL, deactivated = 1 WHERE subject = $1";
    restrict_user = "UPDATE user_directory_v2 SET deactivated = 1 WHERE subject = $1";
    restore_user = "UPDATE user_directory_v2 SET deactivated = 0 WHERE subject = $1";
    reactivate_user = "UPDATE user_directory_v2 SET name = NULL, portrait = NULL, deactivated = 0, epoch = $1
        WHERE subject = $2";
    forget_user = "DELETE FROM user_directory_v2 WHERE subject = $1";
    scrub_profile = "UPDATE user_directory_v2 SET name = NULL, portrait = NULL WHERE subject = $1";
    scrub_identity = "UPDATE user_directory_v2 SET user_id = NULL WHERE subject = $1";
    count_registered = "INSERT INTO user_directory_count_v2 (app, registered) VALUES ($1, $2)
        ON CONFLICT (app) DO UPDATE SET registered = user_directory_count_v2.registered + excluded.registered";
    uncount_active = "UPDATE user_directory_count_v2 SET registered = registered - 1
        WHERE app = $1 AND EXISTS (SELECT 1 FROM user_directory_v2
            WHERE subject = $2 AND registered_position IS NOT NULL AND deactivated = 0)";
    count_reactivated = "UPDATE user_directory_count_v2 SET registered = registered + 1
        WHERE app = $1 AND EXISTS (SELECT 1 FROM user_directory_v2
            WHERE subject = $2 AND registered_position IS NOT NULL AND deactivated = 1)";
}

projection! {
    /// Every user of every app.
    UserDirectory: "user_directory" version 2, tables ["user_directory_v2", "user_directory_count_v2"],
        remains queries::REMAINS;
    reads(entry, changes) {
        user::Named(e) => {
            let user_id = stored(entry, "user_id", Some(&e.user_id));
            changes.push(name_user, [e.subject.into(), entry.app(), entry.tag.into(), user_id, entry.position()]);
        },
        user::Registered(e) => register(e, entry, changes),
        user::Reregistered(e) => {
            let (name, portrait) = (stored(entry, "name", Some(&e.name)), stored(entry, "portrait", e.portrait.as_ref()));
            changes.push(change_user, [name, portrait, e.subject.into()]);
        },
        user::Modified(e) => {
            let (name, portrait) = (stored(entry, "name", e.name.as_ref()), stored(entry, "portrait", e.portrait.as_ref()));
            changes.push(change_user, [name, portrait, e.subject.into()]);
        },
        user::Deactivated(e) => {
            changes.push(uncount_active, [entry.app(), e.subject.into()]);
            changes.push(deactivate_user, [e.subject.into()]);
        },
        user::Restricted(e) => {
            changes.push(uncount_active, [entry.app(), e.subject.into()]);
            changes.push(restrict_user, [e.subject.into()]);
        },
        user::Restored(e) => {
            changes.push(count_reactivated, [entry.app(), e.subject.into()]);
            changes.push(restore_user, [e.subject.into()]);
        },
        user::Reactivated(e) => {
            changes.push(count_reactivated, [entry.app(), e.subject.into()]);
            changes.push(reactivate_user, [e.epoch.into(), e.subject.into()]);
        },
        user::Forgotten(e) => {
            changes.push(uncount_active, [entry.app(), e.subject.into()]);
            changes.push(forget_user, [e.subject.into()]);
        },
        erasure::Scrubbed(e) => scrub(e, changes),
    }
}

fn stored(entry: &Entry<'_>, path: &str, value: Option<&Personal<String>>) -> Value {
    value.and_then(|value| entry.recorded.stored(path, value)).into()
}

fn register(e: &user::Registered, entry: &Entry<'_>, changes: &mut Changes) {
    let (name, portrait) = (stored(entry, "name", Some(&e.name)), stored(entry, "portrait", e.portrait.as_ref()));
    let (subject, app, at, position) = (e.subject.into(), entry.app(), entry.at(), entry.position());
    match &e.user_id {
        Some(user_id) => {
            let user_id = stored(entry, "user_id", Some(user_id));
            changes.push(register_user, [subject, app, entry.tag.into(), user_id, position, name, portrait, at]);
        }
        None => changes.push_must_change(register_named, [name, portrait, at, position, subject]),
    }
    changes.push_sum(count_registered, [entry.app(), 1_u32.into()]);
}

fn scrub(e: &erasure::Scrubbed, changes: &mut Changes) {
    for class in &e.classes {
        match class {
            Class::Profile => changes.push(scrub_profile, [e.subject.into()]),
            Class::Identity => changes.push(scrub_identity, [e.subject.into()]),
            Class::Moderation | Class::Hold => {}
        }
    }
}
