//! Friends: who becomes one, who may, what is told about them.

use super::{DONE, form, repeated};
use crate::support::{App, Reply, Service};

const APP: App = App::PRODUCTION;

#[track_caller]
fn call(service: &Service, endpoint: &str, body: &str) -> Reply {
    form(service, APP, &format!("/friend/{endpoint}.json"), body)
}

/// 1 or 4 for each of `targets`, in their order.
#[track_caller]
fn relations(service: &Service, user_id: &str, targets: &str) -> Vec<i64> {
    let json = call(service, "check", &format!("userId={user_id}&targetIds={targets}")).ok().json();
    json["results"].as_array().unwrap().iter().map(|result| result["result"].as_i64().unwrap()).collect()
}

#[track_caller]
fn friends(reply: Reply) -> Vec<String> {
    let json = reply.ok().json();
    json["friendList"].as_array().unwrap().iter().map(|f| f["userId"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn friends_are_made_and_ended_on_both_sides() {
    let service = Service::start(&[APP]);
    call(&service, "add", "userId=u1&targetId=u2&optType=2").reads(DONE);
    call(&service, "check", "userId=u1&targetIds=u3,u2")
        .reads(r#"{"code":200,"results":[{"userId":"u3","result":1},{"userId":"u2","result":4}]}"#);
    assert_eq!(relations(&service, "u2", "u1"), [4]);
    call(&service, "delete", "userId=u2&targetIds=u1,u3").reads(DONE);
    assert_eq!((relations(&service, "u1", "u2"), relations(&service, "u2", "u1")), (vec![1], vec![1]));
    for friend in ["u2", "u3", "u4"] {
        call(&service, "add", &format!("userId=u1&targetId={friend}&optType=2")).ok();
    }
    call(&service, "clean", "userId=u1").reads(DONE);
    call(&service, "clean", "userId=nobody").reads(DONE);
    assert_eq!(relations(&service, "u1", "u2,u3,u4"), [1, 1, 1]);
    assert_eq!(relations(&service, "u4", "u1"), [1]);
}

#[test]
fn a_page_of_friends_tells_name_remark_fields_and_time() {
    let mut service = Service::start(&[APP]);
    service.stop();
    assert!(service.command(&["apps", "set", APP.key, "--friend-field", "ext_nick"]).status.success());
    service.restart();
    service.register(APP, &["u1", "u2", "u3"]);
    call(&service, "get", "userId=u1").reads(r#"{"code":200,"pageToken":"","totalCount":0,"friendList":[]}"#);
    for friend in ["u2", "u3"] {
        call(&service, "add", &format!("userId=u1&targetId={friend}&optType=2")).ok();
    }
    call(&service, "profile/set", r#"userId=u1&targetId=u2&remarkName=Old+mate&friendExtProfile={"ext_nick":"Two"}"#)
        .reads(DONE);
    let entry = "{userId:string,name:string,remarkName:string,friendExtProfile:string,time:number}";
    let page = call(&service, "get", "userId=u1");
    let page = page.shaped(&format!("{{code:number,pageToken:string,totalCount:number,friendList:[{entry}]}}")).json();
    let (first, second) = (&page["friendList"][0], &page["friendList"][1]);
    assert_eq!(
        (&first["userId"], &first["name"], &first["remarkName"], &first["friendExtProfile"]),
        (&"u2".into(), &"Name of u2".into(), &"Old mate".into(), &r#"{"ext_nick":"Two"}"#.into())
    );
    assert_eq!((&second["remarkName"], &second["friendExtProfile"]), (&"".into(), &"{}".into()));
    assert!(first["time"].as_i64().unwrap() > 1_600_000_000_000, "not in milliseconds: {first}");
    // A remark is nobody else's business, and an empty one takes it away.
    assert_eq!(call(&service, "get", "userId=u2").ok().json()["friendList"][0]["remarkName"], "");
    call(&service, "profile/set", "userId=u1&targetId=u2&remarkName=").reads(DONE);
    let kept = call(&service, "get", "userId=u1").ok().json()["friendList"][0].clone();
    assert_eq!((&kept["remarkName"], &kept["friendExtProfile"]), (&"".into(), &r#"{"ext_nick":"Two"}"#.into()));
}

#[test]
fn pages_of_friends_follow_each_other_in_either_order_and_count_all() {
    let service = Service::start(&[APP]);
    let all: Vec<_> = (0..7).map(|n| format!("f{n}")).collect();
    for friend in &all {
        call(&service, "add", &format!("userId=u1&targetId={friend}&optType=2")).ok();
    }
    for (order, expected) in [(0, all.clone()), (1, all.iter().rev().cloned().collect())] {
        let (mut seen, mut token) = (vec![], String::new());
        for left in [7, 4, 1] {
            let page = call(&service, "get", &format!("userId=u1&pageToken={token}&size=3&order={order}")).ok();
            assert_eq!(page.json()["totalCount"], 7);
            token = page.json()["pageToken"].as_str().unwrap().to_owned();
            assert_eq!(token.is_empty(), left <= 3, "{}", page.text);
            seen.extend(friends(page));
        }
        assert_eq!(seen, expected);
    }
    let whole = call(&service, "get", "userId=u1&size=7").ok();
    assert_eq!(whole.json()["pageToken"], "", "a page that ends with the list names no next");
    for bad in
        ["", "userId=", "userId=u1&size=0", "userId=u1&size=101", "userId=u1&order=2", "userId=u1&pageToken=CNgB"]
    {
        call(&service, "get", bad).refused(400, 1002);
    }
}

#[test]
fn a_page_of_friends_has_50_unless_told_otherwise() {
    let service = Service::start(&[APP]);
    for n in 0..51 {
        call(&service, "add", &format!("userId=u1&targetId=f{n}&optType=2")).ok();
    }
    assert_eq!(friends(call(&service, "get", "userId=u1")).len(), 50);
    assert_eq!(friends(call(&service, "get", "userId=u1&size=100")).len(), 51);
}

#[test]
fn the_permission_of_the_target_decides_unless_the_call_adds_directly() {
    let service = Service::start(&[APP]);
    let permit = |user_id: &str, permission: u8| {
        call(&service, "permission/set", &format!("userIds={user_id}&permissionType={permission}")).reads(DONE)
    };
    service.register(APP, &["any", "ask", "none", "usual"]);
    permit("any", 1);
    permit("ask", 2);
    permit("none", 3);
    call(&service, "permission/get", "userIds=none&userIds=any,ask&userIds=usual&userIds=nobody").reads(
        r#"{"code":200,"permissionSettings":[{"userId":"none","type":3},{"userId":"any","type":1},{"userId":"ask","type":2},{"userId":"usual","type":2},{"userId":"nobody","type":2}]}"#,
    );
    call(&service, "add", "userId=u1&targetId=any&optType=1").reads(DONE);
    call(&service, "add", "userId=u1&targetId=ask&optType=1&extra=Hello").reads(DONE);
    call(&service, "add", "userId=u1&targetId=usual").reads(DONE);
    call(&service, "add", "userId=u1&targetId=none&optType=1").refused(400, 25471);
    call(&service, "add", "userId=u1&targetId=none").refused(400, 25471);
    assert_eq!(relations(&service, "u1", "any,ask,usual,none"), [4, 1, 1, 1]);
    call(&service, "add", "userId=u1&targetId=none&optType=2").reads(DONE);
    assert_eq!(relations(&service, "u1", "none"), [4]);
    // Who asks back has answered.
    call(&service, "add", "userId=ask&targetId=u1&optType=1").reads(DONE);
    assert_eq!(relations(&service, "u1", "ask"), [4]);
}

#[test]
fn each_reason_against_a_friendship_has_its_code() {
    let service = Service::start(&[APP]);
    let add = |body: &str| call(&service, "add", body);
    add("userId=u1&targetId=u2&optType=2").ok();
    add("userId=u1&targetId=u2&optType=2").refused(400, 25460);
    add("userId=u2&targetId=u1&optType=1").refused(400, 25460);
    for how in [1, 2] {
        add(&format!("userId=u1&targetId=u1&optType={how}")).refused(400, 25473);
    }
    form(&service, APP, "/user/blacklist/add.json", "userId=blocker&blackUserId=u1").ok();
    add("userId=u1&targetId=blocker").refused(400, 25462);
    add("userId=blocker&targetId=u1").refused(400, 25464);
    form(&service, APP, "/user/whitesetting/set.json", "userId=careful&whiteSetting=1").ok();
    add("userId=u1&targetId=careful").refused(400, 25463);
    add("userId=careful&targetId=u1").refused(400, 25465);
    form(&service, APP, "/user/whitelist/add.json", "userId=careful&whiteUserId=u1").ok();
    add("userId=u1&targetId=careful").reads(DONE);
    call(&service, "profile/set", "userId=u1&targetId=stranger&remarkName=X").refused(400, 25469);
    service.register(APP, &["gone"]);
    form(&service, APP, "/user/deactivate.json", "userId=gone").ok();
    add("userId=u1&targetId=gone&optType=2").refused(403, 31029);
    add("userId=gone&targetId=u1&optType=2").refused(403, 31029);
}

#[test]
fn a_user_has_up_to_3000_friends_and_whose_cap_it_is_is_told() {
    let service = Service::start(&[APP]);
    std::thread::scope(|scope| {
        for lane in 0..8 {
            let service = &service;
            scope.spawn(move || {
                for n in 0..375 {
                    call(service, "add", &format!("userId=hub&targetId=f{lane}-{n}&optType=2")).ok();
                }
            });
        }
    });
    assert_eq!(call(&service, "get", "userId=hub&size=1").ok().json()["totalCount"], 3000);
    call(&service, "add", "userId=hub&targetId=other&optType=2").refused(400, 25467);
    call(&service, "add", "userId=other&targetId=hub&optType=2").refused(400, 25468);
    assert_eq!(relations(&service, "hub", "other,f0-0"), [1, 4]);
    call(&service, "delete", "userId=hub&targetIds=f0-0").ok();
    call(&service, "add", "userId=other&targetId=hub&optType=2").reads(DONE);
}

#[test]
fn parameters_of_friends_have_bounds() {
    let service = Service::start(&[APP]);
    for bad in [
        "",
        "userId=a",
        "targetId=b",
        "userId=a&targetId=b.c",
        "userId=a&targetId=b&optType=3",
        "userId=a&targetId=b&optType=x",
    ] {
        call(&service, "add", bad).refused(400, 1002);
    }
    call(&service, "add", &format!("userId=a&targetId=b&extra={}", "铁".repeat(128))).reads(DONE);
    call(&service, "add", &format!("userId=a&targetId=c&extra={}", "铁".repeat(129))).refused(400, 1005);
    call(&service, "add", "userId=a&targetId=b&optType=2").ok();
    for (endpoint, targets) in [("delete", "targetIds"), ("check", "targetIds")] {
        call(&service, endpoint, &format!("userId=a&{}", repeated(targets, "t", 101))).refused(400, 1005);
        call(&service, endpoint, &format!("userId=a&{}", repeated(targets, "t", 100))).ok();
        for bad in ["", "userId=a", "targetIds=b", "userId=a&targetIds=,", "userId=a&targetIds=b,b.c"] {
            call(&service, endpoint, bad).refused(400, 1002);
        }
    }
    assert_eq!(relations(&service, "a", "b"), [4], "a refused call ended a friendship");
    call(&service, "clean", "").refused(400, 1002);
    call(&service, "permission/get", "").refused(400, 1002);
    call(&service, "permission/get", &repeated("userIds", "u", 101)).refused(400, 1005);
    for bad in ["", "userIds=a", "permissionType=1", "userIds=a&permissionType=0", "userIds=a&permissionType=4"] {
        call(&service, "permission/set", bad).refused(400, 1002);
    }
    let many = repeated("userIds", "u", 101);
    call(&service, "permission/set", &format!("permissionType=1&{many}")).refused(400, 1005);
}

#[test]
fn descriptions_of_friends_have_bounds() {
    let mut service = Service::start(&[APP]);
    service.stop();
    let fields: Vec<_> = (0..11).map(|n| format!("ext_{n}")).collect();
    let mut args = vec!["apps", "set", APP.key];
    fields.iter().for_each(|field| args.extend(["--friend-field", field]));
    assert!(service.command(&args).status.success());
    service.restart();
    call(&service, "add", "userId=a&targetId=b&optType=2").ok();
    let describe = |more: &str| call(&service, "profile/set", &format!("userId=a&targetId=b&{more}"));
    describe(&format!("remarkName={}", "铁".repeat(64))).reads(DONE);
    describe(&format!("remarkName={}", "铁".repeat(65))).refused(400, 1005);
    let object = |n: usize, value: &str| {
        let members: Vec<_> = fields[..n].iter().map(|field| format!(r#""{field}":"{value}""#)).collect();
        format!("friendExtProfile={{{}}}", members.join(","))
    };
    describe(&object(10, &"x".repeat(256))).reads(DONE);
    describe(&object(11, "x")).refused(400, 1005);
    describe(&object(1, &"x".repeat(257))).refused(400, 1005);
    for bad in [r#"{"ext_other":"x"}"#, r#"{"nick":"x"}"#, r#"{"ext_0":1}"#, "[]", "x", "{"] {
        describe(&format!("friendExtProfile={bad}")).refused(400, 1002);
    }
}
