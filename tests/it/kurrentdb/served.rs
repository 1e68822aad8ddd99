//! The whole service with its log in KurrentDB.

use std::path::Path;

use serde_json::{Value, json};

use super::server::Double;
use crate::support::{App, Service, rollcall};
use crate::webhooks::receiver::{Received, Receiver};

const APP: App = App::PRODUCTION;

/// Deletes the replica of the log and the read models.
fn forget_replica(dir: &Path) {
    for file in ["replica.db", "replica.db-wal", "replica.db-shm", "read.db", "read.db-wal", "read.db-shm"] {
        let _ = std::fs::remove_file(dir.join(file));
    }
}

#[test]
fn a_service_keeps_its_log_there_and_loses_nothing_with_its_replica() {
    let double = Double::start();
    let (url, dir) = (double.url(), tempfile::tempdir().unwrap());
    let start = || Service::try_start_with(dir.path(), &[APP], &["--kurrentdb", &url]).unwrap();
    let name = |service: &Service| {
        let info = service.post(APP, "/user/info.json", &[("userId", "ada")]).ok();
        info.json()["userName"].as_str().unwrap().to_owned()
    };
    let mut service = start();
    service.register(APP, &["ada"]);
    assert_eq!(name(&service), "Name of ada");
    service.kill();
    forget_replica(dir.path());
    assert_eq!(name(&start()), "Name of ada");
    assert!(!dir.path().join("log.db").exists(), "nothing is kept beside it");
}

/// Everything in the feed after a cursor, in pages of three, and the cursor behind it.
fn feed(service: &Service, mut cursor: String) -> (Vec<Value>, String) {
    let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    let mut all = vec![];
    loop {
        let from = if cursor.is_empty() { String::new() } else { format!("&cursor={cursor}") };
        let reply = service.request("GET", &format!("/api/v1/events?limit=3{from}"), &headers, b"");
        assert_eq!(reply.status, 200, "{}", reply.text);
        let page = reply.json();
        let (events, next) = (page["events"].as_array().unwrap().clone(), page["next"].as_str().unwrap().to_owned());
        if events.is_empty() && next == cursor {
            return (all, cursor);
        }
        all.extend(events);
        cursor = next;
    }
}

fn ids(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_feed_and_webhooks_tell_every_event_of_a_log_there_also_once_its_replica_was_lost() {
    let double = Double::start();
    let (url, dir) = (double.url(), tempfile::tempdir().unwrap());
    let args = ["--kurrentdb", &*url, "--webhook-allow", "127.0.0.0/8"];
    let start = || Service::try_start_with(dir.path(), &[APP, App::OTHER], &args).unwrap();
    let mut service = start();
    service.stop();
    let added = rollcall(&["apps", "add-key", APP.key, "--scope", "operator", "--kurrentdb", &url], dir.path());
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    let key = String::from_utf8(added.stdout).unwrap().trim().to_owned();
    let mut service = start();
    let receiver = Receiver::start();
    let webhook = json!({"url": receiver.url(), "types": ["rollcall.user.*"]}).to_string();
    let bearer = [("Authorization".to_owned(), format!("Bearer {key}"))];
    let registered = service.request("POST", "/api/v1/webhooks", &bearer, webhook.as_bytes());
    assert_eq!(registered.status, 201, "{}", registered.text);
    service.register(APP, &["ada", "bob"]);
    service.register(App::OTHER, &["joe"]);
    service.post(APP, "/user/block.json", &[("userId", "ada"), ("minute", "10")]).ok();
    let of_users = |events: &[Value]| {
        let is_told = |event: &&Value| event["type"].as_str().unwrap().starts_with("rollcall.user.");
        ids(&events.iter().filter(is_told).cloned().collect::<Vec<_>>())
    };
    let (events, cursor) = feed(&service, String::new());
    let types: Vec<_> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert!(types.contains(&"rollcall.user.banned.v1") && types.contains(&"rollcall.app.registered.v1"), "{types:?}");
    let sequence: Vec<_> = events.iter().map(|event| event["sequence"].as_str().unwrap()).collect();
    assert!(sequence.is_sorted_by(|a, b| a < b), "{sequence:?}");
    let told = || {
        let mut told: Vec<_> = receiver.acknowledged().iter().map(Received::json).collect();
        told.sort_by_key(|event| event["sequence"].as_str().unwrap().to_owned());
        // What was acknowledged just before the sender was killed is sent once more.
        told.dedup();
        ids(&told)
    };
    service.eventually("the webhook is told", |_| told() == of_users(&events));

    // Whoever waits is woken by what is appended there.
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| {
            let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
            let path = format!("/api/v1/events?wait_seconds=60&cursor={cursor}");
            service.request("GET", &path, &headers, b"").json()["events"].clone()
        });
        service.register(APP, &["eve"]);
        assert_eq!(waits.join().unwrap()[0]["type"], "rollcall.user.registered.v1");
    });
    service.kill();
    forget_replica(dir.path());
    let service = start();
    let (again, _) = feed(&service, String::new());
    let (after, _) = feed(&service, cursor);
    assert_eq!(ids(&again), [ids(&events), ids(&after)].concat(), "the same events at the same cursors");
    service.register(APP, &["kim"]);
    let (all, _) = feed(&service, String::new());
    service.eventually("the webhook goes on where it was", |_| told() == of_users(&all));
}
