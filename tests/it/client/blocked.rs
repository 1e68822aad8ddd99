//! Whom a user has blocked does not see that it is online.

use serde_json::json;

use super::presence::{online, told};
use super::{APP, Socket, call, token};
use crate::support::Service;

fn block(service: &Service, owner: &str, other: &str) {
    service.post(APP, "/user/blacklist/add.json", &[("userId", owner), ("blackUserId", other)]).ok();
}

fn unblock(service: &Service, owner: &str, other: &str) {
    service.post(APP, "/user/blacklist/remove.json", &[("userId", owner), ("blackUserId", other)]).ok();
}

#[test]
fn for_whom_a_user_blocks_it_is_offline_and_nobody_is_told_of_the_block() {
    let service = Service::start(&[APP]);
    let [ada, bob, eve] = ["ada", "bob", "eve"].map(|user| token(&service, APP, user));
    let (mut his, mut hers) = (Socket::connect(&service, &bob).0, Socket::connect(&service, &eve).0);
    let follow = json!({"user_ids": ["ada"], "seconds": 600});
    for follower in [&mut his, &mut hers] {
        follower.ask("subscriptions.add", &follow);
        assert_eq!(told(follower), online("ada", &[]));
    }
    // While she is offline there is nothing to hide, so that nothing is told: what he is told next is about himself.
    block(&service, "ada", "bob");
    std::thread::sleep(std::time::Duration::from_millis(500));
    unblock(&service, "ada", "bob");
    std::thread::sleep(std::time::Duration::from_millis(500));
    his.ask("me.update", &json!({"name": "Bob"}));
    assert_eq!(his.told().0, "me.updated");
    let (web, _) = Socket::connect(&service, &ada);
    for follower in [&mut his, &mut hers] {
        assert_eq!(told(follower), online("ada", &["web"]));
    }
    block(&service, "ada", "bob");
    assert_eq!(told(&mut his), online("ada", &[]));
    let listed = |token: &str| call(&service, token, "GET", "subscriptions", "").json()["subscriptions"][0].clone();
    assert_eq!((&listed(&bob)["online"], &listed(&bob)["devices"]), (&json!(false), &json!([])));
    assert_eq!(listed(&eve)["online"], json!(true));

    // What she does meanwhile is told to others only, and a new subscription shows no more.
    let (phone, _) = Socket::connect_with(&service, &json!({"token": ada, "platform": "ios"}));
    assert_eq!(told(&mut hers), online("ada", &["web", "ios"]));
    his.ask("subscriptions.remove", &json!({"user_ids": ["ada"]}));
    his.ask("subscriptions.add", &follow);
    assert_eq!(told(&mut his), online("ada", &[]));
    drop(phone);
    assert_eq!(told(&mut hers), online("ada", &["web"]));

    unblock(&service, "ada", "bob");
    assert_eq!(told(&mut his), online("ada", &["web"]));
    drop(web);
    for follower in [&mut his, &mut hers] {
        assert_eq!(told(follower), online("ada", &[]));
    }
    // Whoever blocks sees the other as before: it is its own choice.
    let (mut again, _) = Socket::connect(&service, &ada);
    assert_eq!(told(&mut his), online("ada", &["web"]));
    block(&service, "ada", "bob");
    assert_eq!(told(&mut his), online("ada", &[]));
    again.ask("subscriptions.add", &json!({"user_ids": ["bob"], "seconds": 600}));
    loop {
        let (method, params) = again.told();
        if method == "presence.changed" {
            assert_eq!((&params["user_id"], &params["online"]), (&json!("bob"), &json!(true)));
            break;
        }
    }
    // A server asks on its own behalf.
    assert_eq!(service.post(APP, "/user/checkOnline.json", &[("userId", "ada")]).ok().json()["status"], "1");
}
