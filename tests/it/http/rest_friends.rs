//! Friends and friend requests over REST.

use serde_json::{Value, json};

use crate::support::{App, Reply, Service, rollcall};

const APP: App = App::PRODUCTION;

fn ask(service: &Service, method: &str, path: &str, body: &Value) -> Reply {
    let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    service.request(method, &format!("/api/v1/{path}"), &headers, body.as_bytes())
}

#[track_caller]
fn told(service: &Service, method: &str, path: &str, body: &Value, status: u16) -> Value {
    let reply = ask(service, method, path, body);
    assert_eq!(reply.status, status, "{method} {path}: {}", reply.text);
    if reply.text.is_empty() { Value::Null } else { reply.json() }
}

#[track_caller]
fn refused(service: &Service, method: &str, path: &str, body: &Value) -> (u16, String) {
    let reply = ask(service, method, path, body);
    let problem = reply.json();
    let kind = problem["type"].as_str().unwrap_or_else(|| panic!("no problem: {}", reply.text));
    (reply.status, kind.trim_start_matches("urn:rollcall:problem:").to_owned())
}

/// The requests of a user: who is on the other side, on which, and how far it is.
#[track_caller]
fn requests(service: &Service, user: &str, query: &str) -> Vec<(String, String, String)> {
    let page = told(service, "GET", &format!("users/{user}/friend-requests{query}"), &Value::Null, 200);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let rows = page["friend_requests"].as_array().unwrap();
    rows.iter().map(|row| (text(&row["user_id"]), text(&row["direction"]), text(&row["state"]))).collect()
}

/// Asks; answers the id of the request.
#[track_caller]
fn asked(service: &Service, from: &str, to: &str) -> String {
    let asked = told(service, "POST", &format!("users/{from}/friends"), &json!({"user_id": to, "text": "please"}), 202);
    assert_eq!(asked["status"], "requested");
    asked["request_id"].as_str().unwrap().to_owned()
}

fn row(user: &str, direction: &str, state: &str) -> (String, String, String) {
    (user.into(), direction.into(), state.into())
}

#[test]
fn a_request_is_made_listed_on_both_sides_and_answered_once() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob", "eve", "joe"]);
    let to_bob = asked(&service, "ada", "bob");
    assert_eq!(asked(&service, "ada", "bob"), to_bob, "asking twice is asking once");
    let (to_eve, of_joe) = (asked(&service, "ada", "eve"), asked(&service, "joe", "ada"));
    let all = [row("joe", "received", "pending"), row("eve", "sent", "pending"), row("bob", "sent", "pending")];
    assert_eq!(requests(&service, "ada", ""), all);
    assert_eq!(requests(&service, "ada", "?direction=received"), all[..1]);
    assert_eq!(requests(&service, "ada", "?direction=sent&state=pending"), all[1..]);
    assert_eq!(requests(&service, "bob", "?direction=received&state=pending"), [row("ada", "received", "pending")]);
    let first = told(&service, "GET", "users/ada/friend-requests?limit=2", &Value::Null, 200);
    let next = format!("?limit=2&cursor={}", first["next"].as_str().unwrap());
    assert_eq!(requests(&service, "ada", &next), all[2..]);
    let received = &told(&service, "GET", "users/bob/friend-requests", &Value::Null, 200)["friend_requests"][0];
    assert_eq!((&received["request_id"], &received["text"]), (&json!(to_bob), &json!("please")));

    let accepted = told(&service, "POST", &format!("users/bob/friend-requests/{to_bob}/accept"), &Value::Null, 200);
    assert_eq!((&accepted["state"], &accepted["user_id"]), (&json!("accepted"), &json!("ada")));
    told(&service, "POST", &format!("users/bob/friend-requests/{to_bob}/accept"), &Value::Null, 200);
    let refuse = refused(&service, "POST", &format!("users/bob/friend-requests/{to_bob}/refuse"), &Value::Null);
    assert_eq!(refuse, (409, "friend-request-ended".into()));
    let own = refused(&service, "POST", &format!("users/ada/friend-requests/{to_eve}/accept"), &Value::Null);
    assert_eq!(own, (403, "other-side-of-request".into()));
    for stranger in ["bob", "nobody"] {
        let path = format!("users/{stranger}/friend-requests/{to_eve}/accept");
        assert_eq!(refused(&service, "POST", &path, &Value::Null), (404, "no-such-friend-request".into()));
    }
    told(&service, "POST", &format!("users/eve/friend-requests/{to_eve}/refuse"), &Value::Null, 200);
    told(&service, "POST", &format!("users/joe/friend-requests/{of_joe}/cancel"), &Value::Null, 200);
    let all = [row("joe", "received", "cancelled"), row("eve", "sent", "refused"), row("bob", "sent", "accepted")];
    assert_eq!(requests(&service, "ada", ""), all);
    assert_eq!(requests(&service, "ada", "?state=refused"), all[1..2]);
    let again = asked(&service, "eve", "ada");
    assert_ne!(again, to_eve, "another request has another id");
    told(&service, "POST", "users/ada/friends", &json!({"user_id": "eve"}), 200);
    assert_eq!(requests(&service, "eve", "?direction=sent"), [row("ada", "sent", "accepted")], "both asked");
    for (query, pointer) in [("?direction=up", "?direction"), ("?state=open", "?state"), ("?cursor=x", "?cursor")] {
        let bad = told(&service, "GET", &format!("users/ada/friend-requests{query}"), &Value::Null, 422);
        assert_eq!(bad["errors"][0]["pointer"], pointer);
    }
    let unknown = refused(&service, "GET", "users/stranger/friend-requests", &Value::Null);
    assert_eq!(unknown, (404, "not-registered".into()));
}

