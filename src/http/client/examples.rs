//! Examples of the documents: the parameters of each method that needs some, apart from those that only the service knows.
//! `tests/it/documents.rs` holds them against their schemas.

use serde_json::{Value, json};

/// The parameters of a method.
pub(super) fn of(method: &str) -> Option<Value> {
    let params = match method {
        "connect" => json!({"token": "the token of a registration", "platform": "web", "since": 4_711}),
        "me.update" => json!({"name": "Ada", "profile": {"location": "London", "birthday": null}}),
        "me.set_visibility" => json!({"visibility": "friends"}),
        "me.set_friend_permission" => json!({"permission": "approval"}),
        "me.set_allowlist" => json!({"enabled": true}),
        "users.query" | "friends.check" => json!({"user_ids": ["bob", "eve"]}),
        "friends.list" => json!({"limit": 50, "order": "newest"}),
        "friends.add" => json!({"user_id": "bob", "text": "It is me"}),
        "friends.update" => json!({"user_id": "bob", "remark": "Bob from work"}),
        "friend_requests.list" => json!({"direction": "received", "state": "pending"}),
        "subscriptions.add" => json!({"user_ids": ["bob"], "seconds": 3_600, "type": "presence"}),
        "subscriptions.remove" => json!({"user_ids": ["bob"]}),
        "changes.get" => json!({"since": 4_711}),
        "friend_groups.get" | "friend_groups.remove" => json!({"group_id": 1}),
        "friend_groups.set" => json!({"group_id": 1, "label": "Family"}),
        "friend_groups.add_friend" | "friend_groups.remove_friend" => json!({"group_id": 1, "user_id": "bob"}),
        "users.get" | "blocklist.add" | "blocklist.remove" | "blocklist.get" | "allowlist.add" | "allowlist.remove"
        | "allowlist.get" | "friends.get" | "friends.remove" => json!({"user_id": "bob"}),
        _ => return None,
    };
    Some(params)
}
