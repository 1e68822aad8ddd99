//! Exports of other services, with all that they say of a user, become users and nothing more.

use serde_json::{Value, json};

use crate::support::{App, Service, rollcall};

const APP: App = App::PRODUCTION;

fn said(data: &std::path::Path, args: &[&str]) -> String {
    let output = rollcall(args, data);
    assert!(matches!(output.status.code(), Some(0 | 3)), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_whole_export_is_read_and_whoever_is_no_person_or_is_banned_there_stays_out() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    Service::start_in(&data, &[APP]).stop();
    for (from, file, expected) in [
        ("firebase", "firebase.json", "2 records imported, 0 left as they are, 1 refused"),
        ("auth0", "auth0.jsonl", "2 records imported, 0 left as they are, 1 refused"),
        ("keycloak", "keycloak.json", "1 records imported, 1 left as they are, 1 refused"),
        ("stream", "stream.jsonl", "3 records imported, 2 left as they are, 1 refused"),
        ("rongcloud", "rongcloud.json", "2 records imported, 0 left as they are, 1 refused"),
    ] {
        let path = dir.path().join(file);
        let export = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/exports").join(file);
        std::fs::copy(export, &path).unwrap();
        let path = path.to_str().unwrap();
        let would = said(&data, &["import", "users", path, "--from", from, "--dry-run"]);
        let did = said(&data, &["import", "users", path, "--from", from]);
        assert!(did.starts_with(expected), "{from}: {did}");
        let count =
            |text: &str| text.split(' ').filter_map(|word| word.parse::<u32>().ok()).take(3).collect::<Vec<_>>();
        assert_eq!(count(&would), count(&did), "{from}: {would}");
    }
    let exported = said(&data, &["export", "users"]);
    let mut users: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    users.sort_by_key(|user| user["name"].to_string());
    let user = |id: &str, name: &str, portrait: Option<&str>| {
        let mut user = json!({"user_id": id, "name": name});
        if let Some(portrait) = portrait {
            user["portrait_uri"] = json!(portrait);
        }
        user
    };
    let expected = [
        user("9fTzQmV0aHhZ2bQ7kLw3pNc5uJe2", "9fTzQmV0aHhZ2bQ7kLw3pNc5uJe2", None),
        user("4Wb1tPGLXrZxkyd4vm5kfd2jT6r1", "Ada Lovelace", Some("https://lh3.example.com/a/ada=s96-c")),
        user("auth0=507f1f77bcf86cd799439011", "Bob Stone", Some("https://s.gravatar.example/avatar/bob?s=480&r=pg")),
        user("google-oauth2=109876543210987654321", "Eve Moor", None),
        user("joe", "Joe Hill", Some("https://cdn.example.org/joe.png")),
        user("8c4a7c1e-0b0e-4b7e-9a3e-1d2c3b4a5f60", "Kim Berg", Some("https://cdn.example.org/kim.png")),
        user("rc1", "Lin", Some("https://cdn.example.org/lin.png")),
        user("max", "Max", None),
        user("rc2", "Mei", None),
        user("zoe", "Zoe", Some("https://cdn.example.org/zoe.png")),
    ];
    assert_eq!(users, expected);
}

#[test]
fn the_friend_graph_that_the_documentation_shows_is_made_and_imported() {
    let page = include_str!("../../docs/moving-data.md");
    let section = page.split("## A friend graph to try with").nth(1).unwrap();
    let program = section.split("```").nth(1).unwrap().split_once('\n').unwrap().1;
    let program = program.replace("100000 ", "1000 ").replace("1000000 ", "2000 ").replace("99999", "999");
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    Service::start_in(&data, &[APP]).stop();
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_rollcall")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let output = std::process::Command::new("bash")
        .args(["-e", "-c", &program])
        .current_dir(&dir)
        .envs([("PATH", path.as_str()), ("ROLLCALL_DATA_DIR", data.to_str().unwrap())])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said(&data, &["export", "users"]).lines().count(), 1_000);
    assert_eq!(said(&data, &["export", "friends"]).lines().count(), 2_000);
}
