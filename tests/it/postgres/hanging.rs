//! Requests while the only database server hangs.

use serde_json::json;

use crate::support::service::Reply;
use crate::support::{App, Cluster, Service};

const APP: App = App::PRODUCTION;

/// A call over REST.
fn rest(service: &Service, method: &str, path: &str, body: &str) -> Reply {
    let credentials = ("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret));
    service.request(method, path, &[credentials, ("Content-Type".into(), "application/json".into())], body.as_bytes())
}

#[test]
fn each_request_ends_by_its_own_deadline_while_the_database_hangs_and_may_be_repeated() {
    let cluster = Cluster::start();
    let (name, dir) = (cluster.database(), tempfile::tempdir().unwrap());
    let settings = ["--database", &cluster.address(&name), "--request-timeout-seconds", "2"];
    let service = &Service::launch_node(&dir.path().join("data"), &[APP], &[], &settings).unwrap();
    service.register(APP, &["ada", "bob", "eve"]);
    service.post(APP, "/user/blacklist/add.json", &[("userId", "ada"), ("blackUserId", "bob")]).ok();
    let page = rest(service, "GET", "/api/v1/users?limit=1", "").json();
    let second = format!("/api/v1/users?limit=1&cursor={}", page["next"].as_str().unwrap());
    let register = json!({"name": "Carl"}).to_string();

    cluster.freeze();
    std::thread::scope(|scope| {
        let of_v1: [(&str, &[(&str, &str)]); 6] = [
            ("/user/getToken.json", &[("userId", "dora"), ("name", "Dora")]),
            ("/user/info.json", &[("userId", "ada")]),
            ("/user/refresh.json", &[("userId", "ada"), ("name", "Ada")]),
            ("/user/blacklist/query.json", &[("userId", "ada")]),
            ("/user/block/query.json", &[]),
            ("/user/deactivate.json", &[("userId", "eve")]),
        ];
        for (path, form) in of_v1 {
            scope.spawn(move || {
                let reply = service.post(APP, path, form).refused(503, 1050);
                assert!(reply.header("retry-after").is_some(), "{path}");
            });
        }
        for (method, path, body) in [
            ("GET", "/api/v1/users/ada", ""),
            ("GET", "/api/v1/users?limit=2", ""),
            ("GET", second.as_str(), ""),
            ("GET", "/api/v1/erasures", ""),
            ("PUT", "/api/v1/users/carl", register.as_str()),
        ] {
            scope.spawn(move || {
                let reply = rest(service, method, path, body);
                assert_eq!(reply.status, 503, "{path}: {}", reply.text);
                assert!(reply.header("retry-after").is_some(), "{path}");
                assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{path}");
                let kind = reply.json()["type"].as_str().unwrap().to_owned();
                if method == "GET" {
                    assert_eq!(kind, "urn:rollcall:problem:unavailable", "{path}");
                } else {
                    assert_eq!(kind, "urn:rollcall:problem:outcome-unknown", "{path}");
                }
            });
        }
    });
    cluster.thaw();
    service.eventually("it answers again", |service| {
        service.post(APP, "/user/getToken.json", &[("userId", "dora"), ("name", "Dora")]).status == 200
    });
    assert_eq!(rest(service, "PUT", "/api/v1/users/carl", &register).status / 100, 2);
    for user in ["dora", "carl"] {
        service.post(APP, "/user/info.json", &[("userId", user)]).ok();
    }
    let people = "select count(distinct stream) from rollcall_log.event where name = 'user.registered'";
    assert_eq!(cluster.sql(&name, people), "5");
}

#[test]
fn a_time_for_requests_that_is_none_is_refused() {
    for seconds in ["0", "601"] {
        let dir = tempfile::tempdir().unwrap();
        let refused = Service::launch_node(dir.path(), &[APP], &[], &["--request-timeout-seconds", seconds]);
        assert!(refused.err().unwrap().contains("from 1 to 600 seconds"));
    }
}
