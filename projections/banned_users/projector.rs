//! What events change among the bans.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::personal::{Class, Personal};

use super::queries::{self, Ending, NEVER};
use crate::{Changes, Entry, Value, projection, statements};

statements! {
    /// A replaced ban keeps when the user was first banned.
    ban_user = "INSERT INTO banned_users_v4 (subject, app, banned_at, starts_at, until_at, acts_at, begins_at, reason, note,
            actor, correlation, set_at, imposed_position)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
        ON CONFLICT (subject) DO UPDATE SET starts_at = excluded.starts_at, until_at = excluded.until_at,
            acts_at = excluded.acts_at, begins_at = excluded.begins_at, reason = excluded.reason, note = excluded.note, actor = excluded.actor,
            correlation = excluded.correlation, set_at = excluded.set_at, imposed_position = excluded.imposed_position";
    begin_ban = "UPDATE banned_users_v4 SET acts_at = until_at, begins_at = NULL WHERE subject = $1";
    end_ban = "DELETE FROM banned_users_v4 WHERE subject = $1";
    /// Earlier versions recorded a ban after one that had run out without saying that it had.
    keep_superseded = "INSERT INTO banned_users_ended_v4 (subject, app, banned_at, starts_at, until_at, reason, note, actor,
            correlation, set_at, imposed_position, ended_at, ended_by, ending, ended_position)
        SELECT subject, app, banned_at, starts_at, until_at, reason, note, actor, correlation, set_at, imposed_position,
            CASE WHEN until_at <= CAST($1 AS BIGINT) THEN until_at ELSE CAST($1 AS BIGINT) END,
            CASE WHEN until_at <= CAST($1 AS BIGINT) THEN 'system' ELSE CAST($2 AS TEXT) END,
            CASE WHEN until_at <= CAST($1 AS BIGINT) THEN 'expired' ELSE 'replaced' END, CAST($3 AS BIGINT)
        FROM banned_users_v4 WHERE subject = $4";
    keep_ended = "INSERT INTO banned_users_ended_v4 (subject, app, banned_at, starts_at, until_at, reason, note, actor,
            correlation, set_at, imposed_position, ended_at, ended_by, ending, ended_position)
        SELECT subject, app, banned_at, starts_at, until_at, reason, note, actor, correlation, set_at, imposed_position,
            CAST($1 AS BIGINT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS BIGINT)
        FROM banned_users_v4 WHERE subject = $5";
    scrub_words = "UPDATE banned_users_v4 SET reason = NULL, note = NULL WHERE subject = $1";
    scrub_ended_words = "UPDATE banned_users_ended_v4 SET reason = NULL, note = NULL WHERE subject = $1";
    forget_ended = "DELETE FROM banned_users_ended_v4 WHERE subject = $1";
}

projection! {
    /// The banned users.
    BannedUsers: "banned_users" version 4, tables ["banned_users_v4", "banned_users_ended_v4"], remains queries::REMAINS;
    reads(entry, changes) {
        ban::Imposed(e) => {
            let order = Order { starts_at: None, ends_at: Some(e.until), reason: e.reason.as_ref(), note: None };
            ban(e.subject, order, false, entry, changes);
        },
        ban::ImposedV2(e) => {
            let order = Order { starts_at: None, ends_at: e.ends_at, reason: e.reason.as_ref(), note: e.note.as_ref() };
            ban(e.subject, order, false, entry, changes);
        },
        ban::Replaced(e) => {
            let order = Order { starts_at: None, ends_at: Some(e.until), reason: e.reason.as_ref(), note: None };
            ban(e.subject, order, true, entry, changes);
        },
        ban::ReplacedV2(e) => {
            let order = Order { starts_at: None, ends_at: e.ends_at, reason: e.reason.as_ref(), note: e.note.as_ref() };
            ban(e.subject, order, true, entry, changes);
        },
        ban::Scheduled(e) => {
            let (starts_at, reason, note) = (Some(e.starts_at), e.reason.as_ref(), e.note.as_ref());
            ban(e.subject, Order { starts_at, ends_at: e.ends_at, reason, note }, false, entry, changes);
        },
        ban::Started(e) => changes.push(begin_ban, [e.subject.into()]),
        ban::Cancelled(e) => end(e.subject, Ending::Cancelled, entry.recorded.recorded_at, entry, changes),
        ban::Lifted(e) => end(e.subject, Ending::Lifted, entry.recorded.recorded_at, entry, changes),
        ban::Expired(e) => end(e.subject, Ending::Expired, e.until, entry, changes),
        user::Forgotten(e) => {
            changes.push(end_ban, [e.subject.into()]);
            changes.push(forget_ended, [e.subject.into()]);
        },
        erasure::Scrubbed(e) => if e.classes.contains(&Class::Moderation) {
            changes.push(scrub_words, [e.subject.into()]);
            changes.push(scrub_ended_words, [e.subject.into()]);
        },
    }
}

/// What a moderator ordered.
struct Order<'e> {
    /// `None`: the ban begins when it is recorded.
    starts_at: Option<DateTime<Utc>>,
    ends_at: Option<DateTime<Utc>>,
    reason: Option<&'e Personal<String>>,
    note: Option<&'e Personal<String>>,
}

fn actor(entry: &Entry<'_>) -> Value {
    Value::Text(entry.recorded.metadata.actor.to_string())
}

fn ban(subject: SubjectRef, order: Order<'_>, continues: bool, entry: &Entry<'_>, changes: &mut Changes) {
    changes.push(keep_superseded, [entry.at(), actor(entry), entry.position(), subject.into()]);
    if !continues {
        changes.push(end_ban, [subject.into()]);
    }
    let starts_at = order.starts_at.map_or_else(|| entry.at(), Value::from);
    let until_at = order.ends_at.map_or(Value::Int(NEVER), Value::from);
    let acts_at = order.starts_at.map_or_else(|| until_at.clone(), Value::from);
    let stored =
        |path, value: Option<&Personal<String>>| value.and_then(|value| entry.recorded.stored(path, value)).into();
    changes.push(
        ban_user,
        [
            subject.into(),
            entry.app(),
            starts_at.clone(),
            starts_at,
            until_at,
            acts_at,
            order.starts_at.into(),
            stored("reason", order.reason),
            stored("note", order.note),
            actor(entry),
            entry.recorded.metadata.correlation.into(),
            entry.at(),
            entry.position(),
        ],
    );
}

fn end(subject: SubjectRef, ending: Ending, at: DateTime<Utc>, entry: &Entry<'_>, changes: &mut Changes) {
    let by = if ending == Ending::Expired { Value::Text("system".into()) } else { actor(entry) };
    changes.push(keep_ended, [at.into(), by, ending.as_str().into(), entry.position(), subject.into()]);
    changes.push(end_ban, [subject.into()]);
}
