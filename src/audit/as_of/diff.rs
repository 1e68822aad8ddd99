//! What changed about a user between two moments.

use std::collections::BTreeMap;

use rollcall_schemas::ids::{AppId, SubjectRef};
use serde::Serialize;
use serde_json::Value;

use super::error::Error;
use super::past::Past;
use super::shown::Shown;
use super::user::{UserAt, user_at};
use super::when::Moment;

/// What changed about a user between two moments.
#[derive(Debug, Clone, Serialize)]
pub struct Diff {
    /// The user.
    pub subject: SubjectRef,
    /// The earlier side of the comparison.
    pub from: Moment,
    /// The later side of the comparison.
    pub to: Moment,
    /// Every field that differs, by name. What was erased since is equal at both moments: nobody can tell.
    pub changes: Vec<Change>,
}

/// A field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its name, such as `name`, `profile.email` or `friends.<subject>`.
    pub field: String,
    /// What it was at the one moment; absent: nothing.
    pub before: Option<Shown<Value>>,
    /// What it was at the other.
    pub after: Option<Shown<Value>>,
}

/// What changed about a user from one moment to another, in the order of the fields' names.
///
/// # Errors
/// A part is unavailable, or an event of the user cannot be decoded.
pub async fn diff(past: Past<'_>, app: &AppId, subject: SubjectRef, from: Moment, to: Moment) -> Result<Diff, Error> {
    let mut before = fields(user_at(past, app, subject, from).await?.view)?;
    let mut changes = Vec::new();
    for (field, after) in fields(user_at(past, app, subject, to).await?.view)? {
        let before = before.remove(&field);
        if before.as_ref() != Some(&after) {
            changes.push(Change { field, before, after: Some(after) });
        }
    }
    changes.extend(before.into_iter().map(|(field, before)| Change { field, before: Some(before), after: None }));
    changes.sort_by(|a, b| a.field.cmp(&b.field));
    Ok(Diff { subject, from, to, changes })
}

/// Each field that has a value, by its name; names of one list share a prefix, so that its entries sort together.
fn fields(user: UserAt) -> Result<BTreeMap<String, Shown<Value>>, Error> {
    let mut fields = BTreeMap::new();
    let mut put = |field: String, value: Shown<Value>| drop(fields.insert(field, value));
    let text = |text: Shown<String>| text.map(Value::String);
    put("status".into(), plain(user.status)?);
    put("held".into(), plain(user.held)?);
    put("epoch".into(), plain(user.epoch)?);
    put("muted".into(), plain(user.muted)?);
    put("allowlist_enabled".into(), plain(user.allowlist_enabled)?);
    put("tokens_issued".into(), plain(user.tokens_issued)?);
    for (field, value) in [("user_id", user.user_id), ("name", user.name), ("portrait", user.portrait)] {
        value.into_iter().for_each(|value| put(field.into(), text(value)));
    }
    for (field, at) in [
        ("registered_at", user.registered_at),
        ("deactivated_at", user.deactivated_at),
        ("tokens_invalid_before", user.tokens_invalid_before),
        ("muted_until", user.muted_until),
        ("ban.banned_at", user.ban.as_ref().map(|ban| ban.banned_at)),
        ("ban.until", user.ban.as_ref().and_then(|ban| ban.until)),
    ] {
        if let Some(at) = at {
            put(field.into(), plain(at)?);
        }
    }
    let words = user.ban.map(|ban| [("ban.reason", ban.reason), ("ban.note", ban.note)]);
    for (field, value) in words.into_iter().flatten() {
        value.into_iter().for_each(|value| put(field.into(), text(value)));
    }
    if let Some(tags) = user.tags {
        put("tags".into(), tags.map(Value::from));
    }
    if let Some(hours) = user.quiet_hours {
        put("quiet_hours".into(), plain(hours)?);
    }
    if let Some(permission) = user.friend_permission {
        put("friend_permission".into(), plain(permission)?);
    }
    if let Some(visibility) = user.visibility {
        put("visibility".into(), plain(visibility)?);
    }
    for (field, value) in user.profile {
        put(format!("profile.{field}"), value);
    }
    for (list, entries) in [("blocklist", user.blocklist), ("allowlist", user.allowlist)] {
        entries.into_iter().for_each(|other| put(format!("{list}.{}", other.subject), text(other.user_id)));
    }
    for group in user.friend_groups {
        let name = format!("friend_groups.{}", group.group_id);
        for friend in group.friends {
            put(format!("{name}.{}", friend.subject), text(friend.user_id));
        }
        put(name, text(group.label));
    }
    for friend in user.friends {
        put(format!("friends.{}", friend.subject), text(friend.user_id));
    }
    Ok(fields)
}

fn plain(value: impl Serialize) -> Result<Shown<Value>, Error> {
    serde_json::to_value(value).map(Shown::Present).map_err(|error| Error::Value(error.to_string()))
}
