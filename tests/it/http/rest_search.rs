//! Users are found by the beginning of their userId and by a part of their name.

use serde_json::{Value, json};

use super::rest_users::{APP, ask, get, problem, walked};
use crate::support::{App, Service};

fn register(service: &Service, users: &[(&str, &str)]) {
    let users: Vec<_> = users.iter().map(|(id, name)| json!({"user_id": id, "name": name})).collect();
    let reply = ask(service, "POST", "users/batch", &json!({"users": users}));
    assert!(reply.json()["results"].as_array().unwrap().iter().all(|result| result["status"] == 201), "{}", reply.text);
}

/// The userIds that are found, in pages of two.
#[track_caller]
fn found(service: &Service, query: &str) -> Vec<String> {
    let users = walked(service, &format!("users?{query}"), "users");
    users.iter().map(|user| user["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn users_are_found_as_they_are_now_and_not_once_they_have_left() {
    let mut service = Service::start(&[APP, App::OTHER]);
    assert_eq!(found(&service, "name=a"), [""; 0], "there is nobody yet");
    for (id, name) in [
        ("u-1", "Ada Lovelace"),
        ("u-2", "Émilie du Châtelet"),
        ("v-3", "Grace Hopper"),
        ("u-4", "Radia Perlman"),
        ("U-5", "山田 花子"),
    ] {
        register(&service, &[(id, name)]);
    }
    assert_eq!(found(&service, "prefix=u-"), ["u-1", "u-2", "u-4"], "case matters in a userId");
    assert_eq!(found(&service, "name=ADA"), ["u-1"]);
    assert_eq!(found(&service, "name=adi"), ["u-4"], "inside of a word");
    assert_eq!(found(&service, "name=emilie%20du%20ch"), ["u-2"]);
    assert_eq!(found(&service, "name=CH%C3%82TELET"), ["u-2"]);
    assert_eq!(found(&service, "name=%E8%8A%B1"), ["U-5"]);
    assert_eq!(found(&service, "name=a&prefix=v"), ["v-3"]);
    assert_eq!(found(&service, "name=a"), ["u-1", "u-2", "v-3", "u-4"]);
    assert_eq!(found(&service, "name=nobody"), [""; 0]);
    let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", App::OTHER.key, App::OTHER.secret))];
    let of_other = service.request("GET", "/api/v1/users?name=a", &headers, b"").json();
    assert_eq!(of_other, json!({"users": [], "next": null, "previous": null}));

    // What was acknowledged a moment ago counts.
    assert_eq!(ask(&service, "PATCH", "users/v-3", &json!({"name": "Grace H."})).status, 200);
    assert_eq!((found(&service, "name=hopper"), found(&service, "name=h.")), (vec![], vec!["v-3".to_owned()]));
    register(&service, &[("u-6", "Ada Yonath")]);
    assert_eq!(found(&service, "name=ada"), ["u-1", "u-6"]);
    assert_eq!(ask(&service, "POST", "users/u-1/deactivation", &Value::Null).status, 202);
    assert_eq!((found(&service, "name=ada"), found(&service, "prefix=u-1")), (vec!["u-6".to_owned()], vec![]));
    service.restart();
    assert_eq!(
        (found(&service, "name=ada"), found(&service, "prefix=u-")),
        (vec!["u-6".to_owned()], ["u-2", "u-4", "u-6"].map(str::to_owned).to_vec())
    );
}

#[test]
fn the_users_of_one_state_or_registered_after_a_time_are_listed() {
    let service = Service::start(&[APP]);
    register(&service, &[("ada", "Ada")]);
    let registered = get(&service, "users/ada").json();
    assert_eq!(registered["state"], "active");
    let between = registered["registered_at"].as_str().unwrap().to_owned();
    std::thread::sleep(std::time::Duration::from_millis(5));
    for id in ["bob", "eve", "kim"] {
        register(&service, &[(id, "Somebody")]);
    }
    assert_eq!(found(&service, "limit=2"), ["ada", "bob", "eve", "kim"]);
    assert_eq!(found(&service, &format!("registered_after={between}")), ["bob", "eve", "kim"]);
    assert_eq!(found(&service, &format!("registered_after={between}&name=some&prefix=e")), ["eve"]);
    assert_eq!(found(&service, "registered_after=2999-01-01T00:00:00Z"), [""; 0]);
    assert_eq!(found(&service, "registered_after=2020-01-01T00:00:00Z"), ["ada", "bob", "eve", "kim"]);
    for id in ["ada", "eve", "kim"] {
        assert_eq!(ask(&service, "POST", &format!("users/{id}/deactivation"), &Value::Null).status, 202);
    }
    assert_eq!(found(&service, "state=active"), ["bob"]);
    assert_eq!(found(&service, "state=deactivated"), ["kim", "eve", "ada"]);
    let gone = get(&service, "users?state=deactivated").json();
    assert_eq!((&gone["users"][0]["state"], &gone["users"][0]["name"]), (&json!("deactivated"), &Value::Null));
    let long = format!("name={}", "x".repeat(65));
    for bad in
        ["name=", &*long, "prefix=", "prefix=a%20b", "state=banned", "state=deactivated&name=a", "registered_after=x"]
    {
        problem(&get(&service, &format!("users?{bad}")), 422, "invalid-value");
    }
}

#[test]
fn an_app_with_more_users_than_may_be_kept_in_memory_is_listed_and_not_searched() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--search-users-max", "2"];
    let service = Service::try_start_with(&dir.path().join("data"), &[APP], &args).unwrap();
    register(&service, &[("ada", "Ada"), ("bob", "Bob")]);
    assert_eq!(found(&service, "name=ada"), ["ada"]);
    register(&service, &[("eve", "Eve")]);
    service.eventually("the index has grown too large", |service| get(service, "users?name=ada").status == 501);
    problem(&get(&service, "users?name=ada"), 501, "search-too-many-users");
    assert_eq!(found(&service, "state=active"), ["ada", "bob", "eve"]);
}
