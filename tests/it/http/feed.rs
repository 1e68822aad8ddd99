//! The feed of an app: its events, all of them, in order, once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rollcall::delivery::event_type::{self, TypePattern};
use rollcall::engine::journal;
use serde_json::{Value, json};

use crate::support::{App, Reply, Service, place, rollcall};

mod stream;

const APP: App = App::PRODUCTION;
const OTHER: App = App::OTHER;

fn get(service: &Service, app: App, query: &str) -> Reply {
    let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", app.key, app.secret))];
    service.request("GET", &format!("/api/v1/events{query}"), &headers, b"")
}

/// A page of a feed, and the cursor behind it.
#[track_caller]
fn page(service: &Service, app: App, query: &str) -> (Vec<Value>, String) {
    let reply = get(service, app, query);
    assert_eq!(reply.status, 200, "{query}: {}", reply.text);
    let json = reply.json();
    (json["events"].as_array().unwrap().clone(), json["next"].as_str().unwrap().to_owned())
}

/// All that there is after a cursor, page by page.
#[track_caller]
fn all_after(service: &Service, app: App, mut cursor: String, query: &str) -> (Vec<Value>, String) {
    let mut all = vec![];
    loop {
        let from = if cursor.is_empty() { String::new() } else { format!("&cursor={cursor}") };
        let (events, next) = page(service, app, &format!("?{query}{from}"));
        if events.is_empty() && next == cursor {
            return (all, cursor);
        }
        all.extend(events);
        cursor = next;
    }
}

#[track_caller]
fn all(service: &Service, app: App, query: &str) -> Vec<Value> {
    all_after(service, app, String::new(), query).0
}

fn texts<'v>(events: &'v [Value], member: &str) -> Vec<&'v str> {
    events.iter().map(|event| event[member].as_str().unwrap()).collect()
}

#[track_caller]
fn problem(reply: &Reply, status: u16, kind: &str) {
    let json = reply.json();
    let expected = format!("urn:rollcall:problem:{kind}");
    assert_eq!((reply.status, json["type"].as_str()), (status, Some(&*expected)), "{json}");
}

/// Id, type and position of the events of each app, as the log of the stopped service holds them.
fn logged(service: &Service, app: App) -> Vec<(String, String, String)> {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let log = place(service.data()).log_alone().await.unwrap();
        let events = log.read_all(0, usize::MAX >> 1).await.unwrap();
        let of_app = events.iter().filter(|event| journal::app(event).unwrap() == app.key);
        of_app
            .map(|event| {
                let r#type = event_type::event_type(&event.name, event.version);
                (event.id.to_string(), r#type, format!("{:020}", event.position))
            })
            .collect()
    })
}

fn told(events: &[Value]) -> Vec<(String, String, String)> {
    let text = |event: &Value, member: &str| event[member].as_str().unwrap().to_owned();
    events.iter().map(|event| (text(event, "id"), text(event, "type"), text(event, "sequence"))).collect()
}

/// Registers, bans and blocks until it is told to end.
fn load(service: &Service, app: App, prefix: &str, end: &AtomicBool) {
    for number in 0.. {
        if end.load(Ordering::SeqCst) {
            return;
        }
        let (user, other) = (format!("{prefix}{number}"), format!("{prefix}o{number}"));
        service.post(app, "/user/getToken.json", &[("userId", &user), ("name", "Somebody")]).ok();
        service.post(app, "/user/block.json", &[("userId", &user), ("minute", "60")]).ok();
        service.post(app, "/user/blacklist/add.json", &[("userId", &user), ("blackUserId", &other)]).ok();
    }
}

#[test]
fn a_feed_that_is_read_while_others_write_is_what_the_log_holds_of_the_app() {
    let mut service = Service::start(&[APP, OTHER]);
    let (end, read) = (AtomicBool::new(false), std::sync::Mutex::new(vec![]));
    std::thread::scope(|scope| {
        for (app, prefix) in [(APP, "a"), (APP, "b"), (OTHER, "c"), (OTHER, "d")] {
            let (service, end) = (&service, &end);
            scope.spawn(move || load(service, app, prefix, end));
        }
        let mut cursor = String::new();
        while read.lock().unwrap().len() < 150 {
            let (events, next) = all_after(&service, APP, cursor, "limit=7");
            read.lock().unwrap().extend(events);
            cursor = next;
        }
        end.store(true, Ordering::SeqCst);
    });
    let read = read.into_inner().unwrap();
    let (whole, other) = (all(&service, APP, "limit=500"), all(&service, OTHER, "limit=100"));
    assert_eq!(read, whole[..read.len()], "what was read under load is how the feed begins");
    service.stop();
    assert_eq!(told(&whole), logged(&service, APP));
    assert_eq!(told(&other), logged(&service, OTHER));
    assert!(texts(&whole, "sequence").is_sorted());
}

