//! Registration and its limits, and the end of tokens.

use super::{DONE, form, repeated};
use crate::support::{App, Reply, Service};

const APP: App = App::PRODUCTION;

#[track_caller]
fn register(service: &Service, user_id: &str, name: &str, portrait: &str) -> Reply {
    service.post(APP, "/user/getToken.json", &[("userId", user_id), ("name", name), ("portraitUri", portrait)])
}

#[test]
fn a_registration_answers_the_user_id_and_a_token_in_this_order() {
    let service = Service::start(&[APP]);
    let reply = service.post(APP, "/user/getToken.json", &[("userId", "ada"), ("name", "Ada")]);
    let reply = reply.shaped("{code:number,userId:string,token:string}");
    assert_eq!(reply.json()["userId"], "ada");
    assert!((1..=256).contains(&reply.json()["token"].as_str().unwrap().len()));
}

#[test]
fn a_second_registration_brings_another_token_and_overwrites_only_what_it_is_given() {
    let service = Service::start(&[APP]);
    let token = |name, portrait| register(&service, "ada", name, portrait).ok().json()["token"].clone();
    let info = || {
        let info = service.post(APP, "/user/info.json", &[("userId", "ada")]).ok().json();
        (info["userName"].clone(), info["userPortrait"].clone(), info["createTime"].clone())
    };
    let first = token("Ada", "http://example.com/1");
    let created = info().2;
    assert_ne!(token("Lovelace", "http://example.com/2"), first);
    assert_eq!(info(), ("Lovelace".into(), "http://example.com/2".into(), created.clone()));
    token("Countess", "");
    assert_eq!(info(), ("Countess".into(), "http://example.com/2".into(), created));
}

#[test]
fn a_user_id_has_up_to_64_bytes_of_letters_digits_and_four_signs_and_keeps_its_case() {
    let service = Service::start(&[APP]);
    for good in ["a", "Zz09+=-_", &"x".repeat(64)] {
        assert_eq!(register(&service, good, "N", "").ok().json()["userId"], good);
    }
    register(&service, &"x".repeat(65), "N", "").refused(400, 1005);
    for bad in ["a b", "é", "a,b", "a@b", "a.b", "a/b", "a\0b", "a\nb", "铁"] {
        register(&service, bad, "N", "").refused(400, 1002);
    }
    register(&service, "", "N", "").refused(400, 1002);
    service.post(APP, "/user/getToken.json", &[("name", "N")]).refused(400, 1002);
    register(&service, "Case", "Upper", "").ok();
    service.post(APP, "/user/info.json", &[("userId", "case")]).refused(400, 400);
}

#[test]
fn a_name_is_required_and_has_up_to_64_characters_of_any_script() {
    let service = Service::start(&[APP]);
    for good in ["x".repeat(64), "铁".repeat(64), "🦀".repeat(64)] {
        register(&service, "ada", &good, "").ok();
        assert_eq!(service.post(APP, "/user/info.json", &[("userId", "ada")]).ok().json()["userName"], *good);
        register(&service, "ada", &format!("{good}y"), "").refused(400, 1005);
    }
    register(&service, "ada", "", "").refused(400, 1002);
    service.post(APP, "/user/getToken.json", &[("userId", "ada")]).refused(400, 1002);
}

#[test]
fn a_portrait_has_up_to_1024_bytes_whatever_its_characters() {
    let service = Service::start(&[APP]);
    for good in ["x".repeat(1024), "é".repeat(512)] {
        register(&service, "ada", "Ada", &good).ok();
        assert_eq!(service.post(APP, "/user/info.json", &[("userId", "ada")]).ok().json()["userPortrait"], *good);
        register(&service, "ada", "Ada", &format!("{good}y")).refused(400, 1005);
    }
}

#[test]
fn a_refused_registration_leaves_no_user_behind() {
    let service = Service::start(&[APP]);
    register(&service, "ada", &"x".repeat(65), "").refused(400, 1005);
    register(&service, "ada", "Ada", &"x".repeat(1025)).refused(400, 1005);
    service.post(APP, "/user/info.json", &[("userId", "ada")]).refused(400, 400);
}

