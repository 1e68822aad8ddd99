//! Users as other services export them. Only what a user is called by is taken over, no address and no password.

use clap::ValueEnum;
use serde_json::{Map, Value, json};

/// Where an export comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Foreign {
    /// Firebase Authentication: `firebase auth:export users.json`
    Firebase,
    /// Auth0: a user export (JSON Lines), or a file of its bulk import. `auth0|5f7c` becomes `auth0=5f7c`, for a userId
    /// has no `|`
    Auth0,
    /// Keycloak: `kc.sh export`, a realm with its users
    Keycloak,
    /// Stream Chat: a file of its export or import, as JSON or JSON Lines
    Stream,
    /// RongCloud: users as its Server API answers them, in an array or one a line
    Rongcloud,
}

/// What an element of an export is.
pub(super) enum Converted {
    /// A record of ours.
    User(Map<String, Value>),
    /// Nothing about a user.
    Other,
    /// A user that must not be taken over as it is, and why.
    Refused(&'static str),
}

impl Foreign {
    /// Makes a record of ours.
    pub(super) fn convert(self, from: &Map<String, Value>) -> Converted {
        match self {
            Self::Firebase => match flag(from, "disabled") {
                true => Converted::Refused(DISABLED),
                false => user(
                    text(from, &["localId", "uid"]),
                    text(from, &["displayName"]),
                    text(from, &["photoUrl", "photoURL"]),
                ),
            },
            Self::Auth0 => match flag(from, "blocked") {
                true => Converted::Refused(DISABLED),
                false => {
                    let id = text(from, &["user_id", "Id", "id"]).map(|id| id.replace('|', "="));
                    user(
                        id,
                        text(from, &["name", "Name", "nickname", "Nickname", "username"]),
                        text(from, &["picture"]),
                    )
                }
            },
            // The account of a program, which an export lists among the users.
            Self::Keycloak if from.contains_key("serviceAccountClientId") => Converted::Other,
            Self::Keycloak => match from.get("enabled") {
                Some(Value::Bool(false)) => Converted::Refused(DISABLED),
                _ => user(text(from, &["id"]), full_name(from), attribute(from, "picture")),
            },
            Self::Stream => stream(from),
            Self::Rongcloud => user(
                text(from, &["userId", "id"]),
                text(from, &["userName", "name"]),
                text(from, &["userPortrait", "portraitUri", "portrait"]),
            ),
        }
    }
}

const DISABLED: &str =
    "the user is disabled or banned there; register it here and ban or deactivate it, or leave it out";

/// An element, or with `type` and `item` or `data` around it. What is no member of Stream's own stands in `custom` or beside them.
fn stream(from: &Map<String, Value>) -> Converted {
    let of = match (from.get("type").and_then(Value::as_str), from.get("item").or(from.get("data"))) {
        (Some("user"), Some(Value::Object(item))) => item,
        (Some(_), Some(_)) => return Converted::Other,
        (Some(_) | None, None) | (None, Some(_)) => from,
    };
    if flag(of, "banned") || of.get("deactivated_at").is_some_and(|at| !at.is_null()) {
        return Converted::Refused(DISABLED);
    }
    let custom = of.get("custom").and_then(Value::as_object);
    let told = |name: &str| text(of, &[name]).or_else(|| text(custom?, &[name]));
    user(text(of, &["id"]), told("name"), told("image"))
}

/// A user without a name is called by its userId.
fn user(id: Option<String>, name: Option<String>, portrait: Option<String>) -> Converted {
    let Some(id) = id else { return Converted::Refused("there is no id of a user") };
    let mut record = Map::new();
    record.insert("name".into(), json!(name.unwrap_or_else(|| id.clone())));
    record.insert("user_id".into(), json!(id));
    if let Some(portrait) = portrait {
        record.insert("portrait_uri".into(), json!(portrait));
    }
    Converted::User(record)
}

/// The first of these members that is a text and not empty.
fn text(from: &Map<String, Value>, names: &[&str]) -> Option<String> {
    names.iter().filter_map(|name| from.get(*name)?.as_str()).find(|text| !text.is_empty()).map(str::to_owned)
}

fn flag(from: &Map<String, Value>, name: &str) -> bool {
    from.get(name).and_then(Value::as_bool).unwrap_or(false)
}

fn full_name(from: &Map<String, Value>) -> Option<String> {
    let parts: Vec<_> = ["firstName", "lastName"].iter().filter_map(|name| text(from, &[name])).collect();
    if parts.is_empty() { text(from, &["username"]) } else { Some(parts.join(" ")) }
}

/// Keycloak keeps several values of each attribute.
fn attribute(from: &Map<String, Value>, name: &str) -> Option<String> {
    from.get("attributes")?.get(name)?.get(0)?.as_str().map(str::to_owned)
}
