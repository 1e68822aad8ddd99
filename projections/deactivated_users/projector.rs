//! What events change among the deactivated users.

use rollcall_schemas::ids::{OperationId, SubjectRef};

use super::queries;
use crate::{Changes, Entry, projection, statements};

statements! {
    deactivate = "INSERT INTO deactivated_users_v2
            (subject, app, deactivated_at, deactivated_position, operation, restricted)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (subject) DO UPDATE SET deactivated_at = excluded.deactivated_at, restricted = excluded.restricted";
    end_deactivation = "DELETE FROM deactivated_users_v2 WHERE subject = $1";
}

projection! {
    /// The deactivated and the restricted users.
    DeactivatedUsers: "deactivated_users" version 2, tables ["deactivated_users_v2"];
    reads(entry, changes) {
        user::Deactivated(e) => add(e.subject, &e.operation, false, entry, changes),
        user::Restricted(e) => add(e.subject, &e.operation, true, entry, changes),
        user::Restored(e) => changes.push(end_deactivation, [e.subject.into()]),
        user::Reactivated(e) => changes.push(end_deactivation, [e.subject.into()]),
        user::Forgotten(e) => changes.push(end_deactivation, [e.subject.into()]),
    }
}

fn add(subject: SubjectRef, operation: &OperationId, restricted: bool, entry: &Entry<'_>, changes: &mut Changes) {
    let (operation, restricted) = (operation.0.as_str().into(), u32::from(restricted).into());
    changes.push(deactivate, [subject.into(), entry.app(), entry.at(), entry.position(), operation, restricted]);
}
