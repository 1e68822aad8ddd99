//! What the service writes to its log, as text and as JSON.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{App, Reply, Service, rollcall};

const APP: App = App::PRODUCTION;
const ID: &str = "86cb8660-c842-4895-87b5-e7a3f51c776f";

/// Starts it with these arguments and this filter of lines.
fn start(dir: &Path, args: &[&str], lines: &str) -> Service {
    let filter = format!("ROLLCALL_LOG={lines}");
    let data = dir.join("data");
    Service::launch_node(&data, &[APP], &["env", &filter], args).unwrap_or_else(|said| panic!("{said}"))
}

fn call(service: &Service, method: &str, path: &str, authorization: &str, body: &str) -> Reply {
    let headers = [("Authorization", authorization), ("X-Request-ID", ID)].map(|(n, v)| (n.to_owned(), v.to_owned()));
    service.request(method, path, &headers, body.as_bytes())
}

/// The lines that were written so far, each an object. The last one may not be whole yet.
fn lines(service: &Service) -> Vec<Value> {
    let said = service.errors();
    let whole = said.rsplit_once('\n').map_or("", |(whole, _)| whole);
    whole.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// What stands in lines with this message of their requests and of how these ended.
fn told(service: &Service, message: &str) -> Vec<Value> {
    let lines = lines(service).into_iter().filter(|line| line["message"] == message);
    lines.map(|line| json!([line["request"], line["status"]])).collect()
}

#[test]
fn a_request_is_told_by_its_id_method_endpoint_and_app() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), &["--log-format", "json"], "warn,rollcall::access=debug");
    let bearer = format!("Bearer {}:{}", APP.key, APP.secret);
    call(&service, "PUT", "/api/v1/users/ada?canary=1", &bearer, r#"{"name":"Ada"}"#);
    call(&service, "GET", "/api/v1/users/nobody", &bearer, "");
    call(&service, "GET", "/api/v1/nothing", &bearer, "");
    call(&service, "ADA", "/api/v1/users/ada", "Bearer nonsense", "");
    call(&service, "GET", "/client/v1/me", "Bearer nonsense", "");
    service.post(APP, "/user/info.json", &[("userId", "ada")]).ok();
    let body = r#"{"userId":"ada"}"#;
    let mut headers = APP.headers();
    headers.push(("X-Request-ID".into(), ID.into()));
    service.request("POST", "//v4/user/profile/batch-get", &headers, body.as_bytes());
    service.request("GET", "/health/live", &[], b"");
    service.eventually("every request is told", |service| told(service, "answered").len() == 8);
    let told = told(&service, "answered");
    let request = |method: &str, face: &str, route: &str, app: Option<&str>| {
        let mut request = json!({"id": ID, "method": method, "face": face, "route": route});
        if let Some(app) = app {
            request["app"] = json!(app);
        }
        request
    };
    let key = Some(APP.key);
    let expected = [
        json!([request("PUT", "rest", "registerUser", key), 201]),
        json!([request("GET", "rest", "getUser", key), 404]),
        json!([request("GET", "rest", "none", key), 404]),
        json!([request("other", "rest", "none", None), 401]),
        json!([request("GET", "client", "me.get", None), 401]),
    ];
    assert_eq!(told[..5], expected);
    assert_eq!((&told[5][0]["face"], &told[5][0]["route"]), (&json!("server_v1"), &json!("info")));
    assert_eq!(told[6][0]["id"], ID);
    assert_eq!((&told[6][0]["face"], &told[6][0]["method"]), (&json!("server_v4"), &json!("POST")));
    assert_eq!((told[7][0].get("face"), &told[7][1]), (None, &json!(200)), "{}", told[7]);
    assert!(lines(&service).iter().all(|line| line["took_ms"].is_f64() || line["message"] != "answered"));
    assert!(!service.errors().contains("canary"), "{}", service.errors());
}

#[test]
fn a_query_is_told_by_its_read_model_and_its_name_to_whoever_asks_for_it() {
    const USER: &str = "Kq8VogelFrage";
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), &["--log-format", "json"], "warn,rollcall::queries=debug");
    service.register(APP, &[USER]);
    let bearer = format!("Bearer {}:{}", APP.key, APP.secret);
    call(&service, "GET", &format!("/api/v1/users/{USER}/friends"), &bearer, "");
    let queries = |service: &Service| {
        let lines = lines(service).into_iter().filter(|line| line["target"] == "rollcall::queries");
        lines.filter(|line| line["request"]["route"] == "listFriends").collect::<Vec<_>>()
    };
    service.eventually("the queries of the request are told", |service| {
        queries(service).iter().any(|line| line["read_model"] == "friend_graph")
    });
    for line in queries(&service) {
        assert_eq!((&line["request"]["id"], &line["failed"]), (&json!(ID), &json!(false)), "{line}");
        assert!(line["took_ms"].is_f64() && line["query"].is_string(), "{line}");
    }
    assert!(!service.errors().contains(USER), "{}", service.errors());
}

