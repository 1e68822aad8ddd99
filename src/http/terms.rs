//! What the names of parameters and members mean, for the documents of REST and of the client face. A name means the same
//! wherever it stands in a request; where it does not, it is told with the shape or the operation that it stands in.
//!
//! Lengths are in characters. What is bounded in bytes (a portrait, a tag) may have fewer where they are not ASCII.

use rollcall_schemas::import;
use rollcall_schemas::plain::{
    ApiScope, DataRequestKind, Environment, FriendPermission, LegalBasis, Plan, Requester, Scope, TokenScope,
};
use rollcall_schemas::webhook::Format;
use serde_json::{Value, json};

use super::at_most::{INT32_MAX, INT64_MAX};
use crate::audit::as_of::{self, Part};
use crate::domain::values::GROUPS_MAX;

/// No NUL, and not the sign for what was no UTF-8.
const TEXT: &str = r"^[^\u0000\uFFFD]*$";
const TIME: &str = "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?\
    (Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$";

/// The number of a friend group.
const GROUP: &str = "^([1-9][0-9]?|100)$";

/// A userId.
fn user_id() -> Value {
    json!({"type": "string", "pattern": "^[A-Za-z0-9+=_-]{1,64}$"})
}

fn users(min: u32, max: u32) -> Value {
    json!({"items": user_id(), "minItems": min, "maxItems": max})
}

fn text(min: u32, max: u32) -> Value {
    json!({"pattern": TEXT, "minLength": min, "maxLength": max})
}

/// What is counted in bytes: JSON Schema counts characters alone, so the length it tells is the most there can be.
fn bytes(min: u32, max: u32) -> Value {
    let mut told = text(min, max);
    told["description"] = format!("At most {max} bytes of UTF-8.").into();
    told
}

/// A string where the shape says nothing, or says that it may be `null` and it may not.
fn string(mut told: Value) -> Value {
    told["type"] = "string".into();
    told
}

fn number(min: u64, max: u64) -> Value {
    json!({"minimum": min, "maximum": max})
}

fn whole(min: u64, max: u64) -> Value {
    json!({"type": "integer", "minimum": min, "maximum": max})
}

fn words(words: &[&str]) -> Value {
    json!({"enum": words})
}

/// A word that cannot be left empty by `null`.
fn word(words: &[&str]) -> Value {
    json!({"type": "string", "enum": words})
}

fn moment() -> Value {
    json!({"pattern": format!("^[0-9]{{1,15}}$|{TIME}")})
}

/// A command that can be explained, in words.
fn command() -> Value {
    let verbs: Vec<_> = as_of::verbs().collect();
    let shapes = verbs.chunk_by(|(_, one), (_, other)| one == other).filter_map(|together| {
        let verbs: Vec<_> = together.iter().map(|(verb, _)| *verb).collect();
        let mut parts = vec![json!({"enum": verbs})];
        parts.extend(together.first()?.1.iter().map(|part| match part {
            Part::User => user_id(),
            Part::Field => json!({"type": "string"}),
            Part::Group => json!({"type": "string", "pattern": GROUP}),
        }));
        let length = parts.len();
        Some(json!({"type": "array", "prefixItems": parts, "items": false, "minItems": length, "maxItems": length}))
    });
    json!({"oneOf": shapes.collect::<Vec<_>>()})
}

/// What is so of `name` in the shape or the operation `place`; `None`: nothing but its type.
fn of(place: &str, name: &str) -> Option<Value> {
    in_place(place, name).or_else(|| everywhere(name))
}

