//! The estate report: whether the app heard of what was erased.

use serde_json::{Value, json};

use crate::support::{App, Service, rollcall};

const APP: App = App::PRODUCTION;

fn ask(service: &Service, method: &str, path: &str, body: &str) -> Value {
    let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    service.request(method, path, &headers, body.as_bytes()).json()
}

/// How many erasures are done, and of how many the app did not hear, once the erasure of a user is done.
#[track_caller]
fn after_erasing(service: &Service, user: &str) -> (Value, Value) {
    let body = json!({"user_id": user, "scope": "deactivate"}).to_string();
    let accepted = ask(service, "POST", "/api/v1/erasures", &body);
    let path = format!("/api/v1/erasures/{}", accepted["id"].as_str().unwrap());
    service.eventually("the erasure is done", |service| ask(service, "GET", &path, "")["status"] == "finalised");
    let estate = ask(service, "GET", "/api/v1/compliance/estate", "");
    (estate["by_status"]["finalised"].clone(), estate["not_acknowledged"].clone())
}

#[test]
fn an_erasure_is_not_acknowledged_only_where_there_is_somebody_to_acknowledge_it() {
    let mut service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob"]);
    assert_eq!(after_erasing(&service, "ada"), (json!(1), json!(0)), "the app wants to hear of nothing");
    service.stop();
    // Nobody answers there: the port was free and is not listened on.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("http://{closed}/erased");
    let set = rollcall(&["apps", "set", APP.key, "--erasure-callback-url", &url], service.data());
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    let service = Service::start_in(service.data(), &[APP]);
    assert_eq!(after_erasing(&service, "bob"), (json!(2), json!(2)), "it wants to, and did not answer");
}

#[test]
fn a_drill_goes_the_whole_way_and_is_told_apart_from_the_erasures_of_people() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    let before = ask(&service, "GET", "/api/v1/compliance/estate", "");
    assert_eq!((&before["last_drill"], &before["retained"]), (&Value::Null, &json!([])));
    let drill = ask(&service, "POST", "/api/v1/compliance/drills", "");
    assert_eq!(drill["requester"], "drill", "{drill}");
    let path = format!("/api/v1/erasures/{}", drill["id"].as_str().unwrap());
    service.eventually("the drill is done", |service| ask(service, "GET", &path, "")["status"] == "finalised");
    after_erasing(&service, "ada");
    let estate = ask(&service, "GET", "/api/v1/compliance/estate", "");
    assert_eq!((&estate["requested"], &estate["by_status"]), (&json!(1), &json!({"finalised": 1})), "{estate}");
    let last = &estate["last_drill"];
    assert_eq!(
        (&last["erasure"], &last["status"], &last["report"]),
        (&drill["id"], &json!("finalised"), &json!("final"))
    );
    let kept = estate["retained"].as_array().unwrap();
    assert!(kept.iter().any(|kept| kept["what"] == "The userId the app chose" && kept["erasures"] == 1), "{estate}");
    assert_eq!(estate["seconds_to_fenced"], json!({"p50": 0.0, "p95": 0.0, "p99": 0.0}), "one append holds both");
    let users = ask(&service, "GET", "/api/v1/users", "");
    assert_eq!(users["users"], json!([]), "nobody is left over");
}

#[test]
fn nobody_may_pass_an_erasure_of_a_person_off_as_a_drill() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    let body = json!({"user_id": "ada", "scope": "forget", "requester": "drill"}).to_string();
    let refused = ask(&service, "POST", "/api/v1/erasures", &body);
    assert_eq!(
        (&refused["status"], &refused["errors"][0]["pointer"]),
        (&json!(422), &json!("#/requester")),
        "{refused}"
    );
}
