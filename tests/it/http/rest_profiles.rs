//! Hosted profiles of many users, and what was set of one is read again.

use serde_json::{Value, json};

use super::rest_users::{APP, ask, done, get, problem, walked};
use crate::support::{App, Service};

fn named(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["user_id"].as_str().unwrap()).collect()
}

#[test]
fn the_profiles_of_an_app_are_listed_asked_for_together_and_cleared() {
    let service = Service::start(&[APP, App::OTHER]);
    let people = ["ada", "bob", "eve", "joe", "kim"];
    service.register(APP, &people);
    service.register(App::OTHER, &["ada"]);
    assert_eq!(get(&service, "profiles").json(), json!({"profiles": [], "next": null, "previous": null}));
    for who in ["ada", "eve", "joe", "kim"] {
        let set = ask(&service, "PATCH", &format!("users/{who}/profile"), &json!({"location": format!("of {who}")}));
        assert_eq!(set.status, 200, "{}", set.text);
    }
    let listed = walked(&service, "profiles", "profiles");
    assert_eq!(named(&listed), ["ada", "eve", "joe", "kim"], "by registration; who has none is left out");
    assert_eq!(listed[1], json!({"user_id": "eve", "profile": {"location": "of eve"}}));
    problem(&get(&service, "profiles?limit=0"), 422, "invalid-value");
    problem(&get(&service, "profiles?cursor=AQAAAAAAAAAB"), 422, "invalid-value");

    let query = |user_ids: Value| ask(&service, "POST", "profiles/query", &json!({"user_ids": user_ids}));
    let found = query(json!(["kim", "nobody", "ada", "bob"])).json();
    assert_eq!(named(found["profiles"].as_array().unwrap()), ["kim", "ada"], "{found}");
    assert_eq!(found["missing"], json!(["nobody", "bob"]));
    assert_eq!(query(json!([])).json(), json!({"profiles": [], "missing": []}));
    let many: Vec<_> = (0..1_001).map(|n| format!("user{n}")).collect();
    problem(&query(json!(many)), 422, "invalid-value");
    problem(&query(json!(["not ok"])), 422, "invalid-value");
    problem(&ask(&service, "POST", "profiles/query", &json!({})), 400, "malformed-json");
    let of_other = [("Authorization".to_owned(), format!("Bearer {}:{}", App::OTHER.key, App::OTHER.secret))];
    let other = service.request("POST", "/api/v1/profiles/query", &of_other, br#"{"user_ids": ["ada"]}"#).json();
    assert_eq!(other, json!({"profiles": [], "missing": ["ada"]}), "profiles of another app are nobody's");

    for _ in 0..2 {
        done(&ask(&service, "DELETE", "users/eve/profile", &Value::Null));
        assert_eq!(get(&service, "users/eve/profile").json(), json!({"profile": {}}));
    }
    assert_eq!(ask(&service, "POST", "users/joe/deactivation", &Value::Null).status, 202);
    service
        .eventually("the profile is gone", |service| named(&walked(service, "profiles", "profiles")) == ["ada", "kim"]);
    assert_eq!(query(json!(["joe", "eve"])).json(), json!({"profiles": [], "missing": ["joe", "eve"]}));
    problem(&ask(&service, "DELETE", "users/nobody/profile", &Value::Null), 404, "not-registered");
    problem(&ask(&service, "DELETE", "users/joe/profile", &Value::Null), 410, "deactivated");
}

#[test]
fn the_remarks_of_a_user_are_listed_in_the_order_in_which_they_were_made() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob", "eve", "joe"]);
    assert_eq!(get(&service, "users/ada/remarks").json(), json!({"remarks": [], "next": null, "previous": null}));
    // The first three in one call, and so in one event.
    let remarks =
        json!([{"id": "joe", "remark": "one"}, {"id": "bob", "remark": "two"}, {"id": "eve", "remark": "three"}]);
    service.post(APP, "/user/remarks/set.json", &[("userId", "ada"), ("remarks", &remarks.to_string())]).ok();
    done(&ask(&service, "PUT", "users/ada/remarks/new", &json!({"remark": "four"})));
    done(&ask(&service, "PUT", "users/bob/remarks/ada", &json!({"remark": "another's"})));
    let listed = walked(&service, "users/ada/remarks", "remarks");
    let mut first = named(&listed[..3]);
    first.sort_unstable();
    assert_eq!((first, &listed[3]), (vec!["bob", "eve", "joe"], &json!({"user_id": "new", "remark": "four"})));
    problem(&get(&service, "users/ada/remarks?cursor=AQAAAAAAAAAB"), 422, "invalid-value");
    let one = |path: &str| get(&service, &format!("users/{path}"));
    assert_eq!(one("ada/remarks/bob").json(), json!({"user_id": "bob", "remark": "two"}));
    done(&ask(&service, "PUT", "users/ada/remarks/bob", &json!({"remark": "too"})));
    assert_eq!(one("ada/remarks/bob").json(), json!({"user_id": "bob", "remark": "too"}));
    problem(&one("bob/remarks/eve"), 404, "no-remark");
    problem(&one("ada/remarks/never-used"), 404, "no-remark");
    problem(&one("nobody/remarks/bob"), 404, "not-registered");
    problem(&one("ada/remarks/b,b"), 422, "invalid-value");
    done(&ask(&service, "DELETE", "users/ada/remarks/bob", &Value::Null));
    problem(&one("ada/remarks/bob"), 404, "no-remark");
    assert_eq!(ask(&service, "POST", "users/joe/deactivation", &Value::Null).status, 202);
    service.eventually("what was said about joe is gone", |service| {
        named(&walked(service, "users/ada/remarks", "remarks")) == ["eve", "new"]
    });
    problem(&get(&service, "users/nobody/remarks"), 404, "not-registered");
    problem(&get(&service, "users/joe/remarks"), 410, "deactivated");
    problem(&get(&service, "users/ada/remarks/joe"), 404, "no-remark");
    problem(&get(&service, "users/joe/remarks/ada"), 410, "deactivated");
}

