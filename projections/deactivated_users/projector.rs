//! What events change among the deactivated users.

use rollcall_schemas::ids::{ErasureId, OperationId, SubjectRef};

use super::queries;
use crate::{Changes, Entry, Value, projection, statements};

statements! {
    deactivate = "INSERT INTO deactivated_users_v3
            (subject, app, deactivated_at, deactivated_position, operation, restricted, erasure, actor)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
        ON CONFLICT (subject) DO UPDATE SET deactivated_at = excluded.deactivated_at, restricted = excluded.restricted";
    end_deactivation = "DELETE FROM deactivated_users_v3 WHERE subject = $1";
}

projection! {
    /// The deactivated and the restricted users.
    DeactivatedUsers: "deactivated_users" version 3, tables ["deactivated_users_v3"];
    reads(entry, changes) {
        user::Deactivated(e) => add(e.subject, (e.erasure, &e.operation), false, entry, changes),
        user::Restricted(e) => add(e.subject, (e.erasure, &e.operation), true, entry, changes),
        user::Restored(e) => changes.push(end_deactivation, [e.subject.into()]),
        user::Reactivated(e) => changes.push(end_deactivation, [e.subject.into()]),
        user::Forgotten(e) => changes.push(end_deactivation, [e.subject.into()]),
    }
}

fn add(
    subject: SubjectRef,
    (erasure, operation): (ErasureId, &OperationId),
    restricted: bool,
    entry: &Entry<'_>,
    changes: &mut Changes,
) {
    let (operation, restricted) = (operation.0.as_str().into(), u32::from(restricted).into());
    let actor = Value::Text(entry.recorded.metadata.actor.to_string());
    changes.push(
        deactivate,
        [subject.into(), entry.app(), entry.at(), entry.position(), operation, restricted, erasure.into(), actor],
    );
}
