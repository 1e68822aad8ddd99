//! Single tokens, those of a user and those of an app, over REST.

use serde_json::{Value, json};

use super::rest_users::{APP, ask, done, get, keyed, problem, walked};
use crate::support::{App, Service};

/// Issues a token; answers its text and its id.
#[track_caller]
fn issue(service: &Service, body: &Value) -> (String, String) {
    let issued = ask(service, "POST", "users/ada/tokens", body);
    assert_eq!(issued.status, 201, "{}", issued.text);
    let text = |name: &str| issued.json()[name].as_str().unwrap().to_owned();
    (text("token"), text("token_id"))
}

fn is_active(service: &Service, token: &str) -> bool {
    let told = ask(service, "POST", "tokens/introspect", &json!({"token": token})).json();
    told["active"].as_bool().unwrap()
}

fn connects(service: &Service, token: &str) -> u16 {
    let headers = [("Authorization".to_owned(), format!("Bearer {token}"))];
    service.request("GET", "/client/v1/me", &headers, b"").status
}

#[test]
fn one_token_is_ended_and_the_others_stay_good() {
    let mut service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob"]);
    let (phone, id) = issue(&service, &json!({"label": "Ada's phone"}));
    let (page, _) = issue(&service, &Value::Null);
    assert!(is_active(&service, &phone) && is_active(&service, &page));
    let path = format!("users/ada/tokens/{id}");
    done(&ask(&service, "DELETE", &path, &Value::Null));
    done(&ask(&service, "DELETE", &path, &Value::Null));
    assert!(!is_active(&service, &phone) && is_active(&service, &page));
    assert_eq!((connects(&service, &phone), connects(&service, &page)), (401, 200));
    service.restart();
    assert_eq!((connects(&service, &phone), connects(&service, &page)), (401, 200));

    problem(&ask(&service, "DELETE", &format!("users/bob/tokens/{id}"), &Value::Null), 404, "no-such-token");
    problem(&ask(&service, "DELETE", &format!("users/nobody/tokens/{id}"), &Value::Null), 404, "not-registered");
    for unknown in ["x", "00000000-0000-0000-0000-000000000001"] {
        problem(&ask(&service, "DELETE", &format!("users/ada/tokens/{unknown}"), &Value::Null), 404, "no-such-token");
    }
    problem(&ask(&service, "DELETE", "users/nobody/tokens/x", &Value::Null), 404, "not-registered");
}

#[test]
fn the_tokens_of_a_user_are_listed_with_their_labels_and_whether_they_are_good() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob"]);
    let labels = ["a", "b", "c", "d", "e"];
    let ids = labels.map(|label| issue(&service, &json!({"label": label, "expires_in_seconds": 600})).1);
    done(&ask(&service, "DELETE", &format!("users/ada/tokens/{}", ids[1]), &Value::Null));
    let listed = walked(&service, "users/ada/tokens", "tokens");
    let told: Vec<_> = listed.iter().map(|token| (token["label"].as_str(), token["state"].as_str().unwrap())).collect();
    let active = |label| (label, "active");
    let newest_first = [
        active(Some("e")),
        active(Some("d")),
        active(Some("c")),
        (Some("b"), "revoked"),
        active(Some("a")),
        active(None),
    ];
    assert_eq!(told, newest_first, "that of the registration has no label");
    assert_eq!(listed[4]["token_id"], json!(ids[0]));
    assert!(listed[0]["expires_at"].is_string() && listed[5]["expires_at"].is_null(), "{listed:?}");
    done(&ask(&service, "DELETE", "users/ada/tokens", &Value::Null));
    let listed = walked(&service, "users/ada/tokens", "tokens");
    assert!(listed.iter().all(|token| token["state"] == "revoked"), "{listed:?}");

    for label in ["", &*"x".repeat(65)] {
        problem(&ask(&service, "POST", "users/ada/tokens", &json!({"label": label})), 422, "invalid-value");
    }
    problem(&get(&service, "users/nobody/tokens"), 404, "not-registered");
    problem(&get(&service, "users/ada/tokens?cursor=AAAAAAAAAAE"), 422, "invalid-value");
    service.post(APP, "/user/blacklist/add.json", &[("userId", "bob"), ("blackUserId", "only-named")]).ok();
    problem(&get(&service, "users/only-named/tokens"), 404, "not-registered");
    assert_eq!(ask(&service, "POST", "users/bob/deactivation", &Value::Null).status, 202);
    problem(&get(&service, "users/bob/tokens"), 410, "deactivated");
}

