//! What is told about a user: info, refresh, online status, and the list of a development app.

use super::{DONE, date, form, repeated, start_in_beijing, time, users};
use crate::support::{App, Service};

const APP: App = App::PRODUCTION;
const DEV: App = App::DEVELOPMENT;

#[test]
fn info_tells_name_portrait_and_the_time_of_registration_in_utc() {
    let (service, _dir) = start_in_beijing(&[APP]);
    let form = [("userId", "ada"), ("name", "Ada \"铁\""), ("portraitUri", "http://example.com/p?a=1&b=2")];
    let registered = service.post(APP, "/user/getToken.json", &form).ok();
    let info = service.post(APP, "/user/info.json", &[("userId", "ada")]);
    let info = info.shaped("{code:number,userName:string,userPortrait:string,createTime:string}");
    let json = info.json();
    assert_eq!(
        (&json["userName"], &json["userPortrait"]),
        (&"Ada \"铁\"".into(), &"http://example.com/p?a=1&b=2".into())
    );
    // The header is in GMT and made anew a few times a minute at least.
    let apart = time(&json["createTime"]) - date(&registered);
    assert!(apart.num_minutes().abs() < 30, "{json} at {}", date(&registered));
}

#[test]
fn a_user_without_a_portrait_has_an_empty_one() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    assert_eq!(service.post(APP, "/user/info.json", &[("userId", "ada")]).ok().json()["userPortrait"], "");
}

#[test]
fn a_user_that_does_not_exist_has_code_400() {
    let service = Service::start(&[APP]);
    service.post(APP, "/user/info.json", &[("userId", "nobody")]).refused(400, 400);
    service.post(APP, "/user/refresh.json", &[("userId", "nobody"), ("name", "N")]).refused(400, 400);
    // To be named is not to exist.
    service.post(APP, "/user/blacklist/add.json", &[("userId", "ada"), ("blackUserId", "nobody")]).ok();
    service.post(APP, "/user/info.json", &[("userId", "nobody")]).refused(400, 400);
    service.post(APP, "/user/info.json", &[("userId", "ada")]).refused(400, 400);
    service.post(APP, "/user/refresh.json", &[("userId", "nobody"), ("name", "N")]).refused(400, 400);
}

#[test]
fn refresh_changes_what_it_is_given_and_nothing_else() {
    let service = Service::start(&[APP]);
    let portrait = "http://example.com/1";
    service.post(APP, "/user/getToken.json", &[("userId", "ada"), ("name", "Ada"), ("portraitUri", portrait)]).ok();
    let after = |body: &str| {
        form(&service, APP, "/user/refresh.json", body).reads(DONE);
        let info = service.post(APP, "/user/info.json", &[("userId", "ada")]).ok().json();
        (info["userName"].as_str().unwrap().to_owned(), info["userPortrait"].as_str().unwrap().to_owned())
    };
    let pair = |name: &str, portrait: &str| (name.to_owned(), portrait.to_owned());
    assert_eq!(after("userId=ada&name=B"), pair("B", portrait));
    assert_eq!(after("userId=ada&portraitUri=http://example.com/2"), pair("B", "http://example.com/2"));
    assert_eq!(after("userId=ada&name=C&portraitUri=http://example.com/3"), pair("C", "http://example.com/3"));
    assert_eq!(after("userId=ada"), pair("C", "http://example.com/3"));
    // As the Go SDK sends it when it was given no portrait.
    assert_eq!(after("userId=ada&name=D&portraitUri="), pair("D", "http://example.com/3"));
}