#[test]
fn by_default_only_slow_and_failed_requests_are_told_and_of_a_flood_so_many() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), &["--log-format", "json", "--slow-request-seconds", "60"], "info");
    service.register(APP, &["ada"]);
    assert_ne!(service.post(APP, "/user/info.json", &[("userId", "nobody")]).status, 200);
    assert!(lines(&service).iter().all(|line| line.get("request").is_none()), "{}", service.errors());
    drop(service);
    let service = start(dir.path(), &["--slow-request-seconds", "0", "--log-format", "json"], "info");
    const ASKED: usize = 400;
    (0..ASKED).for_each(|_| drop(service.post(APP, "/user/info.json", &[("userId", "ada")])));
    let of_slow = || lines(&service).into_iter().filter(|line| line["message"] == "a request was slow");
    assert!(of_slow().count() < ASKED);
    // The next line that is written tells how many were left out.
    service.eventually("what was left out is told", |service| {
        service.post(APP, "/user/info.json", &[("userId", "ada")]).ok();
        of_slow().any(|line| line["left_out"].as_u64().is_some_and(|count| count > 0))
    });
    let line = of_slow().next().unwrap();
    assert_eq!(
        (&line["level"], &line["status"], &line["request"]["route"]),
        (&json!("WARN"), &json!(200), &json!("info"))
    );
    // A probe is none of those.
    service.request("GET", "/health/ready", &[], b"");
    assert!(of_slow().all(|line| line["request"].get("face").is_some()));
}

#[test]
fn a_request_that_the_service_cannot_answer_is_told_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let service = start(dir.path(), &["--log-format", "json", "--request-timeout-seconds", "1"], "warn");
    service.register(APP, &["ada"]);
    let log = rusqlite::Connection::open(service.data().join("log.db")).unwrap();
    // Nobody else can append while this transaction is open.
    log.execute_batch("begin immediate").unwrap();
    let refused = service.post(APP, "/user/block.json", &[("userId", "ada"), ("minute", "10")]);
    assert_eq!(refused.status, 503, "{}", refused.text);
    service.eventually("it is told", |service| !told(service, "a request failed").is_empty());
    let line = lines(&service).into_iter().find(|line| line["message"] == "a request failed").unwrap();
    assert_eq!(
        (&line["level"], &line["status"], &line["request"]["route"]),
        (&json!("WARN"), &json!(503), &json!("ban"))
    );
    assert!(line["error"].as_str().is_some_and(|error| !error.is_empty()), "{line}");
    assert_eq!(line["request"]["app"], APP.key);
}

#[test]
fn lines_are_text_unless_a_setting_says_json_and_another_word_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut service = start(dir.path(), &["--slow-request-seconds", "0"], "warn");
    service.register(APP, &["ada"]);
    service.stop();
    let said = service.errors();
    assert!(said.contains("WARN request{id="), "{said}");
    assert!(said.contains(r#"method="POST" face="server_v1" route="register" app="testkey""#), "{said}");
    let file = dir.path().join("rollcall.toml");
    std::fs::write(&file, "log_format = \"json\"\nslow_request_seconds = 0\n").unwrap();
    let service = start(dir.path(), &["--config", file.to_str().unwrap()], "warn");
    service.register(APP, &["ada"]);
    service.eventually("it is told as JSON", |service| !told(service, "a request was slow").is_empty());
    for (bad, word) in [("--log-format=xml", "text"), ("--slow-request-seconds=-1", "seconds")] {
        let data = dir.path().join("other");
        let said = Service::launch_node(&data, &[APP], &[], &[bad]).err().unwrap();
        assert!(said.contains(word) && !said.contains("panicked"), "{said}");
    }
}

#[test]
fn a_line_of_background_work_tells_which() {
    let dir = tempfile::tempdir().unwrap();
    let mut service = start(dir.path(), &[], "warn");
    service.stop();
    let added = rollcall(&["apps", "add-key", APP.key, "--scope", "operator"], service.data());
    let key = String::from_utf8(added.stdout).unwrap();
    // Nobody listens at the port of a webhook.
    let args = ["--log-format", "json", "--webhook-allow", "127.0.0.0/8", "--webhook-waits", "0"];
    let mut service = start(dir.path(), &args, "rollcall=trace");
    let webhook = json!({"url": "http://127.0.0.1:1/", "types": ["rollcall.user.*"]}).to_string();
    assert_eq!(call(&service, "POST", "/api/v1/webhooks", &format!("Bearer {}", key.trim()), &webhook).status, 201);
    service.register(APP, &["ada"]);
    service.eventually("its delivery is given up", |service| service.errors().contains("a delivery is given up"));
    service.stop();
    let line = lines(&service).into_iter().find(|line| line["message"] == "a delivery is given up").unwrap();
    assert_eq!(line["task"], json!({"name": "webhooks"}), "{line}");
    assert!(line.get("request").is_none(), "{line}");
}
