//! What an operator asks and does over REST while the service runs.

use serde_json::{Value, json};

use crate::support::{App, Reply, Service};

const APP: App = App::PRODUCTION;

/// A service and an API key that operates it.
fn operated() -> (Service, String) {
    let mut service = Service::start(&[APP]);
    service.stop();
    let output = service.command(&["apps", "add-key", APP.key, "--scope", "operator"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let key = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    service.restart();
    (service, key)
}

fn ask(service: &Service, key: &str, method: &str, path: &str, body: &Value) -> Reply {
    let headers = [("Authorization".to_owned(), format!("Bearer {key}"))];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    service.request(method, &format!("/api/v1/{path}"), &headers, body.as_bytes())
}

#[track_caller]
fn problem(reply: &Reply, status: u16, kind: &str) {
    let json = reply.json();
    let expected = format!("urn:rollcall:problem:{kind}");
    assert_eq!((reply.status, json["type"].as_str()), (status, Some(&*expected)), "{json}");
}

#[test]
fn an_operator_sees_how_the_service_its_read_models_and_its_nodes_are() {
    let (service, key) = operated();
    service.register(APP, &["ada"]);
    let get = |path: &str| ask(&service, &key, "GET", path, &Value::Null).json();
    service.eventually("the read models hold everything", |_| get("status")["lag_events"] == 0);
    let status = get("status");
    assert_eq!((&status["ready"], &status["leads"], &status["parked"]), (&json!(true), &json!(true), &json!(0)));
    assert!(status["head"].as_u64().unwrap() > 2, "{status}");
    let models = get("read-models")["read_models"].as_array().unwrap().clone();
    let directory = models.iter().find(|model| model["name"] == "user_directory").unwrap();
    assert_eq!((&directory["position"], &directory["parked"]), (&status["head"], &json!(0)), "{directory}");
    let nodes = get("nodes");
    assert_eq!((nodes["nodes"].as_array().unwrap().len(), &nodes["nodes"][0]["answers"]), (1, &json!(true)), "{nodes}");
    assert_eq!(get("parked"), json!({"parked": [], "next": null}));
    for task in ["retry", "resolve"] {
        let path = format!("parked/user-nobody/{task}");
        problem(&ask(&service, &key, "POST", &path, &json!({"reason": "none"})), 404, "not-parked");
    }
    let rebuild = |name: &str| ask(&service, &key, "POST", &format!("read-models/{name}/rebuild"), &Value::Null);
    problem(&rebuild("user_directory"), 409, "rebuild-by-command");
    problem(&rebuild("nothing"), 404, "no-such-read-model");
}

#[test]
fn a_parked_stream_is_retried_or_resolved_while_the_service_runs() {
    let (mut service, key) = operated();
    service.register(APP, &["ada", "bob"]);
    service.stop();
    let read_models = service.data().join("read.db");
    let sql = |sql: &str| rusqlite::Connection::open(&read_models).unwrap().execute_batch(sql).unwrap();
    sql(
        "CREATE TRIGGER refuse BEFORE INSERT ON banned_users_v4 BEGIN SELECT RAISE(ABORT, 'it contradicts the bans'); END",
    );
    let mut service = Service::try_start_with(service.data(), &[APP], &["--ready-with-parked"]).unwrap();
    for user in ["ada", "bob"] {
        service.post(APP, "/user/block.json", &[("userId", user), ("minute", "60")]).ok();
    }
    let parked = |service: &Service| ask(service, &key, "GET", "parked", &Value::Null).json()["parked"].clone();
    service.eventually("both are parked", |service| parked(service).as_array().unwrap().len() == 2);
    let streams: Vec<_> = parked(&service).as_array().unwrap().iter().map(|row| row["stream"].clone()).collect();
    let path = |number: usize, task: &str| format!("parked/{}/{task}", streams[number].as_str().unwrap());
    let page = ask(&service, &key, "GET", "parked?limit=1", &Value::Null).json();
    let rest = format!("parked?limit=1&cursor={}", page["next"].as_str().unwrap());
    assert_eq!(ask(&service, &key, "GET", &rest, &Value::Null).json()["parked"][0]["stream"], streams[1]);
    let still = ask(&service, &key, "POST", &path(0, "retry"), &Value::Null).json();
    assert_eq!(still["results"], json!([{"read_model": "banned_users", "events": 0, "parked": 1}]));
    problem(&ask(&service, &key, "POST", &path(0, "resolve"), &json!({"reason": " "})), 422, "invalid-value");
    let resolved = ask(&service, &key, "POST", &path(0, "resolve"), &json!({"reason": "a mistake"})).json();
    assert_eq!(resolved["results"], json!([{"read_model": "banned_users", "events": 1, "parked": 0}]));
    service.stop();
    sql("DROP TRIGGER refuse");
    service.restart();
    let retried = ask(&service, &key, "POST", &path(1, "retry"), &Value::Null).json();
    assert_eq!(retried["results"], json!([{"read_model": "banned_users", "events": 1, "parked": 0}]));
    assert_eq!(parked(&service), json!([]));
    let banned = service.post(APP, "/user/block/query.json", &[]).ok().json();
    assert_eq!(banned["users"].as_array().unwrap().len(), 1, "{banned}");
}

#[test]
fn an_app_is_created_while_the_service_runs_and_used_at_once() {
    let (service, key) = operated();
    let body = json!({"key": "second", "environment": "production", "plan": "pro"});
    let created = ask(&service, &key, "POST", "apps", &body);
    assert_eq!(created.status, 201, "{}", created.text);
    let (secret, new_key) = (created.json()["secret"].clone(), created.json()["api_key"].clone());
    problem(&ask(&service, &key, "POST", "apps", &body), 409, "app-exists");
    let by_secret = format!("second:{}", secret.as_str().unwrap());
    for bearer in [by_secret.as_str(), new_key.as_str().unwrap()] {
        let registered = ask(&service, bearer, "PUT", "users/ada", &json!({"name": "Ada"}));
        assert!([200, 201].contains(&registered.status), "{}", registered.text);
    }
    let apps = ask(&service, new_key.as_str().unwrap(), "GET", "apps?limit=1", &Value::Null).json();
    let rest = format!("apps?cursor={}", apps["next"].as_str().unwrap());
    let rest = ask(&service, &key, "GET", &rest, &Value::Null).json();
    let keys = [&apps["apps"][0]["app"], &rest["apps"][0]["app"]];
    assert_eq!((keys, &rest["next"]), ([&json!("second"), &json!(APP.key)], &Value::Null), "{apps} {rest}");
    for bad in [json!({"key": "", "environment": "production"}), json!({"key": "a b", "environment": "production"})] {
        problem(&ask(&service, &key, "POST", "apps", &bad), 422, "invalid-value");
    }
}
