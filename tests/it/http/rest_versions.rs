//! Whoever changes something may say which revision of it it knows.

use serde_json::{Value, json};

use super::rest_users::{APP, ask, get, problem};
use crate::support::{App, Reply, Service};

fn with(service: &Service, method: &str, path: &str, header: (&str, &str), body: &Value) -> Reply {
    let mut headers = vec![("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    headers.push((header.0.to_owned(), header.1.to_owned()));
    let body = if body.is_null() { String::new() } else { body.to_string() };
    service.request(method, &format!("/api/v1/{path}"), &headers, body.as_bytes())
}

#[track_caller]
fn etag(reply: &Reply) -> String {
    assert!(reply.status < 300, "{}", reply.text);
    reply.header("etag").unwrap_or_else(|| panic!("no ETag: {:?}", reply.headers)).to_owned()
}

/// What is answered with an `ETag`, and two changes of it.
fn versioned() -> [(&'static str, Value, Value); 3] {
    [
        ("users/ada", json!({"name": "Ada L."}), json!({"name": "Ada"})),
        ("users/ada/profile", json!({"location": "London"}), json!({"location": null})),
        ("app", json!({"reactivation_wait_seconds": 1}), json!({"reactivation_wait_seconds": 2})),
    ]
}

#[test]
fn a_change_is_refused_where_somebody_else_has_changed_what_the_caller_knows() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    for (path, first, second) in versioned() {
        let known = etag(&get(&service, path));
        assert_eq!(etag(&get(&service, path)), known, "asking changes nothing");
        let changed = with(&service, "PATCH", path, ("If-Match", &known), &first);
        let now = etag(&changed);
        assert_ne!(now, known, "{path}");
        assert_eq!(etag(&get(&service, path)), now);
        let before = get(&service, path).json();
        for stale in [known.as_str(), "\"0\"", "nonsense", &format!("W/{now}")] {
            let refused = with(&service, "PATCH", path, ("If-Match", stale), &second);
            problem(&refused, 412, "changed");
        }
        problem(&with(&service, "PATCH", path, ("If-Match", &known), &json!({})), 412, "changed");
        assert_eq!(get(&service, path).json(), before, "nothing was changed");
        let either = format!("{known}, {now}");
        let changed = with(&service, "PATCH", path, ("If-Match", &either), &second);
        assert_ne!(etag(&changed), now, "{path}");
        assert_eq!(with(&service, "PATCH", path, ("If-Match", "*"), &first).status, 200);
    }
    problem(&with(&service, "PATCH", "users/nobody", ("If-Match", "\"1\""), &json!({})), 404, "not-registered");
}

#[test]
fn who_knows_a_revision_already_is_not_told_it_again() {
    let mut service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    for (path, change, _) in versioned() {
        let known = etag(&get(&service, path));
        for header in [known.clone(), format!("\"x\", W/{known}"), "*".to_owned()] {
            let answer = with(&service, "GET", path, ("If-None-Match", &header), &Value::Null);
            assert_eq!((answer.status, &*answer.text, answer.header("etag")), (304, "", Some(&*known)), "{path}");
        }
        assert_eq!(ask(&service, "PATCH", path, &change).status, 200);
        let answer = with(&service, "GET", path, ("If-None-Match", &known), &Value::Null);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
    let known = etag(&get(&service, "users/ada"));
    service.restart();
    assert_eq!(etag(&get(&service, "users/ada")), known);
    assert_eq!(ask(&service, "POST", "users/ada/deactivation", &Value::Null).status, 202);
    let gone = with(&service, "GET", "users/ada", ("If-None-Match", &known), &Value::Null);
    problem(&gone, 410, "deactivated");
}

#[test]
fn of_callers_that_know_the_same_revision_one_changes_it() {
    let service = Service::start(&[APP, App::OTHER]);
    service.register(APP, &["ada"]);
    let known = etag(&get(&service, "users/ada"));
    let change = |name: String| with(&service, "PATCH", "users/ada", ("If-Match", &known), &json!({"name": name}));
    let change = &change;
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let callers: Vec<_> = (0..8).map(|number| scope.spawn(move || change(format!("N{number}")).status)).collect();
        callers.into_iter().map(|caller| caller.join().unwrap()).collect()
    });
    let count = |status| statuses.iter().filter(|one| **one == status).count();
    assert_eq!((count(200), count(412)), (1, 7), "{statuses:?}");
    // Without saying what they know, both change what they name and nothing else.
    let settings = [json!({"reactivation_wait_seconds": 7}), json!({"token_lifetime_seconds": 77})];
    for _ in 0..4 {
        std::thread::scope(|scope| {
            settings
                .iter()
                .for_each(|patch| drop(scope.spawn(|| assert_eq!(ask(&service, "PATCH", "app", patch).status, 200))));
        });
        let told = get(&service, "app").json()["settings"].clone();
        assert_eq!((&told["reactivation_wait_seconds"], &told["token_lifetime_seconds"]), (&json!(7), &json!(77)));
        let back = json!({"reactivation_wait_seconds": 1, "token_lifetime_seconds": null});
        assert_eq!(ask(&service, "PATCH", "app", &back).status, 200);
    }
}
