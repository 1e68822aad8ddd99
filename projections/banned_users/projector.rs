//! What events change among the bans.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::personal::{Class, Personal};

use super::queries;
use crate::{Changes, Entry, projection, statements};

statements! {
    /// A replaced ban keeps when the user was first banned.
    ban_user = "INSERT INTO banned_users_v3 (subject, app, banned_at, until_at, reason, imposed_position)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (subject) DO UPDATE SET until_at = excluded.until_at, reason = excluded.reason,
            imposed_position = excluded.imposed_position";
    end_ban = "DELETE FROM banned_users_v3 WHERE subject = $1";
    scrub_reason = "UPDATE banned_users_v3 SET reason = NULL WHERE subject = $1";
}

projection! {
    /// The banned users.
    BannedUsers: "banned_users" version 3, tables ["banned_users_v3"], remains queries::REMAINS;
    reads(entry, changes) {
        ban::Imposed(e) => ban(e.subject, e.until, e.reason.as_ref(), entry, changes),
        ban::Replaced(e) => ban(e.subject, e.until, e.reason.as_ref(), entry, changes),
        ban::Lifted(e) => changes.push(end_ban, [e.subject.into()]),
        ban::Expired(e) => changes.push(end_ban, [e.subject.into()]),
        user::Forgotten(e) => changes.push(end_ban, [e.subject.into()]),
        erasure::Scrubbed(e) => if e.classes.contains(&Class::Moderation) {
            changes.push(scrub_reason, [e.subject.into()]);
        },
    }
}

fn ban(
    subject: SubjectRef,
    until: DateTime<Utc>,
    reason: Option<&Personal<String>>,
    entry: &Entry<'_>,
    changes: &mut Changes,
) {
    let reason = reason.and_then(|reason| entry.recorded.stored("reason", reason));
    let (at, position) = (entry.at(), entry.position());
    changes.push(ban_user, [subject.into(), entry.app(), at, until.into(), reason.into(), position]);
}