#[test]
fn quiet_hours_and_who_may_befriend_a_user_are_read_as_they_were_set() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    let quiet = "users/ada/push-quiet-hours";
    problem(&get(&service, quiet), 404, "no-quiet-hours");
    done(&ask(&service, "PUT", quiet, &json!({"start": "22:00:00", "minutes": 480})));
    assert_eq!(get(&service, quiet).json(), json!({"start": "22:00:00", "minutes": 480, "level": 1}));
    done(&ask(&service, "DELETE", quiet, &Value::Null));
    problem(&get(&service, quiet), 404, "no-quiet-hours");
    let permission = "users/ada/friend-permission";
    assert_eq!(get(&service, permission).json(), json!({"permission": "approval", "own": false}), "that of the app");
    done(&ask(&service, "PUT", permission, &json!({"permission": "nobody"})));
    assert_eq!(get(&service, permission).json(), json!({"permission": "nobody", "own": true}));
    problem(&get(&service, "users/nobody/friend-permission"), 404, "not-registered");
    problem(&get(&service, "users/nobody/push-quiet-hours"), 404, "not-registered");
}

#[test]
fn who_of_many_pairs_allows_whom_is_told_in_both_directions_and_of_nobody_who_is_not_known() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob", "eve"]);
    done(&ask(&service, "PUT", "users/ada/allowlist/bob", &Value::Null));
    done(&ask(&service, "PUT", "users/eve/allowlist/ada", &Value::Null));
    let check = |pairs: Value| ask(&service, "POST", "allows/check", &json!({"pairs": pairs}));
    let told = check(json!([["ada", "bob"], ["ada", "eve"], ["nobody", "ada"], ["bob", "eve"]])).json();
    let result = |from: &str, to: &str, allowed: bool, reverse: bool| json!({"from": from, "to": to, "allowed": allowed, "reverse": reverse});
    let expected = [
        result("ada", "bob", true, false),
        result("ada", "eve", false, true),
        result("nobody", "ada", false, false),
        result("bob", "eve", false, false),
    ];
    assert_eq!(told["results"], json!(expected));
    assert_eq!(check(json!([])).json(), json!({"results": []}));
    problem(&check(json!([["not ok", "ada"]])), 422, "invalid-value");
    problem(&check(json!(vec![["ada", "bob"]; 1_001])), 422, "invalid-value");
    problem(&check(json!([["ada"]])), 400, "malformed-json");
}