/// Of a name that means something else in its place.
fn in_place(place: &str, name: &str) -> Option<Value> {
    Some(match (place, name) {
        ("Range", "from" | "to") => whole(1, INT64_MAX),
        ("diffUser", "from" | "to") => moment(),
        ("getErasure" | "cancelErasure" | "getErasureReport" | "getErasureLetter" | "getErasureCertificate", "id") => {
            json!({"format": "uuid"})
        }
        ("getRequest" | "extendRequest" | "answerRequest" | "refuseRequest", "id") => json!({"format": "uuid"}),
        (operation, "id") if operation.contains("ebhook") => json!({"format": "uuid"}),
        ("FriendPatch" | "friends.update", "remark") => text(0, 64),
        ("UserQuery" | "ProfileQuery", "user_ids") => users(0, 1_000),
        ("Quiet", "minutes") => number(1, 1_439),
        ("BanBody" | "BanBatch" | "MuteBody", "minutes") => number(1, 43_200),
        ("Resolution", "reason") => {
            json!({"pattern": r"^[^\u0000-\u001F\u007F-\u009F]*$", "minLength": 1, "maxLength": 500})
        }
        ("TokenBody", "scopes") => json!({"items": word(TokenScope::WORDS), "minItems": 1}),
        ("NewApp", "key") => json!({"pattern": "^[A-Za-z0-9_-]{1,64}$"}),
        ("NewApp", "environment") => word(Environment::WORDS),
        ("NewApp", "plan") => words(Plan::WORDS),
        // The lists of the client face, whose methods are named with a dot, are followed forward only.
        (place, "cursor") if place.contains('.') => json!({"pattern": "^[A-Za-z0-9_-]+$"}),
        // Any text may be looked for.
        ("listBans", "reason") => json!({}),
        ("listUsers", "name") => json!({"minLength": 1, "maxLength": 64}),
        ("listUsers", "prefix") => user_id(),
        ("listUsers", "registered_after") => json!({"format": "date-time"}),
        ("importRecords", "kind") => words(import::Kind::WORDS),
        ("importRecords", "dry_run") => words(&["true", "false"]),
        ("getOperation" | "undoOperation" | "getImport", "id") => json!({"format": "uuid"}),
        ("UserPatch", "name") => string(text(1, 64)),
        ("UserPatch", "portrait_uri") => string(bytes(1, 1_024)),
        ("AppPatch", "friend_permission") => word(FriendPermission::WORDS),
        ("AppPatch", "reactivation_wait_seconds" | "erasure_grace_seconds" | "erasures_per_minute_max") => {
            whole(0, INT32_MAX)
        }
        ("AppPatch", "rate_limit") => {
            json!({"type": "string", "pattern": "^(off|platform|[1-9][0-9]{0,5}|1000000)$"})
        }
        ("AppPatch", "record_reads") => json!({"type": "boolean"}),
        ("listWebhookDeliveries", "state") => words(&["waiting", "replay", "dead"]),
        ("listBans", "state") => {
            json!({"pattern": "^(running|scheduled|ended)(,(running|scheduled|ended)){0,2}$"})
        }
        ("listUsers", "state") => words(&["active", "deactivated"]),
        ("friends.check", "user_ids") => users(1, 20),
        ("users.query", "user_ids") => users(1, 100),
        ("subscriptions.add" | "subscriptions.remove", "user_ids") => users(1, 200),
        ("subscriptions.list", "limit") => whole(1, 200),
        ("friends.list" | "friend_requests.list" | "friend_groups.get", "limit") => whole(1, 100),
        (method, "group_id") if method.starts_with("friend_groups.") => whole(1, GROUPS_MAX.into()),
        ("subscriptions.list", "type") => words(&["presence", "profile"]),
        ("listEvents", "type") => json!({"pattern": "^[a-z0-9_.]+[*]?(,[a-z0-9_.]+[*]?){0,49}$"}),
        ("listEvents", "subject") => json!({"format": "uuid"}),
        _ => return None,
    })
}

/// Of a name that means the same wherever it stands.
fn everywhere(name: &str) -> Option<Value> {
    let pair = json!({"type": "array", "items": user_id(), "minItems": 2, "maxItems": 2});
    let whole_number = || json!({"pattern": "^[0-9]{1,9}$"});
    let types = || json!({"items": {"type": "string", "pattern": "^[a-z0-9_.]+[*]?$"}, "minItems": 1, "maxItems": 50});
    Some(match name {
        "id" | "target" | "other" | "user_id" | "from" | "to" => user_id(),
        "user_ids" => users(1, 1_000),
        "subjects" => json!({"items": {"type": "string", "format": "uuid"}, "maxItems": 1_000}),
        "pairs" => json!({"items": pair, "maxItems": 1_000}),
        "checks" | "users" => json!({"maxItems": 1_000}),
        "name" => text(1, 64),
        "portrait_uri" => bytes(1, 1_024),
        "remark" | "label" => text(1, 64),
        "note" => text(1, 2_000),
        "q" => json!({"minLength": 1, "maxLength": 64}),
        "reason" => text(1, 512),
        "text" => text(0, 128),
        "description" => text(0, 200),
        "tags" => json!({"items": string(bytes(1, 40)), "maxItems": 20}),
        "expires_in_seconds" => number(1, 315_360_000),
        "overlap_seconds" => number(0, 2_592_000),
        "seconds" => number(60, 2_592_000),
        "token_lifetime_seconds" => number(0, INT64_MAX),
        "level" => words_or_numbers(&[1, 5]),
        "start" => json!({"pattern": "^([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]$"}),
        "scope" => words(Scope::WORDS),
        "scopes" => json!({"items": word(ApiScope::WORDS), "minItems": 1}),
        "kind" => words(DataRequestKind::WORDS),
        "legal_basis" => word(LegalBasis::WORDS),
        // A drill is not asked for this way.
        "requester" => word(
            &Requester::WORDS.iter().copied().filter(|word| *word != Requester::Drill.as_str()).collect::<Vec<_>>(),
        ),
        "permission" => words(FriendPermission::WORDS),
        "visibility" => words(&["hidden", "all", "friends"]),
        "format" => words(Format::WORDS),
        "types" => types(),
        "url" => json!({"format": "uri", "pattern": "^https?://", "maxLength": 2_048}),
        "command" => command(),
        "at" => moment(),
        "month" => json!({"pattern": "^[0-9]{4}-(0[1-9]|1[0-2])$"}),
        "issued_before" | "due_before" => json!({"format": "date-time"}),
        "limit" => whole(1, 500),
        "page" => whole(1, 1_001),
        "wait_seconds" => whole(0, 60),
        "position" => whole(1, INT64_MAX),
        "since" => whole(0, INT64_MAX),
        "number" => whole_number(),
        "group_id" => json!({"pattern": GROUP}),
        "cursor" => json!({"pattern": "^\\.?[A-Za-z0-9_-]+$"}),
        "include" => words(&["personal"]),
        "on_conflict" => words(import::OnConflict::WORDS),
        "order" => words(&["oldest", "newest"]),
        "direction" => words(&["sent", "received"]),
        "state" => words(&["pending", "accepted", "refused", "cancelled", "expired"]),
        "Idempotency-Key" => json!({"pattern": "^[\\t -~]{1,255}$"}),
        _ => return None,
    })
}

