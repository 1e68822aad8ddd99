//! Sockets: requests, notifications, what was missed.

use serde_json::{Value, json};

use super::{APP, Closed, Socket, call, token};
use crate::support::Service;

#[test]
fn a_client_connects_asks_by_the_methods_of_rest_and_is_told_what_changes() {
    let service = Service::start(&[APP]);
    let (ada, bob) = (token(&service, APP, "ada"), token(&service, APP, "bob"));
    let (mut first, connected) = Socket::connect(&service, &ada);
    assert_eq!((&connected["user_id"], &connected["resumed"]), (&json!("ada"), &json!(false)));
    assert_eq!(connected["heartbeat_seconds"], json!(25.0));
    assert!(connected["position"].is_u64() && connected["connection_id"].is_string());
    let asked = json!({"token": ada, "platform": "ios", "device": "Ada's phone"});
    let (mut second, other) = Socket::connect_with(&service, &asked);
    assert_ne!(connected["connection_id"], other["connection_id"]);

    assert_eq!(first.ask("me.get", &json!({}))["result"]["name"], json!("Name of ada"));
    assert_eq!(first.ask("me.set_friend_permission", &json!({"permission": "anyone"}))["result"], json!({}));
    for socket in [&mut first, &mut second] {
        let (method, params) = socket.told();
        assert_eq!((method.as_str(), &params["fields"]), ("me.updated", &json!(["friend_permission"])));
    }
    let (mut others, _) = Socket::connect(&service, &bob);
    let added = others.ask("friends.add", &json!({"user_id": "ada"}));
    assert_eq!(added["result"]["status"], json!("friends"));
    for (socket, friend) in [(&mut first, "bob"), (&mut second, "bob"), (&mut others, "ada")] {
        let (method, params) = socket.told();
        assert_eq!((method.as_str(), &params["user_id"]), ("friend.added", &json!(friend)));
    }
    let again = others.ask("friends.add", &json!({"user_id": "ada"}));
    assert_eq!(again["error"]["code"], json!(25_460), "{again}");
    assert_eq!(again["error"]["data"]["type"], json!("urn:rollcall:problem:already-friends"));

    first.ask("blocklist.add", &json!({"user_id": "bob"}));
    for socket in [&mut first, &mut second] {
        let (method, params) = socket.told();
        assert_eq!((method.as_str(), &params["added"]), ("blocklist.changed", &json!(["bob"])));
    }
    // Nobody is told by whom it is blocked: the next thing that bob hears of is about bob.
    others.ask("me.update", &json!({"name": "Bob"}));
    assert_eq!(others.told().0, "me.updated");
    assert_eq!(others.ask("nothing", &json!({}))["error"]["code"], json!(-32_601));
    let wrong = others.ask("me.update", &json!({"shoes": 1}));
    assert_eq!(wrong["error"]["code"], json!(-32_602), "{wrong}");
}

#[test]
fn lists_remarks_and_the_end_of_a_friendship_are_told_to_those_whose_they_are() {
    let service = Service::start(&[APP]);
    let (ada, bob) = (token(&service, APP, "ada"), token(&service, APP, "bob"));
    let (mut hers, mut his) = (Socket::connect(&service, &ada).0, Socket::connect(&service, &bob).0);
    service.post(APP, "/friend/add.json", &[("userId", "ada"), ("targetId", "bob"), ("optType", "2")]).ok();
    assert_eq!([hers.told().0, his.told().0], ["friend.added", "friend.added"]);
    hers.ask("friends.update", &json!({"user_id": "bob", "remark": "Robert"}));
    assert_eq!(hers.told().0, "friend.remarked");
    hers.ask("allowlist.add", &json!({"user_id": "bob"}));
    let (method, params) = hers.told();
    assert_eq!((method.as_str(), &params["added"]), ("allowlist.changed", &json!(["bob"])));
    hers.ask("me.set_allowlist", &json!({"enabled": true}));
    let (method, params) = hers.told();
    assert_eq!((method.as_str(), &params["enabled"]), ("allowlist.changed", &json!(true)));
    hers.ask("friends.remove", &json!({"user_id": "bob"}));
    // What he is told next is this: of her remark and her lists he hears nothing.
    for (socket, friend) in [(&mut hers, "bob"), (&mut his, "ada")] {
        let (method, params) = socket.told();
        assert_eq!((method.as_str(), &params["user_id"]), ("friend.removed", &json!(friend)));
    }
}

