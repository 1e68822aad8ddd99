//! The faces over HTTP, as a back end meets them.

use chrono::NaiveDateTime;
use serde_json::Value;

use crate::support::{App, Reply, Service};

mod callback;
mod feed;
mod hostile;
mod hostile_connections;
mod hostile_memory;
mod metrics;
mod recorded_reads;
mod rest;
mod rest_admission;
mod rest_bans;
mod rest_credentials;
mod rest_drills;
mod rest_estate;
mod rest_friend_groups;
mod rest_friends;
mod rest_graph;
mod rest_imports;
mod rest_mutes;
mod rest_operating;
mod rest_operations;
mod rest_paging;
mod rest_profiles;
mod rest_scopes;
mod rest_search;
mod rest_tokens;
mod rest_unique_ids;
mod rest_users;
mod rest_versions;
mod server_v1_bans;
mod server_v1_deactivation;
mod server_v1_friends;
mod server_v1_info;
mod server_v1_lists;
mod server_v1_profiles;
mod server_v1_registration;
mod server_v1_settings;
mod server_v1_signature;
mod server_v1_strict;
mod server_v1_tags;
mod server_v4;
mod two_generations;

/// The answer of everything that has nothing to tell.
const DONE: &str = r#"{"code":200}"#;

/// `n` parameters of one name, with values `prefix0`, `prefix1` and so on.
fn repeated(name: &str, prefix: &str, n: usize) -> String {
    (0..n).map(|i| format!("{name}={prefix}{i}")).collect::<Vec<_>>().join("&")
}

/// A signed form, written out.
#[track_caller]
fn form(service: &Service, app: App, path: &str, body: &str) -> Reply {
    service.send(app, path, "application/x-www-form-urlencoded", body.as_bytes())
}

/// A time as the platform writes it.
#[track_caller]
fn time(value: &Value) -> NaiveDateTime {
    let text = value.as_str().unwrap_or_else(|| panic!("no text: {value}"));
    assert_eq!(text.len(), 19, "{text}");
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S").unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// The time an answer says it was made at, which is in GMT.
fn date(reply: &Reply) -> NaiveDateTime {
    NaiveDateTime::parse_from_str(reply.header("date").unwrap(), "%a, %d %b %Y %H:%M:%S GMT").unwrap()
}

/// A service that runs eight hours east of Greenwich.
fn start_in_beijing(apps: &[App]) -> (Service, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::try_start(&dir.path().join("data"), apps, &["env", "TZ=CST-8"]).unwrap();
    (service, dir)
}

/// The userIds in `users`, which are texts or objects.
#[track_caller]
fn users(reply: Reply) -> Vec<String> {
    let json = reply.ok().json();
    let users = json["users"].as_array().unwrap_or_else(|| panic!("no users: {json}"));
    users.iter().map(|user| user.as_str().or(user["userId"].as_str()).unwrap().to_owned()).collect()
}
