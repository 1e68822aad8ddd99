//! What an operator asks and does over REST while the service runs.

use serde_json::{Value, json};

use crate::support::soundness::verified;
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
    problem(&begin(&service, &key, "nothing"), 404, "no-such-read-model");
    let begun = begin(&service, &key, "user_directory");
    assert_eq!((begun.status, begun.json()["rebuild"]["state"].is_string()), (202, true), "{}", begun.text);
    service.eventually("it took its place", |service| rebuild_of(service, &key, "user_directory")["state"] == "done");
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

/// What of a read model is said while it is built anew.
fn rebuild_of(service: &Service, key: &str, name: &str) -> Value {
    let models = ask(service, key, "GET", "read-models", &Value::Null).json();
    let models = models["read_models"].as_array().unwrap();
    models.iter().find(|model| model["name"] == name).unwrap()["rebuild"].clone()
}

/// Its tables, opened beside the service.
fn tables(service: &Service) -> rusqlite::Connection {
    rusqlite::Connection::open(service.data().join("read.db")).unwrap()
}

fn begin(service: &Service, key: &str, name: &str) -> Reply {
    ask(service, key, "POST", &format!("read-models/{name}/rebuild"), &Value::Null)
}

#[test]
fn a_read_model_is_built_anew_beside_the_one_that_answers_and_takes_its_place() {
    let (mut service, key) = operated();
    service.register(APP, &["ada", "bob"]);
    let registered = |service: &Service| {
        let count = "select registered from user_directory_count_v2";
        tables(service).query_row(count, [], |row| row.get::<_, u64>(0)).unwrap()
    };
    let mut others = vec![];
    for round in 0..3 {
        // Rows that no event made: what is built anew does not have them.
        tables(&service).execute("update user_directory_count_v2 set registered = 7777", []).unwrap();
        let told = begin(&service, &key, "user_directory");
        assert_eq!((told.status, told.json()["name"].as_str()), (202, Some("user_directory")), "{}", told.text);
        // While it is built, users are registered and found.
        let done = std::sync::atomic::AtomicBool::new(false);
        let (done, asked) = (&done, &service);
        let made: Vec<String> = std::thread::scope(|scope| {
            let register = scope.spawn(move || {
                let mut made = vec![];
                while made.len() < 3 || !done.load(std::sync::atomic::Ordering::SeqCst) {
                    made.push(format!("r{round}n{}", made.len()));
                    asked.register(APP, &[made.last().unwrap()]);
                }
                made
            });
            scope.spawn(move || {
                while !done.load(std::sync::atomic::Ordering::SeqCst) {
                    asked.post(APP, "/user/info.json", &[("userId", "ada")]).ok();
                }
            });
            service.eventually("it took its place", |service| {
                rebuild_of(service, &key, "user_directory")["state"] == "done"
            });
            done.store(true, std::sync::atomic::Ordering::SeqCst);
            register.join().unwrap()
        });
        others.extend(made);
        service.eventually("all are counted", |service| registered(service) == others.len() as u64 + 2);
    }
    assert!(rebuild_of(&service, &key, "friend_graph").is_null());
    assert!(!service.data().join("rebuild").exists(), "nothing is left behind");
    for user in ["ada", others.last().unwrap()] {
        service.post(APP, "/user/info.json", &[("userId", user)]).ok();
    }
    service.stop();
    verified(&service);
}

#[test]
fn one_read_model_is_built_anew_at_a_time_and_one_that_is_killed_meanwhile_leaves_the_live_one_as_it_was() {
    let (mut service, key) = operated();
    service.register(APP, &["ada", "bob"]);
    service.eventually("the read models hold everything", |service| {
        ask(service, &key, "GET", "status", &Value::Null).json()["lag_events"] == 0
    });
    // Nobody writes meanwhile, so that it cannot end.
    let held = tables(&service);
    held.execute_batch("begin immediate").unwrap();
    for _ in 0..2 {
        assert_eq!(begin(&service, &key, "user_directory").status, 202, "asking again changes nothing");
    }
    problem(&begin(&service, &key, "friend_graph"), 409, "rebuild-runs");
    service.eventually("it works", |service| service.data().join("rebuild").exists());
    service.kill();
    drop(held);
    tables(&service).execute_batch("create table user_directory_v2__a (left_behind)").unwrap();
    service.restart();
    assert!(!service.data().join("rebuild").exists());
    assert!(rebuild_of(&service, &key, "user_directory").is_null(), "it has to be asked for again");
    assert_eq!(begin(&service, &key, "apps").status, 202);
    service.eventually("it took its place", |service| rebuild_of(service, &key, "apps")["state"] == "done");
    service.register(APP, &["eve"]);
    let left = "select count(*) from sqlite_schema where name like '%left_behind%' or name like '%\\_\\_a' escape '\\'";
    service.stop();
    assert_eq!(tables(&service).query_row(left, [], |row| row.get::<_, u64>(0)).unwrap(), 0);
    verified(&service);
}
