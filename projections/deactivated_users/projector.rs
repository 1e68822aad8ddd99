//! What events change among the deactivated users.

use rollcall_schemas::ids::{OperationId, SubjectRef};

use super::queries;
use crate::{Changes, Entry, projection, statements};

statements! {
    deactivate = "INSERT INTO deactivated_users_v1
            (subject, app, deactivated_at, deactivated_position, operation, restricted)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (subject) DO UPDATE SET deactivated_at = excluded.deactivated_at, restricted = excluded.restricted";
    count_in = "INSERT INTO deactivated_users_count_v1 (app, users)
        SELECT $1, 1 WHERE NOT EXISTS (SELECT 1 FROM deactivated_users_v1 WHERE subject = $2)
        ON CONFLICT (app) DO UPDATE SET users = deactivated_users_count_v1.users + 1";
    count_out = "UPDATE deactivated_users_count_v1 SET users = users - 1
        WHERE app = $1 AND EXISTS (SELECT 1 FROM deactivated_users_v1 WHERE subject = $2)";
    end_deactivation = "DELETE FROM deactivated_users_v1 WHERE subject = $1";
}

projection! {
    /// The deactivated and the restricted users.
    DeactivatedUsers: "deactivated_users" version 1, tables ["deactivated_users_v1", "deactivated_users_count_v1"];
    reads(entry, changes) {
        user::Deactivated(e) => add(e.subject, &e.operation, false, entry, changes),
        user::Restricted(e) => add(e.subject, &e.operation, true, entry, changes),
        user::Restored(e) => remove(e.subject, entry, changes),
        user::Reactivated(e) => remove(e.subject, entry, changes),
        user::Forgotten(e) => remove(e.subject, entry, changes),
    }
}

fn add(subject: SubjectRef, operation: &OperationId, restricted: bool, entry: &Entry<'_>, changes: &mut Changes) {
    let (operation, restricted) = (operation.0.as_str().into(), u32::from(restricted).into());
    changes.push(count_in, [entry.app(), subject.into()]);
    changes.push(deactivate, [subject.into(), entry.app(), entry.at(), entry.position(), operation, restricted]);
}

fn remove(subject: SubjectRef, entry: &Entry<'_>, changes: &mut Changes) {
    changes.push(count_out, [entry.app(), subject.into()]);
    changes.push(end_deactivation, [subject.into()]);
}
