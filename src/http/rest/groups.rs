//! The groups of the document: what a reader looks for together.

/// A group, and the words of a path that put it there. The first group with a word of the path is the one.
const GROUPS: &[(&str, &[&str])] = &[
    ("The past", &["history", "as-of", "diff", "explain", "audit"]),
    ("Bans and mutes", &["ban", "bans", "unbans", "mute", "mutes"]),
    ("Friends", &["friends", "friend-requests", "friend-permission", "friend-groups"]),
    (
        "Blocklists and allowlists",
        &["blocklist", "allowlist", "allowlist-setting", "blocks", "allows", "blocked-by", "allowed-by"],
    ),
    ("Profiles", &["profile", "profiles", "tags", "remarks", "push-quiet-hours"]),
    ("Access tokens", &["tokens"]),
    ("Messages and presence", &["messages", "presence"]),
    (
        "Erasure and compliance",
        &[
            "erasures",
            "erasure-preview",
            "legal-hold",
            "export",
            "compliance",
            "deactivation",
            "deactivations",
            "reactivation",
            "deactivated-users",
        ],
    ),
    ("Events and webhooks", &["events", "webhooks"]),
    ("Apps and keys", &["app", "apps", "api-keys"]),
    ("Users", &["users", "imports"]),
];
/// The group of what has no other.
const OTHERS: &str = "Operating";

/// The group of an endpoint.
pub(super) fn of(path: &str) -> &'static str {
    let has_word_of = |words: &[&str]| path.split('/').any(|word| words.contains(&word));
    GROUPS.iter().find(|(_, words)| has_word_of(words)).map_or(OTHERS, |(group, _)| group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_in_the_group_that_its_path_speaks_of() {
        assert_eq!(of("users/{id}"), "Users");
        assert_eq!(of("users/{id}/ban"), "Bans and mutes");
        assert_eq!(of("users/{id}/friends/as-of"), "The past");
        assert_eq!(of("read-models"), "Operating");
    }
}