#[test]
fn a_token_of_few_scopes_says_which_wherever_it_is_told_and_a_repeat_is_answered_the_same_one() {
    let mut service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    let unknown = ask(&service, "POST", "users/ada/tokens", &json!({"scopes": ["read", "me"]}));
    problem(&unknown, 400, "unknown-scope");
    let told = unknown.json();
    assert_eq!(told["detail"], "each scope of an access token is read, write, connect or account");
    assert_eq!(told["errors"][0]["pointer"], "#/scopes");
    problem(&ask(&service, "POST", "users/ada/tokens", &json!({"scopes": []})), 422, "invalid-value");

    let asked = json!({"scopes": ["write"], "label": "bot"});
    let once = || keyed(&service, "POST", "users/ada/tokens", &asked, Some("once")).json();
    let issued = once();
    assert_eq!((&issued["scopes"], once()), (&json!(["read", "write"]), issued.clone()), "{issued}");
    let other = keyed(&service, "POST", "users/ada/tokens", &json!({"label": "bot"}), Some("once"));
    problem(&other, 422, "idempotency-key-mismatch");
    let (whole, _) = issue(&service, &json!({"scopes": null}));
    let scoped = issued["token"].as_str().unwrap();
    let scope_of = |service: &Service, token: &str| {
        let told = ask(service, "POST", "tokens/introspect", &json!({"token": token})).json();
        assert_eq!((&told["active"], &told["sub"]), (&json!(true), &json!("ada")), "{told}");
        told.get("scope").cloned()
    };
    for _ in 0..2 {
        assert_eq!((scope_of(&service, scoped), scope_of(&service, &whole)), (Some(json!("read write")), None));
        let listed = walked(&service, "users/ada/tokens", "tokens");
        let scopes: Vec<_> = listed.iter().map(|token| (token["label"].as_str(), &token["scopes"])).collect();
        let few = json!(["read", "write"]);
        assert_eq!(scopes, [(None, &Value::Null), (Some("bot"), &few), (None, &Value::Null)]);
        service.restart();
    }
    done(&ask(&service, "DELETE", &format!("users/ada/tokens/{}", issued["token_id"].as_str().unwrap()), &Value::Null));
    assert_eq!((is_active(&service, scoped), is_active(&service, &whole)), (false, true));
}

#[test]
fn the_tokens_of_a_whole_app_are_ended_at_once() {
    let mut service = Service::start(&[APP, App::OTHER]);
    service.register(APP, &["ada", "bob"]);
    service.register(App::OTHER, &["ada"]);
    let (before, _) = issue(&service, &Value::Null);
    for body in [json!({"issued_before": "2999-01-01T00:00:00Z"}), json!({"issued_before": "x"})] {
        problem(&ask(&service, "POST", "tokens/invalidate", &body), 422, "invalid-value");
    }
    problem(&ask(&service, "POST", "tokens/invalidate", &json!({"before": "x"})), 400, "malformed-json");
    done(&ask(&service, "POST", "tokens/invalidate", &json!({"issued_before": "2026-01-01T00:00:00Z"})));
    assert!(is_active(&service, &before), "it was issued later");
    // A token that is issued in the same millisecond was not issued before.
    std::thread::sleep(std::time::Duration::from_millis(5));
    done(&ask(&service, "POST", "tokens/invalidate", &Value::Null));
    assert!(!is_active(&service, &before));
    assert_eq!(connects(&service, &before), 401);
    let (after, _) = issue(&service, &Value::Null);
    assert!(is_active(&service, &after));
    done(&ask(&service, "POST", "tokens/invalidate", &json!({"issued_before": "2026-01-01T00:00:00Z"})));
    assert!(!is_active(&service, &before), "an earlier time gives nothing back");
    let listed = walked(&service, "users/ada/tokens", "tokens");
    let states: Vec<_> = listed.iter().map(|token| token["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["active", "revoked", "revoked"]);
    service.restart();
    assert_eq!((connects(&service, &before), connects(&service, &after)), (401, 200));
    let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", App::OTHER.key, App::OTHER.secret))];
    let of_other = service.request("GET", "/api/v1/users/ada/tokens", &headers, b"").json();
    assert_eq!(of_other["tokens"][0]["state"], "active", "another app's tokens stay good");
}
