//! Deactivation, the list of the deactivated, reactivation.

use super::{DONE, form, repeated, users};
use crate::support::{App, Reply, Service};

const APP: App = App::PRODUCTION;
const NOBODY: &str = r#"{"code":200,"users":[]}"#;
const OPERATION: &str = "{code:number,operateId:string}";

#[track_caller]
fn deactivate(service: &Service, body: &str) -> Reply {
    form(service, APP, "/user/deactivate.json", body)
}

#[track_caller]
fn deactivated(service: &Service, body: &str) -> Vec<String> {
    users(form(service, APP, "/user/deactivate/query.json", body))
}

/// A service whose app lets users come back at once.
fn without_wait() -> Service {
    let mut service = Service::start(&[APP]);
    service.stop();
    assert!(service.command(&["apps", "set", APP.key, "--reactivation-wait-seconds", "0"]).status.success());
    service.restart();
    service
}

#[test]
fn a_deactivated_user_gets_no_token_is_not_shown_and_is_listed() {
    let service = Service::start(&[APP]);
    form(&service, APP, "/user/deactivate/query.json", "").reads(NOBODY);
    service.register(APP, &["ada", "bob"]);
    deactivate(&service, "userId=ada").shaped(OPERATION);
    service.post(APP, "/user/getToken.json", &[("userId", "ada"), ("name", "Ada")]).refused(403, 31029);
    service.post(APP, "/user/info.json", &[("userId", "ada")]).refused(400, 400);
    service.post(APP, "/user/refresh.json", &[("userId", "ada"), ("name", "X")]).refused(403, 31029);
    form(&service, APP, "/user/deactivate/query.json", "").reads(r#"{"code":200,"users":["ada"]}"#);
    service.post(APP, "/user/info.json", &[("userId", "bob")]).ok();
    // A second time is no error and no second entry.
    deactivate(&service, "userId=ada").shaped(OPERATION);
    form(&service, APP, "/user/deactivate/query.json", "").reads(r#"{"code":200,"users":["ada"]}"#);
}

#[test]
fn a_user_cannot_come_back_within_the_hour() {
    let mut service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    deactivate(&service, "userId=ada").ok();
    for path in ["/user/reactivate.json", "/user/activate.json"] {
        form(&service, APP, path, "userId=ada").refused(403, 1000);
    }
    service.restart();
    form(&service, APP, "/user/reactivate.json", "userId=ada").refused(403, 1000);
    assert_eq!(deactivated(&service, ""), ["ada"]);
}

#[test]
fn who_comes_back_has_nothing_of_what_was_before() {
    let service = without_wait();
    service.register(APP, &["ada", "bob"]);
    let post = |path: &str, body: &str| form(&service, APP, path, body);
    post("/user/refresh.json", "userId=ada&portraitUri=http://example.com/p").ok();
    post("/user/profile/set.json", r#"userId=ada&userProfile={"name":"Hosted"}"#).ok();
    service.post_json(APP, "/user/tag/set.json", &serde_json::json!({"userId": "ada", "tags": ["a"]})).ok();
    post("/user/blacklist/add.json", "userId=ada&blackUserId=bob").ok();
    post("/user/blacklist/add.json", "userId=bob&blackUserId=ada").ok();
    post("/user/whitelist/add.json", "userId=ada&whiteUserId=bob").ok();
    post("/friend/add.json", "userId=ada&targetId=bob&optType=2").ok();
    deactivate(&service, "userId=ada").ok();
    service.eventually("the erasure lets the user come back", |service| {
        form(service, APP, "/user/reactivate.json", "userId=ada").status == 200
    });
    let empty = |service: &Service| {
        let post = |path: &str, body: &str| form(service, APP, path, body);
        assert_eq!(deactivated(service, ""), Vec::<String>::new());
        let info = post("/user/info.json", "userId=ada").ok().json();
        assert_eq!((&info["userName"], &info["userPortrait"]), (&"".into(), &"".into()));
        post("/user/profile/batch/query.json", "userId=ada").reads(r#"{"code":200,"userList":[]}"#);
        post("/user/tags/get.json", "userIds=ada").reads(r#"{"code":200,"result":{"ada":[]}}"#);
        post("/user/blacklist/query.json", "userId=ada").reads(NOBODY);
        post("/user/whitelist/query.json", "userId=ada").reads(NOBODY);
        // What others decided about the user is theirs.
        post("/user/blacklist/query.json", "userId=bob").reads(r#"{"code":200,"users":["ada"]}"#);
    };
    empty(&service);
    service.eventually("the friendship ends", |service| {
        let check = form(service, APP, "/friend/check.json", "userId=bob&targetIds=ada").ok();
        check.json()["results"][0]["result"] == 1
    });
    empty(&service);
    // Again is no error, and the user gets tokens.
    form(&service, APP, "/user/reactivate.json", "userId=ada").shaped(OPERATION);
    service.register(APP, &["ada"]);
    assert_eq!(service.post(APP, "/user/info.json", &[("userId", "ada")]).ok().json()["userName"], "Name of ada");
}

#[test]
fn a_call_takes_100_users_and_one_that_does_not_exist_spares_all() {
    let service = Service::start(&[APP]);
    let ids: Vec<_> = (0..101).map(|n| format!("u{n}")).collect();
    service.register(APP, &ids.iter().map(String::as_str).collect::<Vec<_>>());
    deactivate(&service, &format!("userId={}", ids.join(","))).refused(400, 1005);
    deactivate(&service, &repeated("userId", "u", 101)).refused(400, 1005);
    deactivate(&service, "userId=u0,nobody,u1").refused(400, 400);
    deactivate(&service, "userId=u0,bad.id").refused(400, 1002);
    deactivate(&service, "").refused(400, 1002);
    form(&service, APP, "/user/deactivate/query.json", "").reads(NOBODY);
    deactivate(&service, &format!("userId={}", ids[..100].join("%2C"))).shaped(OPERATION);
    assert_eq!(deactivated(&service, "").len(), 50, "without a size a page has 50");
    assert_eq!(deactivated(&service, "pageNo=2").len(), 50);
    assert_eq!(deactivated(&service, "pageNo=3").len(), 0);
    for bad in ["", "userId=", "userId=bad.id"] {
        form(&service, APP, "/user/reactivate.json", bad).refused(400, 1002);
    }
    form(&service, APP, "/user/reactivate.json", &repeated("userId", "u", 101)).refused(400, 1005);
    form(&service, APP, "/user/reactivate.json", "userId=nobody").refused(400, 400);
    service.post(APP, "/user/info.json", &[("userId", "u100")]).ok();
}

#[test]
fn pages_of_the_deactivated_hold_up_to_50_the_latest_first() {
    let service = Service::start(&[APP]);
    let ids: Vec<_> = (0..7).map(|n| format!("u{n}")).collect();
    service.register(APP, &ids.iter().map(String::as_str).collect::<Vec<_>>());
    for id in &ids {
        deactivate(&service, &format!("userId={id}")).ok();
    }
    assert_eq!(deactivated(&service, "pageNo=1&pageSize=3"), ["u6", "u5", "u4"]);
    assert_eq!(deactivated(&service, "pageSize=3&pageNo=3"), ["u0"]);
    for bad in ["pageNo=0", "pageNo=-1", "pageNo=x", "pageSize=0", "pageSize=51", "pageNo=20002&pageSize=50"] {
        form(&service, APP, "/user/deactivate/query.json", bad).refused(400, 1002);
    }
}

#[test]
fn a_seat_of_a_development_app_stays_taken_by_who_is_deactivated() {
    let app = App::DEVELOPMENT;
    let service = Service::start(&[app]);
    let ids: Vec<_> = (0..100).map(|n| format!("u{n}")).collect();
    service.register(app, &ids.iter().map(String::as_str).collect::<Vec<_>>());
    form(&service, app, "/user/deactivate.json", "userId=u0").ok();
    service.post(app, "/user/getToken.json", &[("userId", "more"), ("name", "More")]).refused(403, 2007);
    form(&service, app, "/user/unblock.json", "userId=u0").reads(DONE);
}

#[test]
fn whoever_is_deactivated_is_no_friend_of_anybody_from_the_answer_on() {
    let service = Service::start(&[APP]);
    service.register(APP, &["bob"]);
    for round in 0..25 {
        let leaver = format!("leaver-{round}");
        service.register(APP, &[&leaver]);
        service.post(APP, "/friend/add.json", &[("userId", "bob"), ("targetId", &leaver), ("optType", "2")]).ok();
        deactivate(&service, &format!("userId={leaver}")).ok();
        service
            .post(APP, "/friend/get.json", &[("userId", "bob")])
            .reads(r#"{"code":200,"pageToken":"","totalCount":0,"friendList":[]}"#);
        let checked = service.post(APP, "/friend/check.json", &[("userId", "bob"), ("targetIds", &leaver)]).ok().json();
        assert_eq!(checked["results"][0]["result"], 1, "{checked}");
    }
}
