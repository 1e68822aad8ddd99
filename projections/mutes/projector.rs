//! What events change about mutes.

use rollcall_schemas::ids::SubjectRef;

use super::queries;
use crate::{Changes, Entry, projection, statements};

statements! {
    mute = "INSERT INTO mutes_v2 (subject, app, muted_position) VALUES ($1, $2, $3)";
    count_in = "INSERT INTO mutes_count_v2 (app, users) VALUES ($1, 1)
        ON CONFLICT (app) DO UPDATE SET users = mutes_count_v2.users + 1";
    count_out = "UPDATE mutes_count_v2 SET users = users - 1
        WHERE app = $1 AND EXISTS (SELECT 1 FROM mutes_v2 WHERE subject = $2)";
    unmute = "DELETE FROM mutes_v2 WHERE subject = $1";
}

projection! {
    /// The users who may not send direct messages.
    Mutes: "mutes" version 2, tables ["mutes_v2", "mutes_count_v2"];
    reads(entry, changes) {
        user::DirectMessagesMuted(e) => {
            changes.push(mute, [e.subject.into(), entry.app(), entry.position()]);
            changes.push(count_in, [entry.app()]);
        },
        user::DirectMessagesUnmuted(e) => end(e.subject, entry, changes),
        user::Deactivated(e) => end(e.subject, entry, changes),
        user::Forgotten(e) => end(e.subject, entry, changes),
    }
}

fn end(subject: SubjectRef, entry: &Entry<'_>, changes: &mut Changes) {
    changes.push(count_out, [entry.app(), subject.into()]);
    changes.push(unmute, [subject.into()]);
}