#[test]
fn a_reader_finds_its_place_again_after_the_service_was_killed() {
    let mut service = Service::start(&[APP]);
    let (mut read, mut cursor) = (vec![], String::new());
    for round in 0..3 {
        service.register(APP, &[&*format!("ada{round}"), &*format!("bob{round}")]);
        let (events, next) = all_after(&service, APP, cursor, "limit=2");
        read.extend(events);
        cursor = next;
        service.kill();
        service.restart();
    }
    assert_eq!(all_after(&service, APP, cursor, "limit=2").0, [Value::Null; 0]);
    service.stop();
    assert_eq!(told(&read), logged(&service, APP));
}

#[test]
fn an_event_is_a_cloud_event_of_its_app() {
    let service = Service::start(&[APP, OTHER]);
    service.register(APP, &["ada"]);
    service.post(APP, "/user/block.json", &[("userId", "ada"), ("minute", "60")]).ok();
    let banned = all(&service, APP, "type=rollcall.user.banned.v1").remove(0);
    assert_eq!(
        (&banned["specversion"], &banned["source"], &banned["datacontenttype"]),
        (&json!("1.0"), &json!(APP.key), &json!("application/json"))
    );
    assert_eq!(banned["sequence"].as_str().unwrap().len(), 20);
    assert_eq!(banned["data"]["subject"], banned["subject"]);
    assert!(chrono::DateTime::parse_from_rfc3339(banned["time"].as_str().unwrap()).is_ok());
    assert!(banned["data"]["until"].is_string() && banned["correlation"].is_string());
    let thin = get(&service, APP, "?limit=500").text;
    assert!(!thin.contains("Name of ada") && !thin.contains("\"ada\""), "{thin}");
    assert!(all(&service, OTHER, "").iter().all(|event| event["type"].as_str().unwrap().starts_with("rollcall.app.")));
}

#[test]
fn filters_choose_and_still_move_the_cursor_on() {
    let service = Service::start(&[APP]);
    for user in ["ada", "bob", "eve"] {
        service.register(APP, &[user]);
        service.post(APP, "/user/block.json", &[("userId", user), ("minute", "60")]).ok();
        service.post(APP, "/friend/add.json", &[("userId", user), ("targetId", "ada"), ("optType", "2")]);
    }
    let whole = all(&service, APP, "limit=500");
    let subjects = whole.iter().filter_map(|event| event["subject"].as_str().map(str::to_owned));
    let subjects: BTreeSet<String> = subjects.collect();
    assert_eq!(subjects.len(), 3, "{whole:#?}");
    let subjects: Vec<_> = subjects.into_iter().collect();
    let (events, next) = page(&service, APP, "?type=rollcall.erasure.*&limit=500");
    assert!(events.is_empty());
    assert_eq!(page(&service, APP, &format!("?cursor={next}")), (vec![], next), "all of it was looked at");

    let types: Vec<_> = event_type::all().iter().map(String::as_str).collect();
    let pattern = (prop::sample::select(types), 0_usize..40, any::<bool>()).prop_map(|(known, cut, open)| {
        if open { format!("{}*", &known[..cut.min(known.len())]) } else { known.into() }
    });
    let filter = (prop::collection::vec(pattern, 0..3), prop::option::of(prop::sample::select(subjects)), 1_usize..9);
    let config = Config { cases: 40, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&filter, |(patterns, subject, limit)| {
            let mut query = format!("limit={limit}");
            if !patterns.is_empty() {
                query += &format!("&type={}", patterns.join(","));
            }
            query += &subject.as_ref().map(|subject| format!("&subject={subject}")).unwrap_or_default();
            let parsed: Vec<TypePattern> = patterns.iter().map(|pattern| pattern.parse().unwrap()).collect();
            let wanted = |event: &&Value| {
                let r#type = event["type"].as_str().unwrap();
                (parsed.is_empty() || parsed.iter().any(|pattern| pattern.matches(r#type)))
                    && subject.as_ref().is_none_or(|subject| event["subject"] == **subject)
            };
            let expected: Vec<_> = whole.iter().filter(wanted).cloned().collect();
            prop_assert_eq!(all(&service, APP, &query), expected, "{}", query);
            Ok(())
        })
        .unwrap();
}

#[test]
fn what_is_not_a_question_to_a_feed_is_refused_by_name() {
    let service = Service::start(&[APP]);
    let list_cursor = {
        service.register(APP, &["ada", "bob"]);
        let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
        let users = service.request("GET", "/api/v1/users?limit=1", &headers, b"").json();
        format!("cursor={}", users["next"].as_str().unwrap())
    };
    for bad in [
        "cursor=x",
        "cursor=Af__________",
        &list_cursor,
        "limit=0",
        "limit=501",
        "type=",
        "type=rollcall.users.*",
        "type=*.banned",
        "subject=ada",
        "wait_seconds=61",
        "wait_seconds=-1",
        "include=everything",
    ] {
        problem(&get(&service, APP, &format!("?{bad}")), 422, "invalid-value");
    }
    problem(&get(&service, App { secret: "wrong", ..APP }, ""), 401, "unauthenticated");
}

#[test]
fn a_call_that_waits_is_answered_with_the_next_event_of_its_app() {
    let service = Service::start(&[APP, OTHER]);
    let (_, cursor) = all_after(&service, APP, String::new(), "limit=500");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| page(&service, APP, &format!("?wait_seconds=60&cursor={cursor}")));
        service.register(OTHER, &["eve"]);
        std::thread::sleep(Duration::from_millis(200));
        assert!(!waiting.is_finished(), "another app's event is none of its own");
        service.register(APP, &["ada"]);
        let (events, next) = waiting.join().unwrap();
        assert!(!events.is_empty(), "it was answered before anything happened");
        let (rest, _) = all_after(&service, APP, next, "limit=500");
        let types: Vec<_> = events.iter().chain(&rest).map(|event| event["type"].as_str().unwrap()).collect();
        assert!(types.contains(&"rollcall.user.registered.v1"), "{types:?}");
    });
    let (_, cursor) = all_after(&service, APP, String::new(), "limit=500");
    let (events, next) = page(&service, APP, &format!("?wait_seconds=1&cursor={cursor}"));
    assert!(events.is_empty());
    let (_, there) = all_after(&service, APP, next.clone(), "");
    assert_eq!(next, there, "the cursor that came back is at the end");
}

