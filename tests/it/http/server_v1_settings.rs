//! Mutes, quiet hours, remarks and groups.

use super::{DONE, form, repeated, users};
use crate::support::{App, Reply, Service};

const APP: App = App::PRODUCTION;

#[test]
fn who_is_muted_is_counted_and_listed_until_unmuted() {
    let service = Service::start(&[APP]);
    let set = |body: &str| form(&service, APP, "/user/chat/fb/set.json", body);
    let list = |body: &str| form(&service, APP, "/user/chat/fb/querylist.json", body);
    list("type=PERSON").reads(r#"{"code":200,"total":0,"users":[]}"#);
    set("userId=a&userId=b&userId=c&state=1&type=PERSON").reads(DONE);
    list("type=PERSON").shaped("{code:number,total:number,users:[string]}");
    let mut all = users(list("type=PERSON&num=2"));
    all.extend(users(list("type=PERSON&num=2&offset=2")));
    all.sort();
    assert_eq!(all, ["a", "b", "c"]);
    set("userId=b,nobody&state=0&type=PERSON").reads(DONE);
    assert_eq!(list("type=PERSON").ok().json()["total"], 2);
    for bad in [
        "",
        "userId=a&state=1",
        "userId=a&type=PERSON",
        "state=1&type=PERSON",
        "userId=a&state=2&type=PERSON",
        "userId=a&state=1&type=GROUP",
    ] {
        set(bad).refused(400, 1002);
    }
    list("type=PERSON&offset=1000000").reads(r#"{"code":200,"total":2,"users":[]}"#);
    for bad in [
        "",
        "type=GROUP",
        "type=PERSON&num=0",
        "type=PERSON&num=201",
        "type=PERSON&offset=-1",
        "type=PERSON&offset=1000001",
    ] {
        list(bad).refused(400, 1002);
    }
}

#[test]
fn a_call_mutes_1000_users_and_a_bad_one_among_them_spares_all() {
    let service = Service::start(&[APP]);
    let set = |users: &str| form(&service, APP, "/user/chat/fb/set.json", &format!("state=1&type=PERSON&{users}"));
    let total = || form(&service, APP, "/user/chat/fb/querylist.json", "type=PERSON").ok().json()["total"].clone();
    set(&repeated("userId", "u", 1001)).refused(400, 1005);
    set(&format!("{}&userId=bad.id", repeated("userId", "u", 999))).refused(400, 1002);
    assert_eq!(total(), 0);
    set(&repeated("userId", "u", 1000)).reads(DONE);
    assert_eq!(total(), 1000);
    assert_eq!(users(form(&service, APP, "/user/chat/fb/querylist.json", "type=PERSON")).len(), 100);
}

#[test]
fn quiet_hours_are_answered_as_set_and_empty_once_deleted() {
    let service = Service::start(&[APP]);
    let call = |verb: &str, body: &str| form(&service, APP, &format!("/user/blockPushPeriod/{verb}.json"), body);
    let none = r#"{"code":200,"data":{"startTime":"","period":0,"unPushLevel":0}}"#;
    call("get", "userId=ada").reads(none);
    call("set", "userId=ada&startTime=23:00:00&period=480&level=5").reads(DONE);
    call("get", "userId=ada").reads(r#"{"code":200,"data":{"startTime":"23:00:00","period":480,"unPushLevel":5}}"#);
    call("set", "userId=ada&startTime=00:30:59&period=1").reads(DONE);
    call("get", "userId=ada").reads(r#"{"code":200,"data":{"startTime":"00:30:59","period":1,"unPushLevel":1}}"#);
    for bad in ["", "userId=ada", "userId=ada&startTime=23:00:00", "userId=ada&period=1", "startTime=23:00:00&period=1"]
    {
        call("set", bad).refused(400, 1002);
    }
    for (start, period, level) in [
        ("24:00:00", "1", "1"),
        ("9:00:00", "1", "1"),
        ("x", "1", "1"),
        ("23:00", "1", "1"),
        ("23:00:00", "0", "1"),
        ("23:00:00", "1440", "1"),
        ("23:00:00", "x", "1"),
        ("23:00:00", "1", "6"),
    ] {
        let body = format!("userId=ada&startTime={start}&period={period}&level={level}");
        call("set", &body).refused(400, 1002);
    }
    call("delete", "userId=ada").reads(DONE);
    call("delete", "userId=ada").reads(DONE);
    call("get", "userId=ada").reads(none);
    call("get", "").refused(400, 1002);
    call("delete", "").refused(400, 1002);
}

#[test]
fn remarks_are_listed_as_set_in_pages_of_50() {
    let service = Service::start(&[APP]);
    let call = |verb: &str, body: &str| -> Reply { form(&service, APP, &format!("/user/remarks/{verb}.json"), body) };
    let none = r#"{"code":200,"total":0,"users":[]}"#;
    call("get", "userId=ada").reads(none);
    call("set", r#"userId=ada&remarks=[{"id":"bob","remark":"Bobby"}]"#).reads(DONE);
    call("get", "userId=ada").reads(r#"{"code":200,"total":1,"users":[{"id":"bob","remark":"Bobby"}]}"#);
    // As the Go SDK and the PHP SDK write it.
    call("set", r#"userId=ada&remarks=[{"Id":"bob","Remark":"Rob"}]"#).reads(DONE);
    call("set", "userId=ada&remarks[0][id]=cyd&remarks[0][remark]=Sid").reads(DONE);
    let both = call("get", "userId=ada").ok();
    assert_eq!(both.json()["total"], 2);
    assert!(both.text.contains(r#"{"id":"bob","remark":"Rob"}"#), "{}", both.text);
    assert!(both.text.contains(r#"{"id":"cyd","remark":"Sid"}"#), "{}", both.text);
    call("get", "userId=bob").reads(none);
    call("del", "userId=ada&targetId=bob").reads(DONE);
    call("del", "userId=ada&targetId=bob").reads(DONE);
    call("get", "userId=ada").reads(r#"{"code":200,"total":1,"users":[{"id":"cyd","remark":"Sid"}]}"#);
    let many = |n: usize| {
        let all: Vec<_> = (0..n).map(|i| format!(r#"{{"id":"r{i}","remark":"R"}}"#)).collect();
        format!("userId=many&remarks=[{}]", all.join(","))
    };
    call("set", &many(101)).refused(400, 1005);
    call("get", "userId=many").reads(none);
    call("set", &many(100)).reads(DONE);
    let page = |body: &str| call("get", body).ok().json()["users"].as_array().unwrap().len();
    assert_eq!((page("userId=many"), page("userId=many&page=2"), page("userId=many&page=3")), (50, 50, 0));
    assert_eq!(page("userId=many&page=4&size=30"), 10);
    for bad in [
        "",
        "userId=ada",
        "remarks=[]",
        "userId=ada&remarks=[]",
        "userId=ada&remarks={}",
        r#"userId=ada&remarks=[{"id":"a.b","remark":"x"}]"#,
        r#"userId=ada&remarks=[{"id":"bob","remark":""}]"#,
    ] {
        call("set", bad).refused(400, 1002);
    }
    let long = format!(r#"userId=ada&remarks=[{{"id":"bob","remark":"{}"}}]"#, "铁".repeat(65));
    call("set", &long).refused(400, 1005);
    call("del", "userId=ada").refused(400, 1002);
    call("get", "").refused(400, 1002);
}

#[test]
fn nobody_is_in_a_group() {
    let service = Service::start(&[APP]);
    form(&service, APP, "/user/group/query.json", "userId=ada").reads(r#"{"code":200,"groups":[]}"#);
    form(&service, APP, "/user/group/query.json", "").refused(400, 1002);
}