#[test]
fn refresh_holds_the_bounds_of_registration_and_leaves_the_hosted_profile_alone() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    service.post(APP, "/user/profile/set.json", &[("userId", "ada"), ("userProfile", r#"{"name":"Hosted"}"#)]).ok();
    let refresh = |name: &str, portrait: &str| {
        service.post(APP, "/user/refresh.json", &[("userId", "ada"), ("name", name), ("portraitUri", portrait)])
    };
    refresh(&"铁".repeat(64), &"x".repeat(1024)).reads(DONE);
    refresh(&"铁".repeat(65), "").refused(400, 1005);
    refresh("", &"x".repeat(1025)).refused(400, 1005);
    // Neither part of a refused change is made.
    refresh("Changed", &"x".repeat(1025)).refused(400, 1005);
    let info = service.post(APP, "/user/info.json", &[("userId", "ada")]).ok().json();
    assert_eq!(info["userName"], "铁".repeat(64));
    for bad in ["", "name=N", "userId=&name=N", "userId=a.b&name=N"] {
        form(&service, APP, "/user/refresh.json", bad).refused(400, 1002);
    }
    let hosted = service.post(APP, "/user/profile/batch/query.json", &[("userId", "ada")]).ok().json();
    assert_eq!(hosted["userList"][0]["userProfile"], r#"{"name":"Hosted"}"#);
}

#[test]
fn a_change_is_seen_by_the_next_question() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    for n in 0..50 {
        let name = format!("Name {n}");
        service.post(APP, "/user/refresh.json", &[("userId", "ada"), ("name", &name)]).ok();
        assert_eq!(service.post(APP, "/user/info.json", &[("userId", "ada")]).ok().json()["userName"], *name);
    }
}

#[test]
fn online_status_is_a_string_also_for_who_was_never_seen() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    for user_id in ["ada", "nobody"] {
        let reply = service.post(APP, "/user/checkOnline.json", &[("userId", user_id)]);
        reply.reads(r#"{"code":200,"status":"0"}"#);
    }
    for bad in ["", "userId=", "userId=a.b"] {
        form(&service, APP, "/user/checkOnline.json", bad).refused(400, 1002);
    }
    form(&service, APP, "/user/checkOnline.json", &format!("userId={}", "x".repeat(65))).refused(400, 1005);
}

#[test]
fn a_development_app_lists_its_users_in_pages_in_the_order_of_registration() {
    let service = Service::start(&[DEV]);
    form(&service, DEV, "/user/query.json", "").reads(r#"{"code":200,"total":0,"users":[]}"#);
    let ids: Vec<_> = (0..25).map(|n| format!("user{n:02}")).collect();
    service.register(DEV, &ids.iter().map(String::as_str).collect::<Vec<_>>());
    let query = |body: &str| form(&service, DEV, "/user/query.json", body);
    let entry = "{userId:string,userName:string,userPortrait:string,regTime:string}";
    let first = query("").shaped(&format!("{{code:number,total:number,users:[{entry}]}}")).json();
    assert_eq!(first["total"], 25);
    time(&first["users"][0]["regTime"]);
    assert_eq!(users(query("")), ids[..20]);
    assert_eq!(users(query("page=2")), ids[20..]);
    assert_eq!(users(query("page=3&pageSize=10&order=0")), ids[20..]);
    assert_eq!(users(query("page=4&pageSize=10")), Vec::<String>::new());
    let newest: Vec<_> = ids.iter().rev().cloned().collect();
    assert_eq!(users(query("order=1&pageSize=100")), newest);
    for bad in ["page=0", "page=-1", "page=x", "pageSize=0", "pageSize=101", "order=2"] {
        query(bad).refused(400, 1002);
    }
}

#[test]
fn a_development_app_deletes_users_and_their_seats() {
    let service = Service::start(&[DEV]);
    service.register(DEV, &["ada", "bob", "cyd"]);
    let delete = |body: &str| form(&service, DEV, "/user/delusers.json", body);
    delete("userId=ada&userId=bob").reads(DONE);
    for gone in ["ada", "bob"] {
        service.post(DEV, "/user/info.json", &[("userId", gone)]).refused(400, 400);
    }
    assert_eq!(users(form(&service, DEV, "/user/query.json", "")), ["cyd"]);
    form(&service, DEV, "/user/deactivate/query.json", "").reads(r#"{"code":200,"users":[]}"#);
    let ids: Vec<_> = (0..99).map(|n| format!("user{n}")).collect();
    service.register(DEV, &ids.iter().map(String::as_str).collect::<Vec<_>>());
    service.post(DEV, "/user/getToken.json", &[("userId", "ada"), ("name", "Ada")]).refused(403, 2007);
    delete("userId=cyd,user0").reads(DONE);
    service.register(DEV, &["ada"]);
    delete(&repeated("userId", "user", 101)).refused(400, 1005);
    delete("").refused(400, 1002);
}

#[test]
fn a_production_app_neither_lists_nor_deletes_users() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    form(&service, APP, "/user/query.json", "").refused(403, 1009);
    form(&service, APP, "/user/delusers.json", "userId=ada").refused(403, 1009);
    service.post(APP, "/user/info.json", &[("userId", "ada")]).ok();
}