#[test]
fn a_client_that_comes_back_is_told_all_it_missed_or_to_read_everything_again() {
    let mut service = Service::start(&[APP]);
    let (ada, _) = (token(&service, APP, "ada"), token(&service, APP, "bob"));
    let (socket, connected) = Socket::connect(&service, &ada);
    drop(socket);
    for target in ["x1", "x2", "x3"] {
        service.post(APP, "/user/blacklist/add.json", &[("userId", "ada"), ("blackUserId", target)]).ok();
    }
    let since = |position: &Value| json!({"token": ada, "platform": "web", "since": position});
    // What is told does not depend on what the node remembers.
    service.kill();
    service.restart();
    let (mut socket, again) = Socket::connect_with(&service, &since(&connected["position"]));
    assert_eq!(again["resumed"], json!(true));
    let mut seen = 0;
    for target in ["x1", "x2", "x3"] {
        let (method, params) = socket.told();
        assert_eq!((method.as_str(), &params["added"]), ("blocklist.changed", &json!([target])));
        let position = params["position"].as_u64().unwrap();
        assert!(position > seen && position <= again["position"].as_u64().unwrap());
        seen = position;
    }
    // By REST it is the same.
    let asked = format!("changes?since={}", connected["position"]);
    let changes = call(&service, &ada, "GET", &asked, "").json();
    let methods: Vec<_> = changes["changes"].as_array().unwrap().iter().map(|one| one["method"].clone()).collect();
    assert_eq!((methods, &changes["reload"]), (vec![json!("blocklist.changed"); 3], &json!(false)));
    let (mut nothing_missed, third) = Socket::connect_with(&service, &since(&json!(seen)));
    assert_eq!(third["resumed"], json!(true));
    service.post(APP, "/user/blacklist/add.json", &[("userId", "ada"), ("blackUserId", "x4")]).ok();
    assert_eq!(nothing_missed.told().1["added"], json!(["x4"]));
    assert_eq!(socket.closed(), Closed::of(4506, "31010 signed in elsewhere"), "one of each class");

    let beyond = json!(seen + 1_000_000);
    assert_eq!(Socket::connect_with(&service, &since(&beyond)).1["resumed"], json!(false));
    let reload = call(&service, &ada, "GET", &format!("changes?since={beyond}"), "").json();
    assert_eq!((&reload["reload"], &reload["changes"]), (&json!(true), &json!([])));
}

#[test]
fn more_than_a_page_of_changes_is_never_told_in_part() {
    let service = Service::start(&[APP]);
    let ada = token(&service, APP, "ada");
    let since = call(&service, &ada, "GET", "changes?since=0", "").json()["position"].as_u64().unwrap();
    let tags = |tag: usize| json!({"userId": "ada", "tags": [format!("t{tag}")]});
    std::thread::scope(|scope| {
        for part in 0..8 {
            let service = &service;
            scope.spawn(move || {
                for tag in 0..126 {
                    service.post_json(APP, "/user/tag/set.json", &tags(part * 1_000 + tag)).ok();
                }
            });
        }
    });
    let reload = call(&service, &ada, "GET", &format!("changes?since={since}"), "").json();
    assert_eq!((&reload["reload"], &reload["changes"]), (&json!(true), &json!([])));
}

#[test]
fn a_client_that_gives_no_sign_of_life_is_closed_and_one_that_does_stays() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--client-heartbeat-seconds", "1"];
    let service = Service::try_start_with(&dir.path().join("data"), &[APP], &args).unwrap();
    let (ada, bob) = (token(&service, APP, "ada"), token(&service, APP, "bob"));
    let (silent, _) = Socket::connect(&service, &ada);
    let (mut alive, connected) = Socket::connect(&service, &bob);
    assert_eq!(connected["heartbeat_seconds"], json!(1.0));
    // It reads bytes and makes no pongs of them.
    let silent = std::thread::spawn(move || {
        let mut bytes = vec![];
        std::io::Read::read_to_end(&mut silent.raw(), &mut bytes).unwrap();
        bytes
    });
    // The library answers pings while it reads: until it is told something, it reads.
    let teller = std::thread::spawn(move || {
        let bytes = silent.join().unwrap();
        service.post(APP, "/user/blacklist/add.json", &[("userId", "bob"), ("blackUserId", "x")]).ok();
        (service, bytes)
    });
    assert_eq!(alive.told().0, "blocklist.changed");
    let (_service, bytes) = teller.join().unwrap();
    assert_eq!(Closed::among(&bytes), Some(Closed::of(4003, "no pong in time")));
}

#[test]
fn a_clean_stop_closes_sockets_so_that_their_clients_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--drain-seconds", "1"];
    let mut service = Service::try_start_with(&dir.path().join("data"), &[APP], &args).unwrap();
    let ada = token(&service, APP, "ada");
    let (mut socket, _) = Socket::connect(&service, &ada);
    let mut unnamed = Socket::open(&service);
    service.signal("TERM");
    for socket in [&mut socket, &mut unnamed] {
        assert_eq!(socket.closed(), Closed::of(4001, "the node stops; connect again"));
    }
    let (status, errors) = service.ended();
    assert!(status.success(), "{errors}");
}
