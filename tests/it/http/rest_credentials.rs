//! Secrets and API keys of an app, changed by its operator while the service runs.

use serde_json::{Value, json};

use crate::support::{App, Reply, Service, rollcall};

const APP: App = App::PRODUCTION;

fn call(service: &Service, bearer: &str, method: &str, path: &str, body: &str) -> Reply {
    keyed(service, bearer, method, path, body, None)
}

fn keyed(service: &Service, bearer: &str, method: &str, path: &str, body: &str, key: Option<&str>) -> Reply {
    let mut headers = vec![("Authorization".to_owned(), format!("Bearer {bearer}"))];
    headers.extend(key.map(|key| ("Idempotency-Key".to_owned(), key.to_owned())));
    service.request(method, &format!("/api/v1/{path}"), &headers, body.as_bytes())
}

#[track_caller]
fn problem(reply: &Reply, status: u16, kind: &str) {
    let json = reply.json();
    assert_eq!(
        (reply.status, json["type"].as_str()),
        (status, Some(&*format!("urn:rollcall:problem:{kind}"))),
        "{json}"
    );
}

/// A service, and a key of the scope `operator`, which only the operator of the machine can make first.
fn started(apps: &[App]) -> (Service, String) {
    let mut service = Service::start(apps);
    service.register(APP, &["ada"]);
    service.stop();
    let output = rollcall(&["apps", "add-key", APP.key, "--scope", "operator"], service.data());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    service.restart();
    (service, String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

#[test]
fn an_api_key_is_added_used_listed_and_retired_while_the_service_runs() {
    let (mut service, operator) = started(&[APP]);
    let added = call(&service, &operator, "POST", "api-keys", r#"{"scopes":["server","moderator"]}"#);
    assert_eq!((added.status, added.header("location")), (201, Some("/api/v1/api-keys/2")), "{}", added.text);
    assert!(added.header("rollcall-position").is_some());
    let key = added.json()["key"].as_str().unwrap().to_owned();
    assert_eq!(added.json(), json!({"number": 2, "scopes": ["server", "moderator"], "key": key}));
    service.eventually("it is let in", |service| call(service, &key, "GET", "users/ada", "").status == 200);
    problem(&call(&service, &key, "GET", "api-keys", ""), 403, "scope-missing");
    let third = call(&service, &operator, "POST", "api-keys", r#"{"scopes":["compliance"]}"#);
    assert_eq!(third.status, 201, "{}", third.text);
    let listed = |service: &Service| {
        let listed = call(service, &operator, "GET", "api-keys", "").json();
        assert_eq!(listed["next"], Value::Null);
        let keys = listed["api_keys"].as_array().unwrap().clone();
        keys.into_iter().map(|key| (key["number"].clone(), key["scopes"].clone(), key["last_used_at"].clone()))
    };
    let keys: Vec<_> = listed(&service).map(|(number, scopes, _)| (number, scopes)).collect();
    let scopes = [json!(["operator"]), json!(["server", "moderator"]), json!(["compliance"])];
    assert_eq!(keys, [1, 2, 3].map(Value::from).into_iter().zip(scopes).collect::<Vec<_>>());
    let are_used = |service: &Service| listed(service).map(|(.., used)| used.is_string()).collect::<Vec<_>>();
    service.eventually("it is told which were used", |service| are_used(service) == [true, true, false]);
    service.stop();
    service.restart();
    assert_eq!(are_used(&service), [true, true, false], "a clean stop loses nothing of it");

    assert_eq!(call(&service, &operator, "DELETE", "api-keys/2", "").status, 204);
    service.eventually("it is turned away", |service| call(service, &key, "GET", "users/ada", "").status == 401);
    problem(&call(&service, &operator, "DELETE", "api-keys/2", ""), 404, "no-such-api-key");
    problem(&call(&service, &operator, "DELETE", "api-keys/x", ""), 422, "invalid-value");
    problem(&call(&service, &operator, "POST", "api-keys", r#"{"scopes":[]}"#), 422, "invalid-value");
    for bad in ["", "{}", r#"{"scopes":["root"]}"#, r#"{"scopes":["server"],"x":1}"#] {
        problem(&call(&service, &operator, "POST", "api-keys", bad), 400, "malformed-json");
    }
}

#[test]
fn a_repeated_call_makes_no_second_key_and_no_second_secret_and_says_why_it_tells_none() {
    let (service, operator) = started(&[APP]);
    let secrets = format!("apps/{}/secrets", APP.key);
    for (path, body, list) in [("api-keys", r#"{"scopes":["server"]}"#, "api_keys"), (&*secrets, "", "secrets")] {
        let post = || keyed(&service, &operator, "POST", path, body, Some("once"));
        assert_eq!(post().status, if path == "api-keys" { 201 } else { 422 }, "a key is bound to its call");
        let post = || keyed(&service, &operator, "POST", path, body, Some(path));
        let first = post();
        assert_eq!(first.status, 201, "{}", first.text);
        let count = || call(&service, &operator, "GET", path, "").json()[list].as_array().unwrap().len();
        let before = count();
        problem(&post(), 409, "told-before");
        assert_eq!(count(), before, "{list}");
    }
    let again = call(&service, &operator, "POST", &secrets, "");
    assert_eq!(again.status, 201, "{}", again.text);
}

#[test]
fn a_secret_is_replaced_without_a_gap_and_the_old_one_ends_with_what_was_signed_by_it() {
    let (service, operator) = started(&[APP]);
    let path = format!("apps/{}/secrets", APP.key);
    let added = call(&service, &operator, "POST", &path, "");
    assert_eq!((added.status, &added.json()["number"]), (201, &json!(2)), "{}", added.text);
    let secret = added.json()["secret"].as_str().unwrap().to_owned();
    let renewed = App { secret: secret.leak(), ..APP };
    // Both are valid meanwhile.
    for app in [APP, renewed] {
        service
            .eventually("it signs", |service| service.post(app, "/user/info.json", &[("userId", "ada")]).status == 200);
    }
    let listed = call(&service, &operator, "GET", &path, "").json();
    let secrets = [json!({"number": 1, "current": false}), json!({"number": 2, "current": true})];
    assert_eq!(listed, json!({"secrets": secrets, "next": null}));
    assert!(!listed.to_string().contains(renewed.secret));

    assert_eq!(call(&service, &operator, "DELETE", &format!("{path}/1"), "").status, 204);
    service.eventually("the old one ends", |service| {
        service.post(APP, "/user/info.json", &[("userId", "ada")]).status == 401
    });
    service.post(renewed, "/user/info.json", &[("userId", "ada")]).ok();
    problem(&call(&service, &operator, "DELETE", &format!("{path}/1"), ""), 404, "no-such-secret");
    problem(&call(&service, &operator, "DELETE", &format!("{path}/2"), ""), 409, "last-secret");
    service.post(renewed, "/user/info.json", &[("userId", "ada")]).ok();
}

#[test]
fn callers_that_add_secrets_at_the_same_time_each_get_one_that_is_valid() {
    let (service, operator) = started(&[APP]);
    let path = format!("apps/{}/secrets", APP.key);
    let answers: Vec<_> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..6).map(|_| scope.spawn(|| call(&service, &operator, "POST", &path, ""))).collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let added: Vec<_> = answers.iter().filter(|answer| answer.status == 201).map(Reply::json).collect();
    assert!(!added.is_empty() && answers.iter().all(|answer| [201, 503].contains(&answer.status)), "{answers:?}");
    for one in &added {
        let app = App { secret: one["secret"].as_str().unwrap().to_owned().leak(), ..APP };
        service.eventually("each is valid", |service| {
            service.post(app, "/user/info.json", &[("userId", "ada")]).status == 200
        });
    }
}

#[test]
fn an_operator_of_one_app_has_no_say_over_another() {
    let (service, operator) = started(&[APP, App::OTHER]);
    for app in [App::OTHER.key, "nobody"] {
        let path = format!("apps/{app}/secrets");
        for (method, path) in [("GET", path.clone()), ("POST", path.clone()), ("DELETE", format!("{path}/1"))] {
            problem(&call(&service, &operator, method, &path, ""), 404, "no-such-app");
        }
    }
    service.post(App::OTHER, "/user/checkOnline.json", &[("userId", "ada")]).ok();
    let by_secret = format!("{}:{}", APP.key, APP.secret);
    problem(&call(&service, &by_secret, "POST", "api-keys", r#"{"scopes":["operator"]}"#), 403, "scope-missing");
}
