//! A user is found by the uniqueId that the app gave it.

use serde_json::{Value, json};

use super::rest_users::{APP, ask, get, problem};
use crate::support::{App, Service};

fn set(service: &Service, user: &str, unique_id: &Value) {
    let patched = ask(service, "PATCH", &format!("users/{user}/profile"), &json!({"uniqueId": unique_id}));
    assert_eq!(patched.status, 200, "{}", patched.text);
}

#[track_caller]
fn found(service: &Service, unique_id: &str) -> Value {
    let found = get(service, &format!("users/by-unique-id/{unique_id}"));
    assert_eq!(found.status, 200, "{}", found.text);
    found.json()["id"].clone()
}

#[track_caller]
fn nobody(service: &Service, unique_id: &str) {
    problem(&get(service, &format!("users/by-unique-id/{unique_id}")), 404, "not-registered");
}

#[test]
fn a_user_is_found_by_its_unique_id_until_that_is_changed_taken_away_or_the_user_has_left() {
    let mut service = Service::start(&[APP, App::OTHER]);
    service.register(APP, &["ada", "bob"]);
    nobody(&service, "rose-7");
    set(&service, "ada", &json!("Rösle / 7"));
    let encoded = "R%C3%B6sle%20%2F%207";
    assert_eq!(found(&service, encoded), "ada");
    let user = get(&service, &format!("users/by-unique-id/{encoded}")).json();
    assert_eq!(user, get(&service, "users/ada").json(), "it is told as it is under its userId");
    nobody(&service, "r%C3%B6sle%20%2F%207");
    nobody(&service, "ada");
    let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", App::OTHER.key, App::OTHER.secret))];
    let of_other = service.request("GET", &format!("/api/v1/users/by-unique-id/{encoded}"), &headers, b"");
    assert_eq!(of_other.status, 404, "another app's users are not found");

    // An equal userId is something else.
    service.register(APP, &["rose-7"]);
    nobody(&service, "rose-7");
    set(&service, "ada", &json!("rose-7"));
    nobody(&service, encoded);
    service.restart();
    assert_eq!(found(&service, "rose-7"), "ada");
    set(&service, "ada", &Value::Null);
    nobody(&service, "rose-7");
    set(&service, "ada", &json!("rose-7"));
    service.post(APP, "/user/profile/clean.json", &[("userId", "ada")]).ok();
    nobody(&service, "rose-7");
    set(&service, "ada", &json!(""));
    nobody(&service, "");
    set(&service, "ada", &json!("rose-7"));
    assert_eq!(ask(&service, "POST", "users/ada/deactivation", &Value::Null).status, 202);
    nobody(&service, "rose-7");
}

#[test]
fn of_several_users_with_one_unique_id_the_one_is_found_that_has_had_it_for_the_longest_time() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob", "eve"]);
    for user in ["bob", "ada", "eve", "bob"] {
        set(&service, user, &json!("champion"));
    }
    assert_eq!(found(&service, "champion"), "bob", "setting it again is no new claim");
    set(&service, "bob", &json!("retired"));
    assert_eq!(found(&service, "champion"), "ada");
    assert_eq!(ask(&service, "POST", "users/ada/deactivation", &Value::Null).status, 202);
    assert_eq!(found(&service, "champion"), "eve");
    set(&service, "bob", &json!("champion"));
    assert_eq!(found(&service, "champion"), "eve", "who takes it up again comes last");
}
