//! The past of a stopped data directory, asked with the binary.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};

use super::{one_sentence, path, rollcall, text};
use crate::support::{App, Service};

const APP: App = App::PRODUCTION;

/// Every file below a directory, by its path there, with its bytes.
fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in dir.read_dir().unwrap().map(Result::unwrap) {
        let (path, name) = (entry.path(), PathBuf::from(entry.file_name()));
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(below, bytes)| (name.join(below), bytes)));
        } else {
            found.insert(name, std::fs::read(path).unwrap());
        }
    }
    found
}

fn replay(data: &Path, args: &[&str]) -> Output {
    rollcall(&["replay", "--data-dir", path(data)]).args(args).output().unwrap()
}

#[track_caller]
fn answer(data: &Path, args: &[&str]) -> Value {
    let output = replay(data, args);
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Ada, who blocks Bob and bans him, in a service that was killed: its last events stand in the write-ahead log.
fn killed() -> Service {
    let mut service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob"]);
    service.post(APP, "/user/blacklist/add.json", &[("userId", "ada"), ("blackUserId", "bob")]).ok();
    service.post(APP, "/user/block.json", &[("userId", "bob"), ("minute", "60")]).ok();
    service.kill();
    service
}

fn query(what: &str) -> String {
    let (what, rest) = what.split_once(' ').unwrap_or((what, ""));
    format!("{what} {} {rest}", APP.key)
}

/// The position of the first event with this name in a user's history.
fn position(data: &Path, user: &str, event: &str) -> u64 {
    let history = answer(data, &["--query", &query(&format!("history {user}"))]);
    let found = history["events"].as_array().unwrap().iter().find(|found| found["event"] == json!(event));
    found.unwrap_or_else(|| panic!("no {event} in {history}"))["position"].as_u64().unwrap()
}

#[test]
fn every_query_answers_the_same_bytes_again_and_writes_nothing_to_the_directory() {
    let service = killed();
    let before = files(service.data());
    for what in ["user ada", "friends ada", "blocks ada", "history bob", "diff ada", "bans", "deactivated"] {
        let first = replay(service.data(), &["--query", &query(what)]);
        assert!(first.status.success(), "{what}: {}", text(&first.stderr));
        let answer: Value = serde_json::from_slice(&first.stdout).unwrap();
        assert!(answer.is_object(), "{what}");
        assert_eq!(first.stdout, replay(service.data(), &["--query", &query(what)]).stdout, "{what}");
        assert!(text(&first.stderr).contains("events"), "{what}: progress is told: {}", text(&first.stderr));
    }
    let after = files(service.data());
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    assert!(before == after, "a file of the directory was changed");
}

#[test]
fn a_moment_is_a_position_or_a_time_and_shows_what_was_there_then() {
    let service = killed();
    let data = service.data();
    let blocked = position(data, "ada", "blocklist.blocked");
    let (before, at) = ((blocked - 1).to_string(), blocked.to_string());
    let blocks = |until: &str| answer(data, &["--until", until, "--query", &query("blocks ada")]);
    assert_eq!(blocks(&before)["blocklist"], json!([]));
    assert_eq!(blocks(&at)["blocklist"][0]["user_id"], json!("bob"));
    let time = blocks(&at)["at"].as_str().unwrap().to_owned();
    assert_eq!(blocks(&time)["position"].as_u64().map(|position| position >= blocked), Some(true));
    assert_eq!(blocks("1999-01-01T00:00:00Z")["position"], json!(0));
    let bans = answer(data, &["--query", &query("bans")]);
    assert_eq!(bans["bans"][0]["user_id"], json!("bob"));
    let diff = answer(data, &["--from", &before, "--until", &at, "--query", &query("diff ada")]);
    let [change] = &diff["changes"].as_array().unwrap()[..] else { panic!("{diff}") };
    assert_eq!((&change["before"], &change["after"]), (&Value::Null, &json!("bob")));
    let happened = answer(data, &["--from", &before, "--until", &at, "--query", &query("history ada")]);
    let [event] = &happened["events"].as_array().unwrap()[..] else { panic!("{happened}") };
    assert_eq!(event["actor"], json!({"server": 1}), "{event}");
    assert!(event["correlation"].is_string(), "{event}");
}

#[test]
fn a_refusal_is_explained_with_an_exit_code_of_its_own() {
    let service = killed();
    let blocked = position(service.data(), "ada", "blocklist.blocked");
    let output = replay(service.data(), &["--query", &query("explain befriend bob ada")]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    let explained: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&explained["allowed"], &explained["refused"]), (&json!(false), &json!("the target blocks the user")));
    let [fact] = &explained["facts"].as_array().unwrap()[..] else { panic!("{explained}") };
    assert_eq!((&fact["position"], &fact["event"]), (&json!(blocked), &json!("blocklist.blocked")));
    let before = (blocked - 1).to_string();
    let allowed = answer(service.data(), &["--until", &before, "--query", &query("explain befriend bob ada")]);
    assert_eq!(allowed["allowed"], json!(true));
}

#[test]
fn an_erased_person_is_erased_in_every_answer_of_a_replay() {
    let mut service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob"]);
    service.post(APP, "/user/deactivate.json", &[("userId", "ada")]).ok();
    service.stop();
    let registered = position(service.data(), "ada", "user.registered");
    let until = ["--until", &registered.to_string()];
    for what in ["user ada", "history ada", "diff ada"] {
        let output = replay(service.data(), &[&until[..], &["--query", &query(what)]].concat());
        let told = text(&output.stdout);
        assert!(output.status.success() && told.contains("\"erased\": {\n"), "{what}: {told}");
        assert!(!told.contains("Name of ada"), "{what}: {told}");
    }
    let bob = answer(service.data(), &["--query", &query("user bob")]);
    assert_eq!(bob["name"], json!("Name of bob"));
}

#[test]
fn a_directory_in_use_is_not_replayed_but_its_stopped_copy_is() {
    let mut service = killed();
    let copy = tempfile::tempdir().unwrap();
    for (name, bytes) in files(service.data()) {
        let to = copy.path().join(name);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::write(to, bytes).unwrap();
    }
    service.restart();
    let refused = replay(service.data(), &["--query", &query("bans")]);
    one_sentence(&refused, &["in use by another rollcall process"]);
    std::fs::remove_file(copy.path().join("lock")).unwrap();
    let user = answer(copy.path(), &["--query", &query("user ada")]);
    assert_eq!(user["name"], json!("Name of ada"));
    assert!(!copy.path().join("lock").exists());
}

#[test]
fn what_cannot_be_answered_is_told_in_one_sentence_and_what_is_not_asked_properly_is_told_apart() {
    let service = killed();
    let data = service.data();
    let ask = |args: &[&str]| {
        let output = replay(data, args);
        assert_eq!(output.status.code(), Some(1));
        text(&output.stderr).lines().last().unwrap().to_owned()
    };
    assert!(ask(&["--query", "bans nowhere"]).contains("there is no app nowhere"));
    assert!(ask(&["--query", &query("user mallory")]).contains("no such user"));
    assert!(ask(&["--until", "999999", "--query", &query("bans")]).contains("above the head"));
    for args in [
        &["--query", "moods app"][..],
        &["--query", &query("explain make-coffee ada")],
        &["--until", "yesterday", "--query", &query("bans")],
        &[],
    ] {
        assert_eq!(replay(data, args).status.code(), Some(2), "{args:?}");
    }
    let nothing = tempfile::tempdir().unwrap();
    one_sentence(&replay(nothing.path(), &["--query", &query("bans")]), &["there is no rollcall data in"]);
}
