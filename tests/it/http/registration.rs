//! Registration and its limits.

use crate::support::{App, Service};

#[test]
fn a_registration_answers_the_user_id_and_a_token_in_this_order() {
    let service = Service::start(&[App::PRODUCTION]);
    let reply = service.post(App::PRODUCTION, "/user/getToken.json", &[("userId", "ada"), ("name", "Ada")]).ok();
    assert_eq!(reply.members(), ["code", "userId", "token"]);
    assert_eq!(reply.json()["userId"], "ada");
    assert!((1..=256).contains(&reply.json()["token"].as_str().unwrap().len()));
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
