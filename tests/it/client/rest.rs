//! The methods over REST.

use serde_json::{Value, json};

use super::{APP, call, refused, token};
use crate::support::{App, Service};

fn patch(service: &Service, token: &str, body: &Value) -> crate::support::Reply {
    call(service, token, "PATCH", "me", &body.to_string())
}

#[test]
fn a_user_changes_itself_all_at_once_or_not_at_all() {
    let service = Service::start(&[APP]);
    let ada = token(&service, APP, "ada");
    let me = call(&service, &ada, "GET", "me", "").json();
    assert_eq!((&me["user_id"], &me["name"], &me["profile"]), (&json!("ada"), &json!("Name of ada"), &json!({})));
    assert_eq!((&me["visibility"], &me["friend_permission"]), (&Value::Null, &Value::Null));
    let changed = patch(&service, &ada, &json!({"name": "Ada L.", "profile": {"location": "London", "gender": 2}}));
    assert_eq!((changed.status, &changed.json()["name"]), (200, &json!("Ada L.")), "{}", changed.text);
    assert!(changed.header("rollcall-position").is_some());
    let undeclared = patch(&service, &ada, &json!({"name": "Never", "profile": {"ext_a": "x"}}));
    refused(&undeclared, 422, 24_362);
    assert_eq!(undeclared.json()["error_keys"], json!(["ext_a"]));
    refused(&patch(&service, &ada, &json!({"profile": {"uniqueId": "ada"}})), 422, 24_360);
    refused(&patch(&service, &ada, &json!({"name": "x".repeat(65)})), 422, 24_364);
    refused(&patch(&service, &ada, &json!({"shoes": 1})), 400, 33_003);
    refused(&call(&service, &ada, "PATCH", "me", "[]"), 400, 33_003);
    let cleared = patch(&service, &ada, &json!({"profile": {"location": null}})).json();
    assert_eq!((&cleared["name"], &cleared["profile"]), (&json!("Ada L."), &json!({"gender": 2})));
    assert_eq!(call(&service, &ada, "PUT", "me/visibility", r#"{"visibility": "hidden"}"#).status, 204);
    refused(&call(&service, &ada, "PUT", "me/visibility", r#"{"visibility": "no"}"#), 422, 34_313);
    assert_eq!(call(&service, &ada, "PUT", "me/friend-permission", r#"{"permission": "nobody"}"#).status, 204);
    let me = call(&service, &ada, "GET", "me", "").json();
    assert_eq!((&me["visibility"], &me["friend_permission"]), (&json!("hidden"), &json!("nobody")));
    let wrong = call(&service, &ada, "DELETE", "me", "");
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET, HEAD, PATCH")));
    assert_eq!(call(&service, &ada, "POST", "me/erasure", "").status, 403, "the app does not allow it");
}

#[test]
fn others_are_seen_as_far_as_they_show_themselves() {
    let service = Service::start(&[APP, App::OTHER]);
    let [ada, bob, _] = ["ada", "bob", "eve"].map(|user| token(&service, APP, user));
    token(&service, App::OTHER, "stranger");
    patch(&service, &ada, &json!({"profile": {"location": "London"}}));
    let sees = |path: &str| call(&service, &bob, "GET", path, "").json();
    let seen = sees("users/ada");
    assert_eq!((&seen["name"], seen.get("profile")), (&json!("Name of ada"), None), "{seen}");
    call(&service, &ada, "PUT", "me/visibility", r#"{"visibility": "all"}"#);
    assert_eq!(sees("users/ada")["profile"], json!({"location": "London"}));
    call(&service, &ada, "PUT", "me/visibility", r#"{"visibility": "friends"}"#);
    assert_eq!(sees("users/ada").get("profile"), None);
    service.post(APP, "/friend/add.json", &[("userId", "ada"), ("targetId", "bob"), ("optType", "2")]).ok();
    assert_eq!(sees("users/ada")["profile"], json!({"location": "London"}));
    call(&service, &ada, "PUT", "me/visibility", r#"{"visibility": "hidden"}"#);
    assert_eq!(sees("users/ada").get("profile"), None, "from friends too");
    service.post(APP, "/user/deactivate.json", &[("userId", "eve")]).ok();
    for gone in ["users/eve", "users/nobody", "users/stranger"] {
        refused(&call(&service, &bob, "GET", gone, ""), 404, 24_366);
    }
    let asked = json!({"user_ids": ["ada", "eve", "nobody", "bob"]});
    let found = call(&service, &bob, "POST", "users/query", &asked.to_string()).json();
    let names: Vec<_> = found["users"].as_array().unwrap().iter().map(|user| user["user_id"].clone()).collect();
    assert_eq!((names, &found["missing"]), (vec![json!("ada"), json!("bob")], &json!(["eve", "nobody"])));
    let many: Vec<_> = (0..101).map(|n| format!("u{n}")).collect();
    let asked = json!({"user_ids": many}).to_string();
    refused(&call(&service, &bob, "POST", "users/query", &asked), 422, 34_215);
    refused(&call(&service, &bob, "POST", "users/query", r#"{"user_ids": []}"#), 422, 33_003);
}

#[test]
fn blocklist_and_allowlist_are_kept_asked_and_listed_page_by_page() {
    let service = Service::start(&[APP]);
    let ada = token(&service, APP, "ada");
    for (list, word) in [("blocklist", "blocked"), ("allowlist", "allowed")] {
        let empty = call(&service, &ada, "GET", list, "").json();
        assert_eq!(empty, json!({"users": [], "next": null}));
        for target in ["x1", "x2", "x3"] {
            assert_eq!(call(&service, &ada, "PUT", &format!("{list}/{target}"), "").status, 204);
        }
        assert_eq!(call(&service, &ada, "PUT", &format!("{list}/x3"), "").status, 204, "once more changes nothing");
        let first = call(&service, &ada, "GET", &format!("{list}?limit=2"), "").json();
        assert_eq!(first["users"], json!([{"user_id": "x3"}, {"user_id": "x2"}]));
        let next = first["next"].as_str().unwrap();
        let second = call(&service, &ada, "GET", &format!("{list}?limit=2&cursor={next}"), "").json();
        assert_eq!(second, json!({"users": [{"user_id": "x1"}], "next": null}));
        assert_eq!(call(&service, &ada, "GET", &format!("{list}/x1"), "").json()[word], json!(true));
        assert_eq!(call(&service, &ada, "DELETE", &format!("{list}/x1"), "").status, 204);
        for absent in ["x1", "nobody"] {
            assert_eq!(call(&service, &ada, "GET", &format!("{list}/{absent}"), "").json()[word], json!(false));
        }
        refused(&call(&service, &ada, "GET", &format!("{list}?limit=0"), ""), 422, 34_232);
        refused(&call(&service, &ada, "GET", &format!("{list}?limit=many"), ""), 400, 33_003);
        refused(&call(&service, &ada, "GET", &format!("{list}?cursor=nonsense"), ""), 422, 25_432);
    }
    assert_eq!(call(&service, &ada, "PUT", "me/allowlist", r#"{"enabled": true}"#).status, 204);
    assert_eq!(call(&service, &ada, "GET", "me", "").json()["allowlist_enabled"], json!(true));
}

#[test]
fn friends_are_added_as_they_permit_described_searched_and_removed() {
    let service = Service::start(&[APP]);
    let [ada, bob, eve] = ["ada", "bob", "eve"].map(|user| token(&service, APP, user));
    let add = |token: &str, user: &str| {
        call(&service, token, "POST", "friends", &json!({"user_id": user, "text": "please"}).to_string())
    };
    for _ in 0..2 {
        let asked = add(&ada, "bob");
        assert_eq!((asked.status, &asked.json()["status"]), (202, &json!("requested")), "twice is harmless");
    }
    let both = add(&bob, "ada");
    assert_eq!((both.status, both.json()), (201, json!({"status": "friends", "request_id": null})));
    refused(&add(&ada, "bob"), 409, 25_460);
    refused(&add(&ada, "ada"), 422, 25_473);
    refused(&add(&ada, "nobody"), 404, 25_472);
    call(&service, &eve, "PUT", "me/friend-permission", r#"{"permission": "nobody"}"#);
    refused(&add(&ada, "eve"), 403, 25_471);
    call(&service, &eve, "PUT", "me/friend-permission", r#"{"permission": "anyone"}"#);
    call(&service, &eve, "PUT", "blocklist/ada", "");
    refused(&add(&ada, "eve"), 403, 25_462);
    call(&service, &eve, "DELETE", "blocklist/ada", "");
    assert_eq!(add(&ada, "eve").status, 201);

    let described = call(&service, &ada, "PATCH", "friends/bob", r#"{"remark": "Bobby"}"#);
    assert_eq!((described.status, &described.json()["remark"]), (200, &json!("Bobby")), "{}", described.text);
    refused(&call(&service, &ada, "PATCH", "friends/bob", &json!({"remark": "x".repeat(65)}).to_string()), 422, 34_327);
    refused(&call(&service, &ada, "PATCH", "friends/nobody", r#"{"remark": "x"}"#), 409, 25_469);
    let page = call(&service, &ada, "GET", "friends?limit=1", "").json();
    assert_eq!(page["friends"][0]["user_id"], json!("eve"), "the newest first: {page}");
    let next = page["next"].as_str().unwrap();
    let page = call(&service, &ada, "GET", &format!("friends?limit=1&cursor={next}"), "").json();
    assert_eq!((&page["friends"][0]["user_id"], &page["next"]), (&json!("bob"), &Value::Null));
    let profile = json!({"name": "Evelyn"}).to_string();
    service.post(APP, "/user/profile/set.json", &[("userId", "eve"), ("userProfile", &profile)]).ok();
    call(&service, &eve, "PUT", "me/visibility", r#"{"visibility": "hidden"}"#);
    // What somebody does not show is not found out by searching for it either.
    for (q, found) in [("bobb", 1), ("NAME+OF+E", 1), ("name", 2), ("ev", 1), ("evelyn", 0), ("zzz", 0)] {
        let page = call(&service, &ada, "GET", &format!("friends?q={q}"), "").json();
        assert_eq!(page["friends"].as_array().unwrap().len(), found, "{q}: {page}");
    }
    let check = json!({"user_ids": ["bob", "nobody", "eve"]}).to_string();
    let checked = call(&service, &ada, "POST", "friends/check", &check).json();
    let friends: Vec<_> = checked["results"].as_array().unwrap().iter().map(|one| one["friends"].clone()).collect();
    assert_eq!(friends, [json!(true), json!(false), json!(true)]);
    for _ in 0..2 {
        assert_eq!(call(&service, &ada, "DELETE", "friends/bob", "").status, 204);
    }
    refused(&call(&service, &ada, "GET", "friends/bob", ""), 409, 25_469);
    let cleared = call(&service, &ada, "PATCH", "friends/eve", r#"{"remark": null}"#);
    assert_eq!(cleared.json()["remark"], Value::Null);
}

#[test]
fn what_a_user_does_is_recorded_as_its_own_doing_and_exported_to_it_alone() {
    let service = Service::start(&[APP]);
    let ada = token(&service, APP, "ada");
    assert_eq!(call(&service, &ada, "PUT", "blocklist/bob", "").status, 204);
    let server = [("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    let history = service.request("GET", "/api/v1/users/ada/history", &server, b"").json();
    let events = history["events"].as_array().unwrap();
    let blocked = events.iter().find(|event| event["event"] == "blocklist.blocked").unwrap();
    assert_eq!(blocked["actor"], json!({"user": blocked["plain"]["subject"]}), "{blocked}");
    let export = call(&service, &ada, "GET", "me/export", "");
    assert_eq!((export.status, export.header("content-type")), (200, Some("application/zip")), "{}", export.text);
    assert!(export.text.starts_with("PK"));
    let key = ("Idempotency-Key".to_owned(), "once".to_owned());
    let bearer = ("Authorization".to_owned(), format!("Bearer {ada}"));
    for body in [r#"{"name": "First"}"#, r#"{"name": "Second"}"#] {
        let reply = service.request("PATCH", "/client/v1/me", &[bearer.clone(), key.clone()], body.as_bytes());
        let expected = if body.contains("First") { 200 } else { 422 };
        assert_eq!(reply.status, expected, "{}", reply.text);
    }
}

#[test]
fn a_request_is_listed_to_both_and_accepted_refused_or_cancelled_by_the_side_that_may() {
    let service = Service::start(&[APP]);
    let [ada, bob, eve] = ["ada", "bob", "eve"].map(|user| token(&service, APP, user));
    let ask = |token: &str, user: &str| {
        let asked = call(&service, token, "POST", "friends", &json!({"user_id": user, "text": "please"}).to_string());
        asked.json()["request_id"].as_str().unwrap_or_else(|| panic!("{}", asked.text)).to_owned()
    };
    let answer = |token: &str, request: &str, how: &str| {
        call(&service, token, "POST", &format!("friend-requests/{request}/{how}"), "")
    };
    let (to_bob, to_eve) = (ask(&ada, "bob"), ask(&ada, "eve"));
    let listed = |token: &str, query: &str| {
        let page = call(&service, token, "GET", &format!("friend-requests{query}"), "").json();
        let requests = page["friend_requests"].as_array().unwrap_or_else(|| panic!("{page}")).clone();
        requests
            .iter()
            .map(|one| format!("{} {} {}", one["direction"], one["user_id"], one["state"]))
            .collect::<Vec<_>>()
    };
    assert_eq!(listed(&ada, "?direction=sent").len(), 2);
    assert_eq!(listed(&bob, ""), [r#""received" "ada" "pending""#]);
    refused(&answer(&ada, &to_bob, "accept"), 403, 25_466);
    refused(&answer(&eve, &to_bob, "accept"), 404, 25_466);
    refused(&answer(&bob, "nonsense", "accept"), 404, 25_466);
    for _ in 0..2 {
        let accepted = answer(&bob, &to_bob, "accept");
        assert_eq!((accepted.status, &accepted.json()["state"]), (200, &json!("accepted")), "{}", accepted.text);
    }
    assert_eq!(answer(&eve, &to_eve, "refuse").json()["state"], json!("refused"));
    refused(&answer(&ada, &to_eve, "cancel"), 409, 25_466);
    let again = ask(&ada, "eve");
    assert_eq!(answer(&ada, &again, "cancel").json()["state"], json!("cancelled"));
    assert_eq!(listed(&ada, "?state=pending").len(), 0);
    assert_eq!(listed(&ada, "?state=accepted"), [r#""sent" "bob" "accepted""#]);
    let changes = call(&service, &ada, "GET", "changes?since=0", "").json();
    let methods: Vec<_> =
        changes["changes"].as_array().unwrap().iter().map(|one| one["method"].as_str().unwrap()).collect();
    let expected = [
        "friend.requested",
        "friend.requested",
        "friend.accepted",
        "friend.added",
        "friend.refused",
        "friend.requested",
        "friend.cancelled",
    ];
    assert_eq!(methods, expected);
}
