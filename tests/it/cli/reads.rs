//! Reading personal data is itself recorded where the app asks for it.

use serde_json::{Value, json};

use super::text;
use crate::support::{App, Service};

const APP: App = App::PRODUCTION;

/// Lets a stopped service record reads, or not.
fn record_reads(service: &Service, record: &str) {
    let set = service.command(&["apps", "set", APP.key, "--record-reads", record]);
    assert!(set.status.success(), "{}", text(&set.stderr));
}

/// What is recorded of reads about a user: which fields, and by whom.
fn reads(service: &Service, user: &str) -> Vec<(Value, Value)> {
    let output = service.command(&["replay", "--query", &format!("history {} {user}", APP.key)]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let history: Value = serde_json::from_slice(&output.stdout).unwrap();
    let events = history["events"].as_array().unwrap().iter().filter(|event| event["event"] == json!("access.read"));
    events.map(|event| (event["plain"]["fields"].clone(), event["actor"].clone())).collect()
}

fn read_all(service: &Service) {
    service.post(APP, "/user/info.json", &[("userId", "ada")]).ok();
    service.post(APP, "/user/profile/batch/query.json", &[("userId", "ada")]).ok();
    service.post(APP, "/user/tags/get.json", &[("userIds", "ada")]).ok();
    service.post(APP, "/friend/get.json", &[("userId", "bob")]).ok();
    service.post(APP, "/user/remarks/get.json", &[("userId", "bob")]).ok();
}

#[test]
fn who_read_which_fields_of_whom_is_recorded_only_where_the_app_asks_for_it() {
    let mut service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob"]);
    let profile = [("userId", "ada"), ("userProfile", r#"{"email":"ada@example.com"}"#)];
    service.post(APP, "/user/profile/set.json", &profile).ok();
    service.post_json(APP, "/user/tag/set.json", &json!({"userId": "ada", "tags": ["kind"]})).ok();
    service.post(APP, "/friend/add.json", &[("userId", "bob"), ("targetId", "ada"), ("optType", "2")]).ok();
    read_all(&service);
    service.stop();
    assert_eq!(reads(&service, "ada"), []);

    record_reads(&service, "true");
    service.restart();
    read_all(&service);
    service.post(APP, "/user/info.json", &[("userId", "nobody")]);
    service.stop();
    let back_end = json!({"server": 1});
    let fields = [json!(["name"]), json!(["email"]), json!(["tags"]), json!(["name", "user_id"])];
    assert_eq!(reads(&service, "ada"), fields.map(|fields| (fields, back_end.clone())));
    assert_eq!(reads(&service, "bob"), [], "nothing of him was told");

    record_reads(&service, "false");
    service.restart();
    read_all(&service);
    service.stop();
    assert_eq!(reads(&service, "ada").len(), 4);
}

#[test]
fn a_read_through_the_rest_face_is_recorded_as_well() {
    let mut service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    service.stop();
    record_reads(&service, "true");
    service.restart();
    let authorization = ("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret));
    assert_eq!(service.request("GET", "/api/v1/users/ada", &[authorization], b"").status, 200);
    service.stop();
    assert_eq!(reads(&service, "ada"), [(json!(["name"]), json!({"server": 1}))]);
}