#[test]
fn blocking_and_deactivating_end_what_waits() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob", "eve"]);
    let to_bob = asked(&service, "ada", "bob");
    asked(&service, "eve", "ada");
    service.post(APP, "/user/blacklist/add.json", &[("userId", "bob"), ("blackUserId", "ada")]).ok();
    assert_eq!(requests(&service, "ada", "?direction=sent"), [row("bob", "sent", "refused")]);
    let late = refused(&service, "POST", &format!("users/bob/friend-requests/{to_bob}/accept"), &Value::Null);
    assert_eq!(late, (409, "friend-request-ended".into()));
    let again = refused(&service, "POST", "users/ada/friends", &json!({"user_id": "bob"}));
    assert_eq!(again, (403, "target-blocks".into()));
    told(&service, "POST", "users/ada/deactivation", &Value::Null, 202);
    assert_eq!(requests(&service, "eve", ""), []);
    assert_eq!(refused(&service, "GET", "users/ada/friend-requests", &Value::Null), (410, "deactivated".into()));
}

#[test]
fn friends_are_added_described_listed_checked_and_removed() {
    let mut service = Service::start(&[APP]);
    service.stop();
    let set = rollcall(&["apps", "set", APP.key, "--friend-field", "ext_team"], service.data());
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    service.restart();
    service.register(APP, &["ada", "bob", "eve"]);
    let added = told(&service, "PUT", "users/ada/friends/bob", &Value::Null, 201);
    assert_eq!(
        (&added["user_id"], &added["name"], &added["remark"]),
        (&json!("bob"), &json!("Name of bob"), &Value::Null)
    );
    told(&service, "PUT", "users/ada/friends/bob", &Value::Null, 200);
    told(&service, "PUT", "users/ada/friends/eve", &Value::Null, 201);
    let patch = json!({"remark": "Old mate", "fields": {"ext_team": "red"}});
    let described = told(&service, "PATCH", "users/ada/friends/bob", &patch, 200);
    assert_eq!((&described["remark"], &described["fields"]), (&json!("Old mate"), &json!({"ext_team": "red"})));
    let cleared = told(&service, "PATCH", "users/ada/friends/bob", &json!({"remark": null}), 200);
    assert_eq!((&cleared["remark"], &cleared["fields"]), (&Value::Null, &json!({"ext_team": "red"})));
    assert_eq!(told(&service, "GET", "users/bob/friends/ada", &Value::Null, 200)["fields"], json!({}));
    let undeclared = refused(&service, "PATCH", "users/ada/friends/bob", &json!({"fields": {"ext_no": "x"}}));
    assert_eq!(undeclared, (422, "undeclared-field".into()));

    let names = |query: &str| {
        let page = told(&service, "GET", &format!("users/ada/friends{query}"), &Value::Null, 200);
        let friends: Vec<_> = page["friends"].as_array().unwrap().iter().map(|f| f["user_id"].clone()).collect();
        (json!(friends), page["next"].as_str().map(str::to_owned), page["total"].clone())
    };
    assert_eq!(names(""), (json!(["bob", "eve"]), None, json!(2)));
    assert_eq!(names("?order=newest").0, json!(["eve", "bob"]));
    let (first, next, _) = names("?limit=1");
    assert_eq!((first, names(&format!("?limit=1&cursor={}", next.unwrap())).0), (json!(["bob"]), json!(["eve"])));

    let pairs = json!({"pairs": [["ada", "bob"], ["bob", "eve"], ["stranger", "ada"], ["eve", "ada"]]});
    let checked = told(&service, "POST", "friends/check", &pairs, 200);
    let found: Vec<_> = checked["results"].as_array().unwrap().iter().map(|pair| pair["friends"].clone()).collect();
    assert_eq!(json!(found), json!([true, false, false, true]));
    assert_eq!(checked["results"][2], json!({"from": "stranger", "to": "ada", "friends": false, "reverse": false}));
    let many = json!({"pairs": vec![["ada", "bob"]; 1_001]});
    assert_eq!(refused(&service, "POST", "friends/check", &many), (422, "invalid-value".into()));
    assert_eq!(told(&service, "POST", "friends/check", &json!({"pairs": []}), 200), json!({"results": []}));

    told(&service, "DELETE", "users/bob/friends/ada", &Value::Null, 204);
    told(&service, "DELETE", "users/bob/friends/ada", &Value::Null, 204);
    assert_eq!(refused(&service, "GET", "users/ada/friends/bob", &Value::Null), (404, "no-such-friend".into()));
    assert_eq!(refused(&service, "PATCH", "users/ada/friends/bob", &json!({})), (409, "not-friends".into()));
    told(&service, "DELETE", "users/ada/friends", &Value::Null, 204);
    assert_eq!(names(""), (json!([]), None, json!(0)));
    assert_eq!(refused(&service, "PUT", "users/ada/friends/ada", &Value::Null), (422, "own-target".into()));
}
