//! What every answer carries: a name, and a body that is compressed where that reveals nothing.

use serde_json::json;

use crate::support::{App, Reply, Service};

const APP: App = App::PRODUCTION;

fn call(service: &Service, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
    let bearer = format!("Bearer {}:{}", APP.key, APP.secret);
    let all = [("Authorization", bearer.as_str())].into_iter().chain(headers.iter().copied());
    let headers: Vec<_> = all.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    service.request(method, path, &headers, body.as_bytes())
}

#[test]
fn every_answer_has_a_request_id_which_is_the_callers_where_it_sent_one() {
    let service = Service::start(&[APP]);
    for path in ["/api/v1/users", "/api/v1/nothing", "/user/info.json", "/v4/user/get", "/client/v1/me", "/health/live"]
    {
        let echoed = call(&service, "GET", path, &[("X-Request-ID", "my request")], "");
        assert_eq!(echoed.header("x-request-id"), Some("my request"), "{path}");
        let [one, other] = [(); 2].map(|()| call(&service, "GET", path, &[], ""));
        let made = |reply: &Reply| reply.header("x-request-id").unwrap().to_owned();
        assert_eq!(made(&one).len(), 36, "{path}");
        assert_ne!(made(&one), made(&other), "{path}");
    }
}

#[test]
fn the_request_id_that_was_made_is_the_correlation_of_what_was_recorded() {
    let service = Service::start(&[APP]);
    let registered = call(&service, "PUT", "/api/v1/users/ada", &[], r#"{"name":"Ada"}"#);
    let id = registered.header("x-request-id").unwrap();
    let history = call(&service, "GET", "/api/v1/users/ada/history", &[], "");
    assert!(history.text.contains(id), "{id}: {}", history.text);
}

#[test]
fn a_long_answer_is_compressed_unless_it_tells_secrets() {
    let service = Service::start(&[APP]);
    let users: Vec<_> = (0..20).map(|n| json!({"user_id": format!("user{n}"), "name": "A name of somebody"})).collect();
    let users = json!({"users": users}).to_string();
    let gzip = [("Accept-Encoding", "gzip")];
    let registered = call(&service, "POST", "/api/v1/users/batch", &gzip, &users);
    assert_eq!((registered.status, registered.header("content-encoding")), (200, None));
    assert!(registered.text.len() > 1_024, "{}", registered.text.len());
    let listed = call(&service, "GET", "/api/v1/users", &gzip, "");
    assert_eq!((listed.status, listed.header("content-encoding")), (200, Some("gzip")));
    assert_eq!(listed.header("vary"), Some("accept-encoding"));
    assert!(call(&service, "GET", "/api/v1/users", &[], "").header("content-encoding").is_none());
    assert!(call(&service, "GET", "/api/v1/users?limit=1", &gzip, "").header("content-encoding").is_none());
}
