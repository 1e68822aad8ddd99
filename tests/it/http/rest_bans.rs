//! Bans over REST: scheduled, permanent, what became of them, and their lists.

use chrono::{DateTime, Duration, SecondsFormat, Utc};
use serde_json::{Value, json};

use crate::support::{App, Reply, Service};

const APP: App = App::PRODUCTION;

pub(super) fn ask(service: &Service, method: &str, path: &str, body: &Value) -> Reply {
    let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    service.request(method, &format!("/api/v1/{path}"), &headers, body.as_bytes())
}

pub(super) fn get(service: &Service, path: &str) -> Value {
    let reply = ask(service, "GET", path, &Value::Null);
    assert_eq!(reply.status, 200, "{path}: {}", reply.text);
    reply.json()
}

#[track_caller]
pub(super) fn problem(reply: &Reply, status: u16, kind: &str) {
    let json = reply.json();
    let expected = format!("urn:rollcall:problem:{kind}");
    assert_eq!((reply.status, json["type"].as_str()), (status, Some(&*expected)), "{json}");
}

#[track_caller]
fn ban(service: &Service, user: &str, body: &Value) -> Value {
    let reply = ask(service, "PUT", &format!("users/{user}/ban"), body);
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()
}

/// A time so many seconds from now.
#[allow(clippy::disallowed_methods)] // Bans begin and end by the clock of the machine.
fn from_now(seconds: i64) -> String {
    (Utc::now() + Duration::seconds(seconds)).to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// The values of a member in all entries of a list, in pages of two.
#[track_caller]
fn walked(service: &Service, path: &str, member: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (vec![], String::new());
    loop {
        let separator = if path.contains('?') { '&' } else { '?' };
        let page = get(service, &format!("{path}{separator}limit=2{cursor}"));
        let entries = page["bans"].as_array().unwrap();
        assert!(entries.len() <= 2, "{page}");
        all.extend(entries.iter().map(|entry| entry[member].clone()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

fn is_admitted(service: &Service, from: &str) -> bool {
    let reply = ask(service, "POST", "messages/admission", &json!({"from": from, "to": "bob"}));
    reply.json()["allowed"].as_bool().unwrap_or_else(|| panic!("{}", reply.text))
}

#[test]
fn a_scheduled_ban_is_told_apart_and_counts_from_its_start_on_also_after_a_restart() {
    let mut service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob"]);
    let starts_at = from_now(4);
    let body = json!({"starts_at": starts_at, "minutes": 60, "reason": "spam", "note": "third time"});
    let scheduled = ban(&service, "ada", &body);
    assert_eq!((&scheduled["state"], &scheduled["reason"]), (&json!("scheduled"), &json!("spam")));
    assert_eq!((&scheduled["note"], &scheduled["actor"]), (&json!("third time"), &json!("server:1")));
    let time = |value: &Value| value.as_str().unwrap().parse::<DateTime<Utc>>().unwrap();
    assert_eq!(time(&scheduled["starts_at"]), starts_at.parse::<DateTime<Utc>>().unwrap());
    assert_eq!(time(&scheduled["ends_at"]) - time(&scheduled["starts_at"]), Duration::minutes(60));
    assert!(is_admitted(&service, "ada"));
    assert_eq!(walked(&service, "bans", "user_id"), [Value::Null; 0]);
    assert_eq!(walked(&service, "bans?state=scheduled", "user_id"), ["ada"]);
    let of_v1 = service.post(APP, "/user/block/query.json", &[]).ok();
    assert_eq!(of_v1.json()["users"], json!([]), "the platform's face knows of no ban that is to begin");
    service.stop();
    service.restart();
    service.eventually("the ban begins", |service| get(service, "users/ada/ban")["state"] == "running");
    assert!(!is_admitted(&service, "ada"));
    assert_eq!(walked(&service, "bans", "user_id"), ["ada"]);
    assert_eq!(walked(&service, "bans?state=scheduled", "user_id"), [Value::Null; 0]);
    let of_v1 = service.post(APP, "/user/block/query.json", &[]).ok();
    assert_eq!(of_v1.json()["users"][0]["userId"], "ada");
    let history = |service: &Service| ask(service, "GET", "users/ada/history?limit=500", &Value::Null).json();
    service.eventually("the start is recorded", |service| history(service).to_string().contains("ban.started"));
}

#[test]
fn a_permanent_ban_has_no_end_and_is_listed_before_all_others() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob", "eve"]);
    ban(&service, "bob", &json!({"minutes": 43_200}));
    let permanent = ban(&service, "ada", &json!({"permanent": true}));
    assert_eq!((&permanent["ends_at"], &permanent["permanent"]), (&Value::Null, &json!(true)));
    ban(&service, "eve", &json!({"ends_at": from_now(60)}));
    assert_eq!(walked(&service, "bans", "user_id"), ["ada", "bob", "eve"]);
    let of_v1 = service.post(APP, "/user/block/query.json", &[]).ok().json();
    assert_eq!(of_v1["users"][0]["userId"], "ada", "{of_v1}");
    assert!(of_v1["users"][0]["blockEndTime"].as_str().unwrap().starts_with("9999-12-31"), "{of_v1}");
    let as_of = get(&service, "users/ada/as-of");
    assert_eq!(as_of["ban"]["until"], Value::Null, "{as_of}");
    assert!(as_of["ban"]["banned_at"].is_string(), "{as_of}");
    assert!(!is_admitted(&service, "ada"));
}

#[test]
fn every_ban_of_a_user_stays_in_its_history_with_its_end() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    assert_eq!(get(&service, "users/ada/bans"), json!({"bans": [], "next": null, "previous": null}));
    ban(&service, "ada", &json!({"minutes": 5, "reason": "first"}));
    ban(&service, "ada", &json!({"minutes": 9, "reason": "second"}));
    ask(&service, "DELETE", "users/ada/ban", &Value::Null);
    ban(&service, "ada", &json!({"starts_at": from_now(600), "permanent": true, "reason": "third"}));
    ask(&service, "DELETE", "users/ada/ban", &Value::Null);
    problem(&ask(&service, "GET", "users/ada/ban", &Value::Null), 404, "not-banned");
    ban(&service, "ada", &json!({"ends_at": from_now(2), "reason": "fourth"}));
    service.eventually("the ban runs out", |service| get(service, "users/ada/bans")["bans"][0]["state"] == "ended");
    ban(&service, "ada", &json!({"minutes": 5, "reason": "fifth"}));
    let told = |member: &str| walked(&service, "users/ada/bans", member);
    assert_eq!(told("reason"), ["fifth", "fourth", "third", "second", "first"]);
    let null = Value::Null;
    assert_eq!(
        told("ending"),
        [null.clone(), "expired".into(), "cancelled".into(), "lifted".into(), "replaced".into()]
    );
    let server = Value::from("server:1");
    assert_eq!(told("ended_by"), [null, "system".into(), server.clone(), server.clone(), server]);
    let banned_at = told("banned_at");
    assert_eq!(banned_at[3], banned_at[4], "another end does not break a ban off");
    // They are all listed for the app as well.
    let ended = walked(&service, "bans?state=ended", "reason");
    assert_eq!(ended, ["fourth", "third", "second", "first"]);
    assert_eq!(walked(&service, "bans?state=running,ended", "reason").len(), 5);
    problem(&ask(&service, "GET", "users/nobody/bans", &Value::Null), 404, "not-registered");
}

#[test]
fn bans_are_found_by_who_banned_and_by_a_part_of_the_reason() {
    let service = Service::start(&[APP]);
    let users: Vec<_> = (0..7).map(|number| format!("u{number}")).collect();
    service.register(APP, &users.iter().map(String::as_str).collect::<Vec<_>>());
    for (number, user) in users.iter().enumerate() {
        let reason = if number % 2 == 0 { "Spam in a group" } else { "insults" };
        ban(&service, user, &json!({"minutes": 60 - number, "reason": reason}));
    }
    assert_eq!(walked(&service, "bans?reason=spam", "user_id"), ["u0", "u2", "u4", "u6"]);
    assert_eq!(walked(&service, "bans?reason=INSULTS&actor=server:1", "user_id"), ["u1", "u3", "u5"]);
    assert_eq!(walked(&service, "bans?actor=api_key:1", "user_id"), [Value::Null; 0]);
    let next = get(&service, "bans?limit=1")["next"].as_str().unwrap().to_owned();
    let other_list = ask(&service, "GET", &format!("bans?state=ended&cursor={next}"), &Value::Null);
    problem(&other_list, 422, "invalid-value");
}

#[test]
fn a_ban_that_says_not_once_how_long_it_lasts_or_lies_in_no_order_is_refused() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    let refused = |body: Value| ask(&service, "PUT", "users/ada/ban", &body);
    for body in [
        json!({}),
        json!({"permanent": false}),
        json!({"minutes": 5, "permanent": true}),
        json!({"minutes": 5, "ends_at": from_now(60)}),
        json!({"ends_at": "9999-06-01T00:00:00Z"}),
        json!({"permanent": true, "starts_at": "9999-06-01T00:00:00Z"}),
        json!({"permanent": true, "note": ""}),
        json!({"permanent": true, "note": "x".repeat(2_001)}),
    ] {
        problem(&refused(body), 422, "invalid-value");
    }
    problem(&refused(json!({"ends_at": "tomorrow"})), 400, "malformed-json");
    problem(&refused(json!({"ends_at": from_now(-60)})), 422, "ban-ends-too-early");
    problem(&refused(json!({"starts_at": from_now(60), "ends_at": from_now(30)})), 422, "ban-ends-too-early");
    ban(&service, "ada", &json!({"minutes": 5}));
    problem(&refused(json!({"starts_at": from_now(60), "minutes": 5})), 409, "ban-runs");
    let explained = ask(&service, "POST", "explain", &json!({"command": ["schedule-ban", "ada"]})).json();
    assert_eq!((&explained["allowed"], &explained["facts"][0]["event"]), (&json!(false), &json!("ban.imposed")));
}

#[test]
fn an_erasure_takes_reasons_and_notes_out_of_the_history_too_and_leaves_the_bans() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    ban(&service, "ada", &json!({"minutes": 5, "reason": "canary-first", "note": "canary-note"}));
    ban(&service, "ada", &json!({"permanent": true, "reason": "canary-second", "note": "canary-other"}));
    assert_eq!(ask(&service, "POST", "users/ada/deactivation", &Value::Null).status, 202);
    service.eventually("the erasure is done", |service| {
        let erasures = get(service, "erasures");
        erasures["erasures"][0]["status"] == "finalised"
    });
    let bans = get(&service, "bans?state=running,ended");
    assert_eq!(bans["bans"].as_array().unwrap().len(), 2, "{bans}");
    assert!(!bans.to_string().contains("canary"), "{bans}");
    for ban in bans["bans"].as_array().unwrap() {
        assert_eq!((&ban["reason"], &ban["note"]), (&Value::Null, &Value::Null), "{ban}");
    }
}
