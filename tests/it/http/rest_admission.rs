//! Whether one user may message another, and what stands against it.

use serde_json::{Value, json};

use crate::support::{App, Reply, Service, rollcall};

const APP: App = App::PRODUCTION;

fn ask(service: &Service, path: &str, body: &Value) -> Reply {
    let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    service.request("POST", &format!("/api/v1/{path}"), &headers, body.to_string().as_bytes())
}

#[track_caller]
fn admitted(service: &Service, from: &str, to: &str) -> Value {
    let single = ask(service, "messages/admission", &json!({"from": from, "to": to}));
    assert_eq!(single.status, 200, "{}", single.text);
    let checks = json!({"checks": [{"from": from, "to": to}, {"from": to, "to": from}]});
    let batch = ask(service, "messages/admission", &checks).json();
    assert_eq!(batch["results"][0], single.json(), "alone or with others");
    single.json()
}

#[track_caller]
fn denied(service: &Service, from: &str, to: &str, rule: &str, code: u16) -> Value {
    let verdict = admitted(service, from, to);
    assert_eq!((&verdict["allowed"], &verdict["rule"], &verdict["code"]), (&json!(false), &json!(rule), &json!(code)));
    verdict["position"].clone()
}

/// The name of the event at a position, told by the proof that the log holds it.
#[track_caller]
fn names_an_event(service: &Service, position: &Value, of: &str, event: &str) {
    let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    let history = service.request("GET", &format!("/api/v1/users/{of}/history?limit=500"), &headers, b"").json();
    let found = history["events"].as_array().unwrap().iter().find(|entry| entry["position"] == *position);
    assert_eq!(found.unwrap_or_else(|| panic!("{position} is not in {history}"))["event"], event);
}

#[test]
fn a_message_is_admitted_until_something_stands_against_it_and_the_first_rule_is_told() {
    let mut service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob", "eve"]);
    let form = |service: &Service, path: &str, form: &[(&str, &str)]| service.post(APP, path, form).ok();
    assert_eq!(admitted(&service, "ada", "bob"), json!({"allowed": true}));
    assert_eq!(admitted(&service, "ada", "stranger"), json!({"allowed": true}), "a receiver need not be known");
    assert_eq!(denied(&service, "stranger", "ada", "sender_unknown", 400), Value::Null);
    // Named by a list, and still not registered.
    form(&service, "/user/blacklist/add.json", &[("userId", "eve"), ("blackUserId", "named")]);
    denied(&service, "named", "ada", "sender_unknown", 400);

    // From the last rule to the first: each is told before those behind it.
    service.stop();
    let set = rollcall(&["apps", "set", APP.key, "--friends-only-messages", "true"], service.data());
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    service.restart();
    assert!(denied(&service, "ada", "bob", "not_friends", 25469).as_u64().unwrap() > 0);
    denied(&service, "ada", "stranger", "not_friends", 25469);
    form(&service, "/friend/add.json", &[("userId", "ada"), ("targetId", "bob"), ("optType", "2")]);
    assert_eq!(admitted(&service, "ada", "bob"), json!({"allowed": true}));
    form(&service, "/friend/delete.json", &[("userId", "ada"), ("targetIds", "bob")]);
    denied(&service, "ada", "bob", "not_friends", 25469);
    form(&service, "/user/whitesetting/set.json", &[("userId", "bob"), ("whiteSetting", "1")]);
    let position = denied(&service, "ada", "bob", "not_allowed", 407);
    names_an_event(&service, &position, "bob", "allowlist.enabled");
    form(&service, "/user/whitelist/add.json", &[("userId", "bob"), ("whiteUserId", "ada")]);
    denied(&service, "ada", "bob", "not_friends", 25469);
    form(&service, "/user/blacklist/add.json", &[("userId", "bob"), ("blackUserId", "ada")]);
    let position = denied(&service, "ada", "bob", "blocked", 405);
    names_an_event(&service, &position, "bob", "blocklist.blocked");
    denied(&service, "bob", "ada", "not_friends", 25469);
    form(&service, "/user/deactivate.json", &[("userId", "bob")]);
    let position = denied(&service, "ada", "bob", "receiver_deactivated", 31029);
    names_an_event(&service, &position, "bob", "user.deactivated");
    form(&service, "/user/chat/fb/set.json", &[("userId", "ada"), ("state", "1"), ("type", "PERSON")]);
    let position = denied(&service, "ada", "bob", "sender_muted", 20106);
    names_an_event(&service, &position, "ada", "user.direct_messages_muted");
    form(&service, "/user/block.json", &[("userId", "ada"), ("minute", "60")]);
    let first = denied(&service, "ada", "bob", "sender_banned", 31009);
    names_an_event(&service, &first, "ada", "ban.imposed");
    form(&service, "/user/block.json", &[("userId", "ada"), ("minute", "90")]);
    let second = denied(&service, "ada", "bob", "sender_banned", 31009);
    names_an_event(&service, &second, "ada", "ban.replaced");
    form(&service, "/user/unblock.json", &[("userId", "ada")]);
    denied(&service, "ada", "bob", "sender_muted", 20106);
    denied(&service, "bob", "ada", "sender_deactivated", 31029);
}

#[test]
fn a_thousand_pairs_are_answered_in_their_order_and_more_are_refused() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob"]);
    let blocked = service.post(APP, "/user/blacklist/add.json", &[("userId", "bob"), ("blackUserId", "u7")]);
    blocked.ok();
    service.register(APP, &["u7"]);
    let check = |n: usize| json!({"from": if n.is_multiple_of(3) { "u7" } else { "ada" }, "to": if n.is_multiple_of(2) { "bob" } else { "x" }});
    let checks: Vec<_> = (0..1_000).map(check).collect();
    let reply = ask(&service, "messages/admission", &json!({"checks": checks}));
    let results = reply.json()["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), 1_000);
    for (n, result) in results.iter().enumerate() {
        assert_eq!(result["allowed"], json!(n % 6 != 0), "{n}: {result}");
    }
    assert_eq!(ask(&service, "messages/admission", &json!({"checks": []})).json(), json!({"results": []}));
    let many = json!({"checks": vec![json!({"from": "ada", "to": "bob"}); 1_001]});
    let refused = ask(&service, "messages/admission", &many).json();
    assert_eq!((&refused["status"], &refused["errors"][0]["pointer"]), (&json!(422), &json!("#/checks")));
    for (bad, status) in [
        (json!({"from": "ada"}), 400),
        (json!({"from": "ada", "to": "bob", "checks": []}), 400),
        (json!({"from": "a,b", "to": "bob"}), 422),
        (json!([]), 400),
    ] {
        assert_eq!(ask(&service, "messages/admission", &bad).status, status, "{bad}");
    }
}
