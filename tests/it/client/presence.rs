//! Who is online, as servers and followers are told.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use super::{APP, Socket, call, token};
use crate::nodes;
use crate::support::{Reply, Service};

/// Waits until `checkOnline` says so.
#[track_caller]
pub(super) fn shows(service: &Service, user: &str, status: &str) {
    service.eventually(&format!("{user} shows {status}"), |service| {
        let reply = service.post(APP, "/user/checkOnline.json", &[("userId", user)]);
        reply.status == 200 && reply.json()["status"] == status
    });
}

fn query(service: &Service, users: &[&str]) -> Reply {
    let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    let body = json!({"user_ids": users}).to_string();
    service.request("POST", "/api/v1/presence/query", &headers, body.as_bytes())
}

/// What a user is connected with, as servers are told.
pub(super) fn devices(service: &Service, user: &str) -> Vec<String> {
    let users = query(service, &[user]).json();
    let devices = users["users"][0]["devices"].as_array().cloned().unwrap_or_default();
    devices.iter().map(|device| device["platform"].as_str().unwrap().to_owned()).collect()
}

fn follow(service: &Service, form: &[(&str, &str)]) -> Reply {
    service.post(APP, "/user/subscribe/set.json", form)
}

fn following(service: &Service, user: &str, token: &str) -> Value {
    let form = [("userId", user), ("pageSize", "50"), ("pageToken", token)];
    service.post(APP, "/user/subscribe/query.json", &form).ok().json()
}

/// What the next push about a user's presence says: whether it is online, and on what.
#[track_caller]
pub(super) fn told(socket: &mut Socket) -> (String, bool, Vec<String>) {
    let (method, params) = socket.told();
    assert_eq!(method, "presence.changed", "{params}");
    let devices = params["devices"].as_array().unwrap();
    let platforms = devices.iter().map(|device| device["platform"].as_str().unwrap().to_owned()).collect();
    (params["user_id"].as_str().unwrap().into(), params["online"].as_bool().unwrap(), platforms)
}

pub(super) fn online(user: &str, platforms: &[&str]) -> (String, bool, Vec<String>) {
    (user.into(), !platforms.is_empty(), platforms.iter().map(|platform| (*platform).to_owned()).collect())
}

#[test]
fn a_user_is_online_while_one_of_its_devices_is_connected_and_its_end_is_remembered() {
    let mut service = Service::start(&[APP]);
    let ada = token(&service, APP, "ada");
    token(&service, APP, "bob");
    shows(&service, "ada", "0");
    let before = query(&service, &["ada", "nobody", "bob"]).json();
    for (index, user) in ["ada", "nobody", "bob"].iter().enumerate() {
        let expected = json!({"user_id": user, "online": false, "devices": [], "last_seen_at": null});
        assert_eq!(before["users"][index], expected);
    }
    let (web, _) = Socket::connect(&service, &ada);
    let (phone, _) = Socket::connect_with(&service, &json!({"token": ada, "platform": "ios", "device": "my phone"}));
    shows(&service, "ada", "1");
    let seen = query(&service, &["bob", "ada"]).json();
    assert_eq!((&seen["users"][0]["online"], &seen["users"][1]["online"]), (&json!(false), &json!(true)));
    let platforms: Vec<_> =
        seen["users"][1]["devices"].as_array().unwrap().iter().map(|d| d["platform"].clone()).collect();
    assert_eq!(platforms, ["web", "ios"]);
    drop(web);
    service.eventually("one device is left", |service| {
        query(service, &["ada"]).json()["users"][0]["devices"].as_array().unwrap().len() == 1
    });
    shows(&service, "ada", "1");
    drop(phone);
    shows(&service, "ada", "0");
    let seen = |service: &Service| query(service, &["ada"]).json()["users"][0]["last_seen_at"].clone();
    let ended = seen(&service);
    assert!(ended.is_string());
    service.stop();
    service.restart();
    assert_eq!(seen(&service), ended);
    // A process that is killed takes its connections with it.
    let (_again, _) = Socket::connect(&service, &ada);
    shows(&service, "ada", "1");
    service.restart();
    shows(&service, "ada", "0");
}

