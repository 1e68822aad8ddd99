//! What events change about uniqueIds.

use rollcall_schemas::personal::Class;
use rollcall_schemas::user;

use super::{FIELD, queries};
use crate::{Changes, Entry, projection, statements};

statements! {
    hold = "INSERT INTO unique_ids_v1 (subject, app, tag, since_position) VALUES ($1, $2, $3, $4)
        ON CONFLICT (subject) DO UPDATE SET tag = excluded.tag,
            since_position = CASE WHEN unique_ids_v1.tag = excluded.tag THEN unique_ids_v1.since_position
                ELSE excluded.since_position END";
    release = "DELETE FROM unique_ids_v1 WHERE subject = $1";
}

projection! {
    /// The uniqueId of each user that has one.
    UniqueIds: "unique_ids" version 1, tables ["unique_ids_v1"], remains queries::REMAINS;
    reads(entry, changes) {
        user::ProfileSet(e) => set(e, entry, changes),
        user::ProfileCleaned(e) => changes.push(release, [e.subject.into()]),
        user::Deactivated(e) => changes.push(release, [e.subject.into()]),
        user::Forgotten(e) => changes.push(release, [e.subject.into()]),
        erasure::Scrubbed(e) => if e.classes.contains(&Class::Profile) { changes.push(release, [e.subject.into()]) },
    }
}

fn set(e: &user::ProfileSet, entry: &Entry<'_>, changes: &mut Changes) {
    let names_it = e.fields.keys().chain(&e.cleared).any(|field| field.0 == FIELD);
    match entry.tag {
        Some(tag) => changes.push(hold, [e.subject.into(), entry.app(), tag.into(), entry.position()]),
        // It was taken away, or its key is destroyed: nobody finds it any more.
        None if names_it => changes.push(release, [e.subject.into()]),
        None => {}
    }
}
