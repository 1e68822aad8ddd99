//! Hosted profiles: JSON in texts, both ways.

use serde_json::{Value, json};

use super::{DONE, form, repeated};
use crate::support::{App, Reply, Service};

const APP: App = App::PRODUCTION;
const NOBODY: &str = r#"{"code":200,"userList":[]}"#;

#[track_caller]
fn set(service: &Service, user_id: &str, profile: &Value) -> Reply {
    let form = [("userId", user_id), ("userProfile", &profile.to_string())];
    service.post(APP, "/user/profile/set.json", &form)
}

#[track_caller]
fn profile(service: &Service, user_id: &str) -> Value {
    let json = service.post(APP, "/user/profile/batch/query.json", &[("userId", user_id)]).ok().json();
    serde_json::from_str(json["userList"][0]["userProfile"].as_str().unwrap()).unwrap()
}

#[track_caller]
fn listed(reply: Reply) -> Vec<String> {
    let json = reply.ok().json();
    json["userList"].as_array().unwrap().iter().map(|user| user["userId"].as_str().unwrap().to_owned()).collect()
}

fn with_fields(fields: &[String]) -> Service {
    let mut service = Service::start(&[APP]);
    service.stop();
    let mut args = vec!["apps", "set", APP.key];
    fields.iter().for_each(|field| args.extend(["--user-field", field]));
    assert!(service.command(&args).status.success());
    service.restart();
    service
}