#[test]
fn a_question_about_nobody_or_too_many_is_refused() {
    let service = Service::start(&[APP]);
    let many: Vec<String> = (0..1_001).map(|number| format!("u{number}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for users in [&[][..], &many, &["not a user id!"]] {
        let reply = query(&service, users);
        assert_eq!(
            (reply.status, reply.json()["errors"][0]["pointer"].as_str()),
            (422, Some("#/user_ids")),
            "{}",
            reply.text
        );
    }
    assert_eq!(query(&service, &many[..1_000]).json()["users"].as_array().unwrap().len(), 1_000);
}

#[test]
fn an_app_may_keep_no_times_at_which_users_were_seen() {
    let mut service = Service::start(&[APP]);
    let ada = token(&service, APP, "ada");
    let seen = |service: &Service| query(service, &["ada"]).json()["users"][0]["last_seen_at"].clone();
    drop(Socket::connect(&service, &ada));
    service.eventually("she was seen", |service| seen(service).is_string());
    service.stop();
    let set = service.command(&["apps", "set", APP.key, "--client-last-seen", "false"]);
    assert!(set.status.success(), "{set:?}");
    service.restart();
    let (_socket, _) = Socket::connect(&service, &ada);
    shows(&service, "ada", "1");
    assert!(seen(&service).is_null());
}

#[test]
fn servers_follow_for_users_with_the_codes_of_the_platform_and_it_outlives_a_crash() {
    let mut service = Service::start(&[APP]);
    let users: Vec<String> = (0..201).map(|number| format!("u{number}")).collect();
    let body = |user: &str| [("userId", user.to_owned()), ("name", user.to_owned())];
    for user in &users {
        let form = body(user);
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        service.post(APP, "/user/getToken.json", &form).ok();
    }
    token(&service, APP, "ada");
    let all = users[..200].join(",");
    let set = |user: &str, targets: &str, op: &str, expiry: &str| {
        follow(&service, &[("userId", user), ("subUserIds", targets), ("opType", op), ("expiry", expiry)])
    };
    set("ada", &all, "0", "60").reads(r#"{"code":200}"#);
    set("ada", &all, "0", "2592000").reads(r#"{"code":200}"#);
    for (user, targets, op, expiry) in [
        ("ada", &*users.join(","), "0", "60"),
        ("ada", "u1", "0", "59"),
        ("ada", "u1", "0", "2592001"),
        ("ada", "u1", "0", ""),
        ("ada", "u1", "2", "60"),
        ("ada", "", "0", "60"),
        ("nobody", "u1", "0", "60"),
        ("", "u1", "0", "60"),
    ] {
        set(user, targets, op, expiry).refused(400, 26_001);
    }
    follow(&service, &[("userId", "ada"), ("subUserIds", "u1"), ("opType", "0"), ("expiry", "60"), ("subType", "3")])
        .refused(400, 26_001);
    // Who was never registered is left out; no more of somebody's than was subscribed is taken away.
    set("ada", "never-there", "0", "60").ok();
    set("ada", "u1,u2,never-there", "1", "").ok();
    set("ada", "u1", "1", "").ok();
    service.restart();
    let (mut found, mut token) = (BTreeSet::new(), String::new());
    for page in 0.. {
        let answer = following(&service, "ada", &token);
        for group in answer["subscriptions"].as_array().unwrap() {
            assert_eq!((&group["subType"], &group["expiry"]), (&json!(1), &json!(2_592_000)), "{group}");
            assert!(group["subTime"].is_i64());
            let ids = group["subUserIds"].as_array().unwrap().iter();
            found.extend(ids.map(|id| id.as_str().unwrap().to_owned()));
        }
        token = answer["pageToken"].as_str().unwrap().to_owned();
        assert_eq!(answer["hasNext"], page < 3, "page {page}");
        if page == 3 {
            break;
        }
    }
    let expected: BTreeSet<_> =
        users[..200].iter().filter(|user| !["u1", "u2"].contains(&user.as_str())).cloned().collect();
    assert_eq!(found, expected);
    let profiles = service.post(APP, "/user/subscribe/query.json", &[("userId", "ada"), ("subType", "2")]).ok();
    profiles.reads(r#"{"code":200,"hasNext":false,"pageToken":"","subscriptions":[]}"#);
    service.post(APP, "/user/subscribe/query.json", &[("userId", "ada"), ("pageToken", "x")]).refused(400, 26_001);
    service.post(APP, "/user/subscribe/query.json", &[("userId", "ada"), ("pageSize", "49")]).refused(400, 26_001);
}

#[test]
fn a_follower_is_told_the_state_at_once_then_what_comes_and_what_has_gone_for_three_seconds() {
    let service = Service::start(&[APP]);
    let (ada, bob) = (token(&service, APP, "ada"), token(&service, APP, "bob"));
    let (mut follower, _) = Socket::connect(&service, &bob);
    let asked = json!({"user_ids": ["ada", "nobody"], "seconds": 60});
    assert_eq!(follower.ask("subscriptions.add", &asked)["result"], json!({"full": []}));
    assert_eq!(told(&mut follower), online("ada", &[]));
    let (web, _) = Socket::connect(&service, &ada);
    assert_eq!(told(&mut follower), online("ada", &["web"]));
    // Who comes back at once was never gone.
    drop(web);
    shows(&service, "ada", "0");
    let (web, _) = Socket::connect(&service, &ada);
    let (phone, _) = Socket::connect_with(&service, &json!({"token": ada, "platform": "android"}));
    assert_eq!(told(&mut follower), online("ada", &["web", "android"]));
    drop((web, phone));
    assert_eq!(told(&mut follower), online("ada", &[]));
    let listed = call(&service, &bob, "GET", "subscriptions", "").json();
    let one = &listed["subscriptions"][0];
    assert_eq!((&one["user_id"], &one["online"], &one["devices"]), (&json!("ada"), &json!(false), &json!([])));
    // A second look is a renewal: nothing is pushed for it. The profile is followed apart.
    let profile = json!({"user_ids": ["ada"], "seconds": 60, "type": "profile"});
    follower.ask("subscriptions.add", &asked);
    follower.ask("subscriptions.add", &profile);
    service.post(APP, "/user/refresh.json", &[("userId", "ada"), ("name", "Ada Lovelace")]).ok();
    let (method, params) = follower.told();
    assert_eq!(
        (method.as_str(), &params["user_id"], &params["type"]),
        ("subscription.changed", &json!("ada"), &json!("profile"))
    );
    let removed = call(&service, &bob, "DELETE", "subscriptions", r#"{"user_ids": ["ada"]}"#);
    assert_eq!(removed.status, 204, "{}", removed.text);
    assert_eq!(call(&service, &bob, "GET", "subscriptions", "").json()["subscriptions"], json!([]));
    let refused = call(&service, &bob, "PUT", "subscriptions", r#"{"user_ids": ["ada"], "seconds": 59}"#);
    super::refused(&refused, 422, 34_307);
}

#[test]
fn nothing_about_an_erased_person_stays_among_subscriptions_and_times() {
    let mut service = Service::start(&[APP]);
    let (ada, bob) = (token(&service, APP, "ada"), token(&service, APP, "bob"));
    let (mut hers, _) = Socket::connect(&service, &ada);
    let (mut his, _) = Socket::connect(&service, &bob);
    hers.ask("subscriptions.add", &json!({"user_ids": ["bob"], "seconds": 60}));
    his.ask("subscriptions.add", &json!({"user_ids": ["ada"], "seconds": 60}));
    assert_eq!(told(&mut hers), online("bob", &["web"]));
    let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    let body = json!({"user_id": "ada", "scope": "forget"}).to_string();
    let accepted = service.request("POST", "/api/v1/erasures", &headers, body.as_bytes());
    assert!(accepted.status < 300, "{}", accepted.text);
    let path = format!("/api/v1/erasures/{}", accepted.json()["id"].as_str().unwrap());
    service.eventually("she is erased", |service| {
        service.request("GET", &path, &headers, b"").json()["status"] == "finalised"
    });
    let report = service.request("GET", &format!("{path}/report"), &headers, b"").json();
    let payload = BASE64_STANDARD.decode(report["payload"].as_str().unwrap()).unwrap();
    let counted = serde_json::from_slice::<Value>(&payload).unwrap().to_string();
    assert!(counted.contains(r#"{"store":"subscriptions","values":0}"#), "{counted}");
    assert_eq!(hers.closed().number(), "31029");
    shows(&service, "ada", "0");
    assert_eq!(call(&service, &bob, "GET", "subscriptions", "").json()["subscriptions"], json!([]));
    // What was noted meanwhile is written by now.
    service.stop();
    let file = rusqlite::Connection::open(service.data().join("live.db"));
    if let Ok(file) = file
        && std::env::var_os(crate::support::service::SERVER).is_none()
    {
        let count = |table: &str| -> i64 {
            file.query_row(&format!("select count(*) from {table}"), [], |row| row.get(0)).unwrap()
        };
        assert_eq!((count("subscription"), count("last_seen")), (0, 1), "only when bob was seen");
    }
}

#[test]
fn of_two_nodes_each_knows_who_is_connected_to_the_other_and_when_that_is_killed() {
    let given = nodes::Given::nothing();
    let lease = ["--presence-lease-seconds", "2"];
    let (mut one, two) = (given.node_with("one", &[APP], &lease), given.node_with("two", &[APP], &lease));
    let (ada, bob) = (token(&one, APP, "ada"), token(&two, APP, "bob"));
    let (mut follower, _) = Socket::connect(&two, &bob);
    follower.ask("subscriptions.add", &json!({"user_ids": ["ada"], "seconds": 60}));
    assert_eq!(told(&mut follower), online("ada", &[]));
    let (first, _) = Socket::connect(&one, &ada);
    shows(&two, "ada", "1");
    assert_eq!(told(&mut follower), online("ada", &["web"]));
    drop(first);
    shows(&two, "ada", "0");
    assert_eq!(told(&mut follower), online("ada", &[]));
    let (_second, _) = Socket::connect(&one, &ada);
    shows(&two, "ada", "1");
    assert_eq!(told(&mut follower), online("ada", &["web"]));
    // A server that asks the one node follows for a user of the other.
    follow(&one, &[("userId", "bob"), ("subUserIds", "bob"), ("opType", "0"), ("expiry", "60")]).ok();
    assert_eq!(told(&mut follower), online("bob", &["web"]));
    one.kill();
    shows(&two, "ada", "0");
    assert_eq!(told(&mut follower), online("ada", &[]));
    shows(&two, "bob", "1");
}
