//! The metadata of the log's stream: what the server may forget of it, and who may do what to it.

use serde_json::{Map, Value, json};

/// What makes the server forget entries: which are the log.
const RETENTION: [&str; 3] = ["$maxCount", "$maxAge", "$tb"];
const ACL: &str = "$acl";

/// The metadata of a stream.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Such as `$maxCount = 5`; empty: every entry is kept.
    retention: Vec<String>,
    has_acl: bool,
}

impl Metadata {
    /// Reads what was set last. What is no JSON object sets nothing, as the server sees it too.
    pub(super) fn parse(data: &[u8]) -> Self {
        let set: Map<String, Value> = serde_json::from_slice(data).unwrap_or_default();
        let retention = RETENTION.into_iter().filter_map(|name| {
            let value = set.get(name).filter(|value| !value.is_null())?;
            let keeps_all = name == "$tb" && value.as_i64() == Some(0);
            (!keeps_all).then(|| format!("{name} = {value}"))
        });
        Self { retention: retention.collect(), has_acl: set.get(ACL).is_some_and(|acl| !acl.is_null()) }
    }

    /// Whether there are rules of who may do what to the stream.
    #[must_use]
    pub fn has_acl(&self) -> bool {
        self.has_acl
    }

    /// Why the log is not safe there, and what to do; `None`: every entry is kept.
    #[must_use]
    pub fn danger(&self) -> Option<String> {
        (!self.retention.is_empty()).then(|| {
            format!(
                "the metadata of the stream in KurrentDB has {}: the server forgets entries, which are the log. Set the \
                 metadata again without $maxCount, $maxAge and $tb, before the server is scavenged; what it has forgotten \
                 is in a backup, and in the replicas of nodes (replica.db)",
                self.retention.join(", ")
            )
        })
    }
}

/// Metadata by which only this user and administrators may do anything to a stream.
pub(super) fn only_for(user: &str) -> Value {
    let these = json!([user, "$admins"]);
    let acl = json!({ "$r": these, "$w": these, "$d": these, "$mr": these, "$mw": these });
    json!({ ACL: acl })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_makes_the_server_forget_entries_is_a_danger() {
        for set in [r#"{"$maxCount":5}"#, r#"{"$maxAge":60,"$cacheControl":1}"#, r#"{"$tb":9223372036854775807}"#] {
            let danger = Metadata::parse(set.as_bytes()).danger();
            assert!(danger.is_some_and(|danger| danger.contains("without $maxCount")), "{set}");
        }
        for set in ["", "no JSON", "[]", "{}", r#"{"$maxCount":null,"$tb":0,"own":1}"#] {
            assert_eq!(Metadata::parse(set.as_bytes()).danger(), None, "{set}");
        }
    }

    #[test]
    fn a_stream_of_one_user_has_rules_and_no_retention() {
        let acl = only_for("rollcall");
        let metadata = Metadata::parse(acl.to_string().as_bytes());
        assert!(metadata.has_acl() && metadata.danger().is_none());
        assert_eq!(acl["$acl"]["$w"], json!(["rollcall", "$admins"]));
        assert_eq!(acl["$acl"]["$mw"], json!(["rollcall", "$admins"]));
        assert!(!Metadata::parse(br#"{"$acl":null}"#).has_acl());
    }
}
