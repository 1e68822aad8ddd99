//! What events change about mutes.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::SubjectRef;

use super::queries;
use crate::{Changes, Entry, projection, statements};

statements! {
    /// Only a user that is not muted yet is counted.
    count_in = "INSERT INTO mutes_count_v3 (app, users)
        SELECT CAST($1 AS TEXT), 1 WHERE NOT EXISTS (SELECT 1 FROM mutes_v3 WHERE subject = $2)
        ON CONFLICT (app) DO UPDATE SET users = mutes_count_v3.users + 1";
    /// A mute that got another end keeps its place in the list.
    mute = "INSERT INTO mutes_v3 (subject, app, muted_at, ends_at, muted_position, set_position)
        VALUES ($1, $2, $3, $4, $5, $5)
        ON CONFLICT (subject) DO UPDATE SET ends_at = excluded.ends_at, set_position = excluded.set_position";
    count_out = "UPDATE mutes_count_v3 SET users = users - 1
        WHERE app = $1 AND EXISTS (SELECT 1 FROM mutes_v3 WHERE subject = $2)";
    unmute = "DELETE FROM mutes_v3 WHERE subject = $1";
}

projection! {
    /// The users who may not send direct messages.
    Mutes: "mutes" version 3, tables ["mutes_v3", "mutes_count_v3"];
    reads(entry, changes) {
        user::DirectMessagesMuted(e) => begin(e.subject, None, entry, changes),
        user::DirectMessagesMutedV2(e) => begin(e.subject, e.ends_at, entry, changes),
        user::DirectMessagesUnmuted(e) => end(e.subject, entry, changes),
        user::DirectMessagesMuteExpired(e) => end(e.subject, entry, changes),
        user::Deactivated(e) => end(e.subject, entry, changes),
        user::Forgotten(e) => end(e.subject, entry, changes),
    }
}

fn begin(subject: SubjectRef, ends_at: Option<DateTime<Utc>>, entry: &Entry<'_>, changes: &mut Changes) {
    changes.push(count_in, [entry.app(), subject.into()]);
    changes.push(mute, [subject.into(), entry.app(), entry.at(), ends_at.into(), entry.position()]);
}

fn end(subject: SubjectRef, entry: &Entry<'_>, changes: &mut Changes) {
    changes.push(count_out, [entry.app(), subject.into()]);
    changes.push(unmute, [subject.into()]);
}