#[test]
fn two_apps_never_see_the_users_of_each_other() {
    let service = Service::start(&[APP, App::OTHER]);
    register(&service, "ada", "Here", "").ok();
    service.post(App::OTHER, "/user/info.json", &[("userId", "ada")]).refused(400, 400);
    service.post(App::OTHER, "/user/refresh.json", &[("userId", "ada"), ("name", "X")]).refused(400, 400);
    service.post(App::OTHER, "/user/getToken.json", &[("userId", "ada"), ("name", "There")]).ok();
    service.post(APP, "/user/block.json", &[("userId", "ada"), ("minute", "1")]).ok();
    service.post(APP, "/user/blacklist/add.json", &[("userId", "ada"), ("blackUserId", "bob")]).ok();
    service.post(App::OTHER, "/user/block/query.json", &[]).reads(r#"{"code":200,"users":[]}"#);
    service.post(App::OTHER, "/user/blacklist/query.json", &[("userId", "ada")]).reads(r#"{"code":200,"users":[]}"#);
    service.post(App::OTHER, "/user/deactivate.json", &[("userId", "ada")]).ok();
    service.post(APP, "/user/deactivate/query.json", &[]).reads(r#"{"code":200,"users":[]}"#);
    assert_eq!(service.post(APP, "/user/info.json", &[("userId", "ada")]).ok().json()["userName"], "Here");
}

#[test]
fn a_development_app_registers_exactly_a_hundred_of_a_hundred_and_fifty_users_that_come_at_once() {
    let service = Service::start(&[App::DEVELOPMENT]);
    let register = |n: usize| {
        let user_id = format!("user{n}");
        service.post(App::DEVELOPMENT, "/user/getToken.json", &[("userId", &user_id), ("name", "Somebody")])
    };
    let replies: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..150).map(|n| scope.spawn(move || register(n))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (registered, refused): (Vec<_>, Vec<_>) = replies.into_iter().partition(|reply| reply.status == 200);
    assert_eq!((registered.len(), refused.len()), (100, 50));
    for reply in refused {
        reply.refused(403, 2007);
    }
    let known = registered[0].json()["userId"].as_str().unwrap().to_owned();
    service.post(App::DEVELOPMENT, "/user/getToken.json", &[("userId", &known), ("name", "Again")]).ok();
}

#[test]
fn the_hundred_and_first_user_of_a_development_app_is_refused_until_the_service_restarts_and_after() {
    let app = App::DEVELOPMENT;
    let mut service = Service::start(&[app]);
    let ids: Vec<_> = (0..100).map(|n| format!("user{n}")).collect();
    service.register(app, &ids.iter().map(String::as_str).collect::<Vec<_>>());
    let one_more = [("userId", "user100"), ("name", "One more")];
    service.post(app, "/user/getToken.json", &one_more).refused(403, 2007);
    service.restart();
    service.post(app, "/user/getToken.json", &one_more).refused(403, 2007);
    service.post(app, "/user/getToken.json", &[("userId", "user0"), ("name", "Again")]).ok();
    service.post(app, "/user/info.json", &[("userId", "user100")]).refused(400, 400);
}

#[test]
fn a_production_app_registers_a_hundred_and_fifty_users() {
    let service = Service::start(&[APP]);
    for n in 0..150 {
        register(&service, &format!("user{n}"), "Somebody", "").ok();
    }
}

#[test]
fn expiring_tokens_takes_up_to_20_users_that_exist_and_a_time() {
    let service = Service::start(&[APP]);
    let ids: Vec<_> = (0..21).map(|n| format!("u{n}")).collect();
    service.register(APP, &ids.iter().map(String::as_str).collect::<Vec<_>>());
    let expire = |body: &str| form(&service, APP, "/user/token/expire.json", body);
    let time = "time=1795421029000";
    expire(&format!("{}&{time}", repeated("userId", "u", 20))).reads(DONE);
    expire(&format!("{time}&userId=u0,u1")).reads(DONE);
    expire(&format!("{}&{time}", repeated("userId", "u", 21))).refused(400, 1005);
    expire(&format!("userId=u0&userId=nobody&{time}")).refused(400, 400);
    for bad in [time, "userId=u0", "userId=u0&time=", "userId=u0&time=soon", "userId=u0&time=-1", "userId=a.b&time=1"] {
        expire(bad).refused(400, 1002);
    }
}