#[test]
fn a_stop_answers_whoever_waits_for_an_event() {
    let mut service = Service::start(&[APP]);
    let (_, cursor) = all_after(&service, APP, String::new(), "limit=500");
    let query = format!("/api/v1/events?wait_seconds=60&cursor={cursor}");
    let head = format!("GET {query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}:{}\r\n\r\n", APP.key, APP.secret);
    let mut wires: Vec<_> = (0..3).map(|_| crate::support::wire::Wire::to(service.address)).collect();
    wires.iter_mut().for_each(|wire| assert!(wire.send(head.as_bytes())));
    std::thread::sleep(Duration::from_millis(300));
    std::thread::scope(|scope| {
        let answers: Vec<_> = wires.iter_mut().map(|wire| scope.spawn(|| wire.reply())).collect();
        service.stop();
        for answer in answers {
            let reply = answer.join().unwrap().expect("it was cut off");
            assert_eq!((reply.status, &reply.json()["events"]), (200, &json!([])), "{}", reply.text);
        }
    });
}

/// Makes the app record reads; answers a key with these scopes.
fn with_recorded_reads(service: &mut Service, scopes: &[&str]) -> String {
    service.stop();
    let set = rollcall(&["apps", "set", APP.key, "--record-reads", "true"], service.data());
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    let scopes = scopes.iter().flat_map(|scope| ["--scope", scope]);
    let args: Vec<_> = ["apps", "add-key", APP.key].into_iter().chain(scopes).collect();
    let added = rollcall(&args, service.data());
    assert!(added.status.success(), "{}", String::from_utf8_lossy(&added.stderr));
    service.restart();
    String::from_utf8(added.stdout).unwrap().trim().to_owned()
}

#[test]
fn personal_values_are_told_with_the_scope_recorded_and_erased_with_the_person() {
    let mut service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob"]);
    let key = with_recorded_reads(&mut service, &["server"]);
    let headers = [("Authorization".to_owned(), format!("Bearer {key}"))];
    problem(&service.request("GET", "/api/v1/events?include=personal", &headers, b""), 403, "scope-missing");

    let registered = "type=rollcall.user.registered.v1";
    let personal = format!("{registered}&include=personal");
    let before = all(&service, APP, registered);
    let told = all(&service, APP, &personal);
    let of = |event: &Value, path: &str| event["data"]["personal"][path].clone();
    let ada = told.iter().find(|event| of(event, "name")["value"] == "Name of ada").expect("ada's name");
    let subject = ada["subject"].as_str().unwrap().to_owned();
    assert_eq!(ada["data"]["user_ids"][&subject], "ada");
    let reads = all(&service, APP, &format!("type=rollcall.access.read.v1&subject={subject}"));
    assert_eq!(reads.len(), 1, "{reads:#?}");
    assert!(reads[0]["data"]["fields"].as_array().unwrap().contains(&json!("name")), "{reads:#?}");

    let body = json!({"user_id": "ada", "scope": "forget"}).to_string();
    let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    assert_eq!(service.request("POST", "/api/v1/erasures", &headers, body.as_bytes()).status, 202);
    service.eventually("nothing of ada is told", |service| {
        let text = get(service, APP, &format!("?include=personal&limit=200&subject={subject}")).text;
        !text.contains("Name of ada") && !text.contains("\"ada\"")
    });
    service.eventually("the erasure is done", |service| {
        !all(service, APP, "type=rollcall.erasure.finalised.v1").is_empty()
    });
    let told = all(&service, APP, &personal);
    let ada = told.iter().find(|event| event["subject"] == *subject).unwrap();
    assert_eq!((of(ada, "name")["erased"].clone(), of(ada, "user_id")["erased"].clone()), (json!(true), json!(true)));
    let bob = told.iter().find(|event| event["subject"] != *subject).unwrap();
    assert_eq!(of(bob, "name")["value"], "Name of bob");
    assert_eq!(all(&service, APP, registered), before, "a thin event stays as it was told");
}
