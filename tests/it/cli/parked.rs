//! A stream that a read model cannot follow: what an operator is told, and what settles it.

use std::process::Output;

use rusqlite::Connection;
use serde_json::Value;

use super::{one_sentence, path, rollcall, text};
use crate::support::{App, Cluster, Reply, Service};

const APP: App = App::PRODUCTION;
/// Has the read model of bans refuse every row, as an event that contradicts it would be refused.
const REFUSE: &str =
    "CREATE TRIGGER refuse BEFORE INSERT ON banned_users_v4 BEGIN SELECT RAISE(ABORT, 'it contradicts the bans'); END";

fn change_read_models(service: &Service, sql: &str) {
    Connection::open(service.data().join("read.db")).unwrap().execute_batch(sql).unwrap();
}

fn ready(service: &Service) -> Reply {
    service.request("GET", "/health/ready", &[], b"")
}

fn ended_well(output: &Output) -> String {
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

fn banned(service: &Service) -> usize {
    service.post(APP, "/user/block/query.json", &[]).ok().json()["users"].as_array().unwrap().len()
}

/// A stopped service in which the ban of ada is parked.
fn with_a_parked_ban() -> Service {
    let mut service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    service.stop();
    change_read_models(&service, REFUSE);
    service.restart();
    service.post(APP, "/user/block.json", &[("userId", "ada"), ("minute", "10")]).ok();
    service.eventually("the stream is parked", |service| ready(service).status == 503);
    let refused = ready(&service);
    assert_eq!(
        (&refused.json()["status"], &refused.json()["parked"]),
        (&"parked".into(), &1.into()),
        "{}",
        refused.text
    );
    assert!(refused.text.contains("rollcall parked list"), "{}", refused.text);
    service.stop();
    service
}

fn listed(service: &Service, args: &[&str]) -> Value {
    let output = service.command(&[&["parked", "list", "--json"], args].concat());
    serde_json::from_str(&ended_well(&output)).unwrap()
}

#[test]
fn a_parked_stream_makes_the_node_not_ready_until_its_events_are_applied_again() {
    let mut service = with_a_parked_ban();
    let shown = ended_well(&service.command(&["parked", "list"]));
    for part in ["banned_users", "ban.imposed", "it contradicts the bans", "ban-"] {
        assert!(shown.contains(part), "{part} is not in {shown}");
    }
    let rows = listed(&service, &[])["rows"].clone();
    let (row, stream) = (&rows[0], rows[0]["stream"].as_str().unwrap());
    assert_eq!((rows.as_array().unwrap().len(), &row["kind"], &row["held_back"]), (1, &"ban".into(), &0.into()));
    assert!(!shown.contains("ada") && !rows.to_string().contains("ada"), "{shown}");
    let doctor = rollcall(&["doctor", "--data-dir", path(service.data())]).output().unwrap();
    assert!(ended_well(&doctor).contains("note  parked streams: 1; "), "{}", text(&doctor.stdout));

    let retried = service.command(&["parked", "retry", "all"]);
    one_sentence(&retried, &["1 of 1 streams are still parked", "rollcall parked resolve"]);
    one_sentence(&service.command(&["parked", "retry", "moods"]), &["\"moods\"", "all, "]);
    one_sentence(&service.command(&["parked", "retry", "apps", stream]), &["is not parked", "rollcall parked list"]);
    change_read_models(&service, "DROP TRIGGER refuse");
    let retried = ended_well(&service.command(&["parked", "retry", "banned_users", stream]));
    assert!(retried.contains("applied 1\tparked 0"), "{retried}");
    assert_eq!(ended_well(&service.command(&["parked", "list"])), "none\n");
    service.restart();
    assert_eq!((ready(&service).text.as_str(), banned(&service)), (r#"{"status":"ready"}"#, 1));
}

#[test]
fn what_an_operator_resolves_is_skipped_also_by_a_rebuild_until_it_is_taken_back() {
    let mut service = with_a_parked_ban();
    let stream = listed(&service, &[])["rows"][0]["stream"].as_str().unwrap().to_owned();
    let resolve = |stream: &str, reason: &str| {
        service.command(&["parked", "resolve", "banned_users", stream, "--reason", reason])
    };
    one_sentence(&resolve("ban-nobody", "gone"), &["is not parked in banned_users"]);
    assert!(text(&resolve(&stream, " ").stderr).contains("a reason has 1 to 500 characters"));
    let resolved = ended_well(&resolve(&stream, "a ban by mistake"));
    assert!(resolved.contains("banned_users skips 1 events"), "{resolved}");
    let skipped = listed(&service, &["--skipped"])["rows"].clone();
    assert_eq!((&skipped[0]["reason"], &skipped[0]["event"]), (&"a ban by mistake".into(), &"ban.imposed".into()));

    ended_well(&service.command(&["rebuild", "banned_users"]));
    ended_well(&service.command(&["verify"]));
    service.restart();
    assert_eq!((ready(&service).status, banned(&service)), (200, 0));
    service.stop();

    ended_well(&service.command(&["parked", "unresolve", "all", &stream]));
    one_sentence(&service.command(&["parked", "unresolve", "all", &stream]), &["skips no event"]);
    ended_well(&service.command(&["rebuild", "banned_users"]));
    service.restart();
    assert_eq!((ready(&service).status, banned(&service)), (200, 1));
}

#[test]
fn an_operator_may_have_a_node_ready_while_streams_are_parked() {
    let service = with_a_parked_ban();
    let again = Service::try_start_with(service.data(), &[], &["--ready-with-parked"]).unwrap();
    let answer = ready(&again);
    assert_eq!((answer.status, answer.text.as_str()), (200, r#"{"status":"ready","parked":1}"#));
}

#[test]
fn what_is_parked_on_a_server_is_listed_and_applied_again_as_well() {
    let cluster = Cluster::start_with("fsync=on");
    let name = cluster.database();
    let dir = tempfile::tempdir().unwrap();
    let address = cluster.address(&name);
    let mut service = Service::try_start_with(dir.path(), &[APP], &["--database", &address]).unwrap();
    service.register(APP, &["ada"]);
    cluster.sql(&name, "alter table rollcall_read.banned_users_v4 add constraint refuse check (false) not valid");
    service.post(APP, "/user/block.json", &[("userId", "ada"), ("minute", "10")]).ok();
    service.eventually("the stream is parked", |service| ready(service).status == 503);
    service.stop();
    let command = |args: &[&str]| {
        let mut command = rollcall(args);
        command.args(["--data-dir", path(dir.path()), "--database", &address]).output().unwrap()
    };
    let listed = ended_well(&command(&["parked", "list"]));
    assert!(listed.contains("banned_users") && listed.contains("violates check constraint"), "{listed}");
    assert!(ended_well(&command(&["doctor"])).contains("note  parked streams: 1; "));
    cluster.sql(&name, "alter table rollcall_read.banned_users_v4 drop constraint refuse");
    ended_well(&command(&["parked", "retry", "all"]));
    let again = Service::try_start_with(dir.path(), &[], &["--database", &address]).unwrap();
    assert_eq!((ready(&again).status, banned(&again)), (200, 1));
}
