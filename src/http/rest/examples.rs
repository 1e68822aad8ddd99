//! Examples of the document: the body of each operation that takes one, and parameters of paths. `tests/it/documents.rs` holds
//! them against their schemas.

use serde_json::{Value, json};

const TIME: &str = "2027-01-01T00:00:00Z";

/// A parameter of a path; `None`: only the service knows one.
pub(super) fn of_parameter(path: &str, name: &str) -> Option<Value> {
    let is_of_user = path.starts_with("users/{id}") && name == "id";
    match name {
        _ if is_of_user => Some("ada".into()),
        "target" | "other" => Some("bob".into()),
        "group_id" => Some("1".into()),
        _ => None,
    }
}

/// The body of an operation.
pub(super) fn of_body(operation: &str) -> Option<Value> {
    let body = match operation {
        "registerUser" => json!({"name": "Ada Lovelace", "portrait_uri": "https://example.com/ada.jpg"}),
        "modifyUser" => json!({"name": "Ada King"}),
        "registerUsers" => json!({"users": [{"user_id": "ada", "name": "Ada"}, {"user_id": "bob", "name": "Bob"}]}),
        "queryProfiles" => json!({"user_ids": ["ada", "bob"]}),
        "queryUsers" => json!({"user_ids": ["ada", "bob"]}),
        "issueToken" => json!({"expires_in_seconds": 86_400, "label": "a wall display", "scopes": ["read"]}),
        "introspectToken" => json!({"token": "the token of a registration"}),
        "changeApp" => json!({"token_lifetime_seconds": 2_592_000}),
        "banUser" => json!({"minutes": 60, "reason": "spam"}),
        "invalidateAllTokens" => json!({"issued_before": "2026-01-01T00:00:00Z"}),
        "resolveParked" => json!({"reason": "the event came of a defect that is mended"}),
        "muteUser" => json!({"minutes": 60}),
        "changeBlocklist" | "changeAllowlist" => json!({"user_ids": ["bob", "eve"]}),
        "setAllowlist" => json!({"enabled": true}),
        "checkBlocks" | "checkAllows" | "checkFriends" => json!({"pairs": [["ada", "bob"], ["bob", "eve"]]}),
        "changeProfile" => json!({"location": "London", "birthday": null}),
        "tagUser" => json!({"tags": ["beta", "staff"]}),
        "quietPushes" => json!({"start": "22:00:00", "minutes": 480}),
        "remarkUser" => json!({"remark": "Bob from work"}),
        "permitFriends" => json!({"permission": "approval"}),
        "befriendUser" => json!({"user_id": "bob", "text": "It is me"}),
        "describeFriend" => json!({"remark": "Bob from work"}),
        "labelFriendGroup" => json!({"label": "Family"}),
        "queryPresence" => json!({"user_ids": ["ada", "bob"]}),
        "checkAdmission" => json!({"from": "ada", "to": "bob"}),
        "requestErasure" => json!({"user_id": "ada", "scope": "forget", "due_at": TIME}),
        "placeLegalHold" => json!({"reason": "claim 4711"}),
        "receiveRequest" => json!({"user_id": "ada", "kind": "access", "due_at": TIME}),
        "refuseRequest" => json!({"reason": "The same was answered last week."}),
        "explainCommand" => json!({"command": ["befriend", "ada", "bob"]}),
        "addApiKey" => json!({"scopes": ["server", "moderator"]}),
        "registerWebhook" => json!({"url": "https://example.com/hook", "types": ["rollcall.user.*"]}),
        "changeWebhook" => json!({"enabled": false}),
        "rotateWebhookSecret" => json!({"overlap_seconds": 3_600}),
        "replayWebhook" => json!({"from": 1, "to": 1_000, "dry_run": true}),
        _ => return None,
    };
    Some(body)
}