#[test]
fn a_profile_is_answered_as_texts_that_hold_json_with_a_version_that_grows() {
    let service = with_fields(&["ext_motto".into()]);
    service.register(APP, &["ada"]);
    let query = || form(&service, APP, "/user/profile/batch/query.json", "userId=ada");
    query().reads(NOBODY);
    let both = [
        ("userId", "ada"),
        ("userProfile", r#"{"name":"Ada","gender":2}"#),
        ("userExtProfile", r#"{"ext_motto":"Go"}"#),
    ];
    service.post(APP, "/user/profile/set.json", &both).reads(DONE);
    let entry = "{userId:string,version:number,userProfile:string,userExtProfile:string}";
    let first = query().shaped(&format!("{{code:number,userList:[{entry}]}}")).json()["userList"][0].clone();
    assert_eq!(profile(&service, "ada"), json!({"name": "Ada", "gender": 2}));
    assert_eq!(first["userExtProfile"], r#"{"ext_motto":"Go"}"#);
    set(&service, "ada", &json!({"name": "Lovelace"})).reads(DONE);
    let second = query().ok().json()["userList"][0].clone();
    assert!(second["version"].as_u64() > first["version"].as_u64(), "{first} {second}");
    assert_eq!(profile(&service, "ada"), json!({"name": "Lovelace", "gender": 2}), "what is not named stays");
    set(&service, "ada", &json!({"gender": null})).reads(DONE);
    assert_eq!(profile(&service, "ada"), json!({"name": "Lovelace"}), "null takes a field away");
    form(&service, APP, "/user/profile/clean.json", "userId=ada").reads(DONE);
    query().reads(NOBODY);
}

#[test]
fn every_field_of_a_profile_is_held_to_its_bound() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    for (key, max) in
        [("uniqueId", 32), ("name", 64), ("portraitUri", 1024), ("email", 128), ("birthday", 32), ("location", 32)]
    {
        let value = "x".repeat(max);
        set(&service, "ada", &json!({ key: value })).reads(DONE);
        let refused = set(&service, "ada", &json!({ key: format!("{value}x") })).refused(400, 1005);
        assert_eq!(refused.members(), ["code", "errorMessage", "profileKey"]);
        assert_eq!(refused.json()["profileKey"], key);
        set(&service, "ada", &json!({ key: 1 })).refused(400, 1002);
        assert_eq!(profile(&service, "ada")[key], value);
    }
    for (key, max) in [("gender", 2), ("role", 100), ("level", 100)] {
        for good in [0, max] {
            set(&service, "ada", &json!({ key: good })).reads(DONE);
        }
        for bad in [json!(max + 1), json!(-1), json!("1"), json!(1.5)] {
            assert_eq!(set(&service, "ada", &json!({ key: bad })).refused(400, 1002).json()["profileKey"], key);
        }
        assert_eq!(profile(&service, "ada")[key], max);
    }
    assert_eq!(set(&service, "ada", &json!({"height": 1})).refused(400, 1002).json()["profileKey"], "height");
    set(&service, "ada", &json!({"name": "Half", "height": 1})).refused(400, 1002);
    assert_ne!(profile(&service, "ada")["name"], "Half", "half of a refused profile was taken");
}

#[test]
fn extension_fields_are_declared_and_bounded() {
    let fields: Vec<_> = (0..21).map(|n| format!("ext_{n}")).collect();
    let service = with_fields(&fields);
    service.register(APP, &["ada"]);
    let set = |text: &str| service.post(APP, "/user/profile/set.json", &[("userId", "ada"), ("userExtProfile", text)]);
    let object = |n: usize, value: &str| {
        Value::Object(fields[..n].iter().map(|field| (field.clone(), value.into())).collect()).to_string()
    };
    set(&object(20, &"铁".repeat(256))).reads(DONE);
    set(&object(21, "x")).refused(400, 1005);
    assert_eq!(set(&object(1, &"x".repeat(257))).refused(400, 1005).json()["profileKey"], "ext_0");
    for (bad, key) in [
        (r#"{"ext_undeclared":"x"}"#, "ext_undeclared"),
        (r#"{"motto":"x"}"#, "motto"),
        (r#"{"ext_0":1}"#, "ext_0"),
        (r#"{"ext_0":{}}"#, "ext_0"),
        (r#"{"EXT_0":"x"}"#, "EXT_0"),
    ] {
        assert_eq!(set(bad).refused(400, 1002).json()["profileKey"], key);
    }
}

#[test]
fn missing_and_malformed_parameters_of_profiles_are_refused() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    let call = |endpoint: &str, body: &str| form(&service, APP, &format!("/user/profile/{endpoint}.json"), body);
    for bad in ["", "userId=ada", "userProfile={}", "userId=ada&userProfile=", "userId=ada&userProfile=[]"] {
        call("set", bad).refused(400, 1002);
    }
    for bad in ["userId=ada&userProfile=x", "userId=ada&userProfile={", "userId=ada&userProfile=null"] {
        call("set", bad).refused(400, 1002);
    }
    set(&service, "nobody", &json!({"name": "N"})).refused(400, 400);
    call("clean", "").refused(400, 1002);
    call("clean", &repeated("userId", "u", 21)).refused(400, 1005);
    call("clean", "userId=nobody").refused(400, 400);
    call("batch/query", "").refused(400, 1002);
    call("batch/query", &repeated("userId", "u", 100)).reads(NOBODY);
    call("batch/query", &repeated("userId", "u", 101)).refused(400, 1005);
    for bad in ["page=0", "page=x", "size=0", "size=101", "order=2", "count=101"] {
        call("query", bad).refused(400, 1002);
    }
}

#[test]
fn a_clean_of_several_that_names_a_stranger_cleans_none() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    set(&service, "ada", &json!({"name": "Ada"})).ok();
    form(&service, APP, "/user/profile/clean.json", "userId=ada&userId=nobody").refused(400, 400);
    assert_eq!(profile(&service, "ada"), json!({"name": "Ada"}));
}

#[test]
fn profiles_are_listed_in_pages_in_the_order_of_registration() {
    let service = Service::start(&[APP]);
    let list = |body: &str| form(&service, APP, "/user/profile/query.json", body);
    list("").reads(NOBODY);
    let ids: Vec<_> = (0..25).map(|n| format!("u{n:02}")).collect();
    service.register(APP, &ids.iter().map(String::as_str).collect::<Vec<_>>());
    // Not in the order of registration.
    for user_id in ids.iter().rev() {
        set(&service, user_id, &json!({"name": user_id})).ok();
    }
    assert_eq!(listed(list("")), ids[..20]);
    assert_eq!(listed(list("page=2")), ids[20..]);
    assert_eq!(listed(list("page=2&size=10&order=0")), ids[10..20]);
    assert_eq!(listed(list("page=2&count=10")), ids[10..20]);
    assert_eq!(listed(list("page=4&size=10")), Vec::<String>::new());
    assert_eq!(listed(list("order=1&size=100")), ids.iter().rev().cloned().collect::<Vec<_>>());
    let asked = form(&service, APP, "/user/profile/batch/query.json", "userId=u09,nobody,u03&userId=u24");
    assert_eq!(listed(asked), ["u09", "u03", "u24"]);
}
