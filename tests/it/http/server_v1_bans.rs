//! Ban, lift, list the banned.

use super::{DONE, date, form, repeated, start_in_beijing, time, users};
use crate::support::{App, Reply, Service};

const APP: App = App::PRODUCTION;
const NOBODY: &str = r#"{"code":200,"users":[]}"#;

#[track_caller]
fn ban(service: &Service, body: &str) -> Reply {
    form(service, APP, "/user/block.json", body)
}

#[track_caller]
fn banned(service: &Service, body: &str) -> Vec<String> {
    users(form(service, APP, "/user/block/query.json", body))
}

#[test]
fn a_ban_is_listed_until_it_is_lifted() {
    let service = Service::start(&[APP]);
    form(&service, APP, "/user/block/query.json", "").reads(NOBODY);
    service.register(APP, &["ada"]);
    ban(&service, "userId=ada&userId=never-registered&minute=10").reads(DONE);
    let listed = form(&service, APP, "/user/block/query.json", "");
    listed.shaped("{code:number,users:[{userId:string,blockEndTime:string}]}");
    form(&service, APP, "/user/unblock.json", "userId=ada&userId=not-banned").reads(DONE);
    assert_eq!(banned(&service, ""), ["never-registered"]);
    form(&service, APP, "/user/unblock.json", "userId=never-registered").reads(DONE);
    form(&service, APP, "/user/block/query.json", "").reads(NOBODY);
    // Registration is not refused to who is banned.
    ban(&service, "userId=ada&minute=10").ok();
    service.register(APP, &["ada"]);
}

#[test]
fn a_ban_ends_so_many_minutes_after_it_began_in_utc() {
    let (service, _dir) = start_in_beijing(&[APP]);
    let reply = ban(&service, "userId=ada&minute=43200").ok();
    let listed = form(&service, APP, "/user/block/query.json", "").ok().json();
    let lasts = time(&listed["users"][0]["blockEndTime"]) - date(&reply);
    assert!((lasts.num_minutes() - 43_200).abs() < 30, "{listed} at {}", date(&reply));
}

#[test]
fn minutes_run_from_1_to_43200_and_everything_else_is_code_1003() {
    let service = Service::start(&[APP]);
    ban(&service, "userId=a&minute=1").reads(DONE);
    ban(&service, "userId=a&minute=43200").reads(DONE);
    for bad in ["0", "-1", "43201", "65537", "4294967297", "99999999999999999999", "1.5", "x", "", "0x10"] {
        ban(&service, &format!("userId=b&minute={bad}")).refused(400, 1003);
    }
    ban(&service, "userId=b").refused(400, 1003);
    assert_eq!(banned(&service, ""), ["a"]);
}

#[test]
fn a_call_takes_20_users_and_a_bad_one_among_them_spares_all() {
    let service = Service::start(&[APP]);
    ban(&service, &format!("minute=5&{}", repeated("userId", "u", 21))).refused(400, 1005);
    ban(&service, &format!("minute=5&{}&userId=bad.id", repeated("userId", "u", 19))).refused(400, 1002);
    ban(&service, &format!("minute=5&{}&userId={}", repeated("userId", "u", 19), "x".repeat(65))).refused(400, 1005);
    assert_eq!(banned(&service, "").len(), 0);
    ban(&service, &format!("minute=5&{}", repeated("userId", "u", 20))).reads(DONE);
    assert_eq!(banned(&service, "").len(), 20);
    let lift = |body: &str| form(&service, APP, "/user/unblock.json", body);
    lift(&repeated("userId", "u", 21)).refused(400, 1005);
    lift("userId=u0&userId=bad.id").refused(400, 1002);
    lift("").refused(400, 1002);
    assert_eq!(banned(&service, "").len(), 20);
    lift("userId=u0,u1").reads(DONE);
    assert_eq!(banned(&service, "").len(), 18);
}

#[test]
fn a_deactivated_user_among_twenty_spares_all_from_the_ban() {
    let service = Service::start(&[APP]);
    service.register(APP, &["gone"]);
    form(&service, APP, "/user/deactivate.json", "userId=gone").ok();
    ban(&service, &format!("minute=5&{}&userId=gone", repeated("userId", "u", 19))).refused(403, 31029);
    form(&service, APP, "/user/block/query.json", "").reads(NOBODY);
}

#[test]
fn the_banned_are_listed_by_the_end_of_the_ban_the_latest_first_in_pages() {
    let service = Service::start(&[APP]);
    for minute in [30, 10, 50, 20, 40] {
        ban(&service, &format!("userId=m{minute}&minute={minute}")).ok();
    }
    let all = ["m50", "m40", "m30", "m20", "m10"];
    for unpaged in ["", "page=0", "size=2", "page=0&size=2"] {
        assert_eq!(banned(&service, unpaged), all, "{unpaged}");
    }
    assert_eq!(banned(&service, "page=1"), all);
    assert_eq!(banned(&service, "size=2&page=1"), all[..2]);
    assert_eq!(banned(&service, "size=2&page=3"), all[4..]);
    assert_eq!(banned(&service, "size=2&page=4"), Vec::<String>::new());
    assert_eq!(banned(&service, "page=1001&size=1000"), Vec::<String>::new(), "the last page there can be");
    let beyond = "page=1002&size=1000";
    for bad in ["page=-1", "page=x", "page=1&size=0", "page=1&size=1001", "page=1&size=x", beyond] {
        form(&service, APP, "/user/block/query.json", bad).refused(400, 1002);
    }
}

#[test]
fn the_first_page_of_the_banned_has_50_unless_told_otherwise() {
    let service = Service::start(&[APP]);
    for call in 0..3 {
        let ids: Vec<_> = (0..20).map(|n| format!("userId=u{call}-{n}")).collect();
        ban(&service, &format!("minute=5&{}", ids.join("&"))).ok();
    }
    assert_eq!(banned(&service, "page=1").len(), 50);
    assert_eq!(banned(&service, "page=2").len(), 10);
    assert_eq!(banned(&service, "").len(), 60);
}

#[test]
fn a_second_ban_replaces_the_end_of_the_first() {
    let service = Service::start(&[APP]);
    ban(&service, "userId=a&minute=1000").ok();
    ban(&service, "userId=b&minute=500").ok();
    assert_eq!(banned(&service, ""), ["a", "b"]);
    ban(&service, "userId=a&minute=5").ok();
    assert_eq!(banned(&service, ""), ["b", "a"]);
}