fn words_or_numbers(numbers: &[u8]) -> Value {
    json!({"enum": numbers})
}

/// Adds to a schema what its name means. Where the schema allows `null`, the meaning does too, unless it says a type itself.
pub(super) fn describe(place: &str, name: &str, schema: &mut Value) {
    let (Some(term), Some(members)) = (of(place, name), schema.as_object_mut()) else { return };
    let is_nullable = members.get("type").and_then(Value::as_array).is_some_and(|types| types.contains(&"null".into()));
    if term.get("oneOf").is_some() {
        members.retain(|member, _| member == "description");
    }
    for (member, value) in term.as_object().into_iter().flatten() {
        members.insert(member.clone(), value.clone());
    }
    if term.get("type").is_some() && term["type"] != "integer" {
        members.remove("format").filter(|_| term.get("format").is_none());
    }
    if is_nullable
        && term.get("type").is_none()
        && let Some(Value::Array(values)) = members.get_mut("enum")
    {
        values.push(Value::Null);
    }
}

/// Adds to each member of a shape what its name means.
pub(super) fn describe_members(shape: &str, schema: &mut Value) {
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for (name, member) in properties {
            describe(shape, name, member);
        }
    }
    for parts in ["allOf", "oneOf"] {
        for part in schema.get_mut(parts).and_then(Value::as_array_mut).into_iter().flatten() {
            describe_members(shape, part);
            // One of several shapes has no members of another one.
            if parts == "oneOf" && part.get("properties").is_some() {
                part["additionalProperties"] = false.into();
            }
        }
    }
}

/// As a parameter of a query has it, which cannot be `null`.
pub(super) fn in_query(schema: &mut Value) {
    let types = schema.get("type").and_then(Value::as_array).map(|types| types.iter().find(|kind| **kind != "null"));
    if let Some(Some(kind)) = types.map(|kind| kind.cloned()) {
        schema["type"] = kind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_means_the_same_everywhere_but_where_it_is_told_with_its_place() {
        let told = |place, schema: Value| {
            let mut shape = json!({"properties": {"minutes": schema, "user_id": {"type": "string"}}});
            describe_members(place, &mut shape);
            shape["properties"].clone()
        };
        assert_eq!(told("BanBody", json!({"type": "integer"}))["minutes"]["maximum"], 43_200);
        assert_eq!(told("Quiet", json!({"type": "integer"}))["minutes"]["maximum"], 1_439);
        assert_eq!(told("Another", json!({}))["user_id"], user_id());
    }

    #[test]
    fn what_may_be_null_still_may_unless_it_has_a_type_of_its_own() {
        let told = |name| {
            let mut schema = json!({"type": ["string", "null"], "description": "x"});
            describe("NewWebhook", name, &mut schema);
            schema
        };
        assert_eq!(told("format")["enum"].as_array().and_then(|values| values.last()), Some(&Value::Null));
        assert_eq!(told("legal_basis")["type"], "string");
        let mut schema = json!({"type": ["string", "null"]});
        in_query(&mut schema);
        assert_eq!(schema["type"], "string");
    }
}
