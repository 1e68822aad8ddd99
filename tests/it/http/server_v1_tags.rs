//! Tags. Setting them takes JSON, asking for them a form.

use serde_json::json;

use super::{DONE, form, repeated};
use crate::support::{App, Reply, Service};

const APP: App = App::PRODUCTION;

#[track_caller]
fn set(service: &Service, body: serde_json::Value) -> Reply {
    service.post_json(APP, "/user/tag/set.json", &body)
}

#[track_caller]
fn set_many(service: &Service, body: serde_json::Value) -> Reply {
    service.post_json(APP, "/user/tag/batch/set.json", &body)
}

#[track_caller]
fn tags(service: &Service, body: &str) -> Reply {
    form(service, APP, "/user/tags/get.json", body)
}

#[test]
fn tags_are_answered_per_user_in_the_order_asked_and_empty_for_who_has_none() {
    let service = Service::start(&[APP]);
    set(&service, json!({"userId": "u1", "tags": ["男", "a"]})).reads(DONE);
    tags(&service, "userIds=u2&userIds=u1").reads(r#"{"code":200,"result":{"u2":[],"u1":["男","a"]}}"#);
    set(&service, json!({"userId": "u1", "tags": ["b"]})).reads(DONE);
    tags(&service, "userIds=u1,u2").reads(r#"{"code":200,"result":{"u1":["b"],"u2":[]}}"#);
    set(&service, json!({"userId": "u1", "tags": []})).reads(DONE);
    set(&service, json!({"userId": "never-seen", "tags": []})).reads(DONE);
    tags(&service, "userIds=u1").reads(r#"{"code":200,"result":{"u1":[]}}"#);
}

#[test]
fn one_call_tags_many_users_alike() {
    let service = Service::start(&[APP]);
    set(&service, json!({"userId": "u1", "tags": ["old"]})).ok();
    set_many(&service, json!({"userIds": ["u1", "u2"], "tags": ["a", "b"]})).reads(DONE);
    tags(&service, "userIds=u1&userIds=u2").reads(r#"{"code":200,"result":{"u1":["a","b"],"u2":["a","b"]}}"#);
    set_many(&service, json!({"userIds": ["u1"], "tags": []})).reads(DONE);
    tags(&service, "userIds=u1&userIds=u2").reads(r#"{"code":200,"result":{"u1":[],"u2":["a","b"]}}"#);
}

#[test]
fn a_user_has_up_to_20_tags_of_up_to_40_bytes() {
    let service = Service::start(&[APP]);
    let many = |n: usize| (0..n).map(|i| format!("tag{i}")).collect::<Vec<_>>();
    set(&service, json!({"userId": "u1", "tags": many(20)})).reads(DONE);
    set(&service, json!({"userId": "u1", "tags": many(21)})).refused(400, 1005);
    set(&service, json!({"userId": "u2", "tags": ["x".repeat(40), "é".repeat(20)]})).reads(DONE);
    set(&service, json!({"userId": "u2", "tags": ["x".repeat(41)]})).refused(400, 1005);
    set(&service, json!({"userId": "u2", "tags": ["é".repeat(21)]})).refused(400, 1005);
    set(&service, json!({"userId": "u2", "tags": ["good", ""]})).refused(400, 1002);
    let kept = tags(&service, "userIds=u1&userIds=u2").ok().json();
    assert_eq!(kept["result"]["u1"].as_array().unwrap().len(), 20);
    assert_eq!(kept["result"]["u2"], json!(["x".repeat(40), "é".repeat(20)]));
}

#[test]
fn a_call_tags_1000_users_and_asks_for_50_and_a_bad_one_among_them_spares_all() {
    let service = Service::start(&[APP]);
    let ids = |n: usize| (0..n).map(|i| format!("u{i}")).collect::<Vec<_>>();
    set_many(&service, json!({"userIds": ids(1001), "tags": ["a"]})).refused(400, 1005);
    let mut with_bad = ids(999);
    with_bad.push("bad.id".into());
    set_many(&service, json!({"userIds": with_bad, "tags": ["a"]})).refused(400, 1002);
    tags(&service, "userIds=u0&userIds=u998").reads(r#"{"code":200,"result":{"u0":[],"u998":[]}}"#);
    set_many(&service, json!({"userIds": ids(1000), "tags": ["a"]})).reads(DONE);
    tags(&service, "userIds=u0&userIds=u999").reads(r#"{"code":200,"result":{"u0":["a"],"u999":["a"]}}"#);
    assert_eq!(tags(&service, &repeated("userIds", "u", 50)).ok().json()["result"].as_object().unwrap().len(), 50);
    tags(&service, &repeated("userIds", "u", 51)).refused(400, 1005);
    tags(&service, "").refused(400, 1002);
    tags(&service, "userIds=u0&userIds=a.b").refused(400, 1002);
}

#[test]
fn a_body_that_is_not_what_the_endpoint_takes_is_code_1002() {
    let service = Service::start(&[APP]);
    for bad in [
        json!({}),
        json!([]),
        json!(null),
        json!("userId"),
        json!({"userId": "u1"}),
        json!({"tags": ["a"]}),
        json!({"userId": "", "tags": ["a"]}),
        json!({"userId": "a.b", "tags": ["a"]}),
        json!({"userId": 1, "tags": ["a"]}),
        json!({"userId": "u1", "tags": "a"}),
        json!({"userId": "u1", "tags": [1]}),
        json!({"userId": "u1", "tags": {"0": "a"}}),
        json!({"userIds": ["u1"]}),
        json!({"userIds": [], "tags": ["a"]}),
    ] {
        set(&service, bad.clone()).refused(400, 1002);
        set_many(&service, bad).refused(400, 1002);
    }
    form(&service, APP, "/user/tag/set.json", "userId=u1&tags=a").refused(400, 1002);
    tags(&service, "userIds=u1").reads(r#"{"code":200,"result":{"u1":[]}}"#);
    // What the official SDKs send along with an unknown member is taken.
    set(&service, json!({"userId": "u1", "tags": ["a"], "more": {"deep": [1]}})).reads(DONE);
}
