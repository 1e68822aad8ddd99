//! What events change in hosted profiles.

use rollcall_schemas::personal::Class;
use rollcall_schemas::user;

use super::queries;
use crate::{Changes, Entry, projection, statements};

statements! {
    register = "INSERT INTO hosted_profiles_v2 (subject, app, registered_position, changes, filled)
        VALUES ($1, $2, $3, 0, 0)
        ON CONFLICT (subject) DO UPDATE SET registered_position = excluded.registered_position";
    set_field = "INSERT INTO hosted_profiles_fields_v2 (subject, field, content) VALUES ($1, $2, $3)
        ON CONFLICT (subject, field) DO UPDATE SET content = excluded.content";
    clear_field = "DELETE FROM hosted_profiles_fields_v2 WHERE subject = $1 AND field = $2";
    clear_fields = "DELETE FROM hosted_profiles_fields_v2 WHERE subject = $1";
    count_change = "INSERT INTO hosted_profiles_v2 (subject, app, registered_position, changes, filled)
        VALUES ($1, $2, $3, 1,
            CASE WHEN EXISTS (SELECT 1 FROM hosted_profiles_fields_v2 f WHERE f.subject = $1) THEN 1 ELSE 0 END)
        ON CONFLICT (subject) DO UPDATE SET changes = hosted_profiles_v2.changes + 1, filled = excluded.filled";
    mark_empty = "UPDATE hosted_profiles_v2 SET filled = 0 WHERE subject = $1";
    start_over = "UPDATE hosted_profiles_v2 SET filled = 0, changes = 0 WHERE subject = $1";
    forget = "DELETE FROM hosted_profiles_v2 WHERE subject = $1";
}

projection! {
    /// The hosted profile of each user.
    HostedProfiles: "hosted_profiles" version 2, tables ["hosted_profiles_v2", "hosted_profiles_fields_v2"],
        remains queries::REMAINS;
    reads(entry, changes) {
        user::Registered(e) => changes.push(register, [e.subject.into(), entry.app(), entry.position()]),
        user::ProfileSet(e) => set_profile(e, entry, changes),
        user::ProfileCleaned(e) => {
            changes.push(clear_fields, [e.subject.into()]);
            changes.push(mark_empty, [e.subject.into()]);
        },
        user::Deactivated(e) => {
            changes.push(clear_fields, [e.subject.into()]);
            changes.push(start_over, [e.subject.into()]);
        },
        user::Forgotten(e) => {
            changes.push(clear_fields, [e.subject.into()]);
            changes.push(forget, [e.subject.into()]);
        },
        erasure::Scrubbed(e) => if e.classes.contains(&Class::Profile) {
            changes.push(clear_fields, [e.subject.into()]);
            changes.push(mark_empty, [e.subject.into()]);
        },
    }
}

fn set_profile(e: &user::ProfileSet, entry: &Entry<'_>, changes: &mut Changes) {
    for (field, value) in &e.fields {
        // A value whose ciphertext is gone was erased: the field has no value any more.
        match entry.recorded.stored(&format!("fields.{}", field.0), value) {
            Some(content) => changes.push(set_field, [e.subject.into(), field.into(), content.into()]),
            None => changes.push(clear_field, [e.subject.into(), field.into()]),
        }
    }
    for field in &e.cleared {
        changes.push(clear_field, [e.subject.into(), field.into()]);
    }
    changes.push(count_change, [e.subject.into(), entry.app(), entry.position()]);
}
