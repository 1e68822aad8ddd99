//! Who may not stay is cut at once, on every node.

use serde_json::json;

use super::{APP, Closed, Socket, a_second_from_now, call, token};
use crate::nodes;
use crate::support::Service;

const BANNED_NOW: (u16, &str) = (4504, "31011 the user was banned");
const DEACTIVATED: (u16, &str) = (4505, "31029 the user is deactivated");

fn ban(service: &Service, user: &str) {
    service.post(APP, "/user/block.json", &[("userId", user), ("minute", "5")]).ok();
}

#[test]
fn a_ban_and_a_deactivation_cut_every_device_of_the_user_and_nobody_elses() {
    let service = Service::start(&[APP]);
    let (ada, bob, eve) = (token(&service, APP, "ada"), token(&service, APP, "bob"), token(&service, APP, "eve"));
    let devices = |token: &str| {
        ["web", "ios", "desktop"]
            .map(|platform| Socket::connect_with(&service, &json!({"token": token, "platform": platform})).0)
    };
    let (of_ada, of_bob) = (devices(&ada), devices(&bob));
    let (mut of_eve, _) = Socket::connect(&service, &eve);
    ban(&service, "ada");
    service.post(APP, "/user/deactivate.json", &[("userId", "bob")]).ok();
    for mut socket in of_ada {
        assert_eq!(socket.closed(), Closed::of(BANNED_NOW.0, BANNED_NOW.1));
    }
    for mut socket in of_bob {
        assert_eq!(socket.closed(), Closed::of(DEACTIVATED.0, DEACTIVATED.1));
    }
    assert!(of_eve.ask("me.get", &json!({}))["result"].is_object());
}

#[test]
fn a_scheduled_ban_cuts_at_its_start_on_every_node() {
    let given = nodes::Given::nothing();
    let (one, other) = (given.node("one", &[APP]), given.node("two", &[APP]));
    let ada = token(&one, APP, "ada");
    // Of two classes: the newer device of one class would take the place of the older one.
    let on = |node, platform: &str| Socket::connect_with(node, &json!({"token": ada, "platform": platform})).0;
    let (mut here, mut there) = (on(&one, "web"), on(&other, "android"));
    let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    let starts_at = in_seconds(2);
    let body = json!({"starts_at": starts_at, "permanent": true}).to_string();
    let scheduled = one.request("PUT", "/api/v1/users/ada/ban", &headers, body.as_bytes());
    assert_eq!(scheduled.status, 200, "{}", scheduled.text);
    for socket in [&mut here, &mut there] {
        assert_eq!(socket.closed(), Closed::of(BANNED_NOW.0, BANNED_NOW.1));
    }
    for node in [&one, &other] {
        assert_eq!(call(node, &ada, "GET", "me", "").json()["code"], json!(31_009));
    }
}

/// A time so many seconds from now.
#[allow(clippy::disallowed_methods)] // Bans begin by the clock of the machine.
fn in_seconds(seconds: i64) -> String {
    (chrono::Utc::now() + chrono::Duration::seconds(seconds)).to_rfc3339()
}

#[test]
fn a_device_of_the_same_class_takes_the_place_of_the_one_before_unless_the_app_allows_several() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--client-connections-per-user", "3"];
    let data = dir.path().join("data");
    let mut service = Service::try_start_with(&data, &[APP], &args).unwrap();
    let ada = token(&service, APP, "ada");
    let on = |service: &Service, platform: &str| {
        Socket::connect_with(service, &json!({"token": ada, "platform": platform})).0
    };
    let (mut phone, mut page) = (on(&service, "android"), on(&service, "web"));
    let mut tablet = on(&service, "ios");
    assert_eq!(phone.closed(), Closed::of(4506, "31010 signed in elsewhere"));
    assert!(page.ask("me.get", &json!({}))["result"].is_object(), "another class stays");
    assert!(tablet.ask("me.get", &json!({}))["result"].is_object());
    service.stop();
    let set = service.command(&["apps", "set", APP.key, "--client-devices", "several"]);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    let service = Service::try_start_with(&data, &[APP], &args).unwrap();
    let mut several = [on(&service, "web"), on(&service, "web"), on(&service, "web")];
    for socket in &mut several {
        assert!(socket.ask("me.get", &json!({}))["result"].is_object());
    }
    let mut fourth = Socket::open(&service);
    let answer = fourth.ask("connect", &json!({"token": ada, "platform": "web"}));
    assert_eq!(answer["error"]["code"], json!(31_024), "{answer}");
    assert_eq!(fourth.closed(), Closed::of(4507, "31024 too many connections of the user"));
}

#[test]
fn tokens_that_are_made_invalid_cut_their_connections_where_the_app_asks_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut service = Service::start_in(&dir.path().join("data"), &[APP]);
    let ada = token(&service, APP, "ada");
    service.stop();
    let set =
        service.command(&["apps", "set", APP.key, "--client-invalidation-cuts", "true", "--client-erasure", "true"]);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    service.restart();
    let (mut socket, _) = Socket::connect(&service, &ada);
    let now = a_second_from_now();
    service.post(APP, "/user/token/expire.json", &[("userId", "ada"), ("time", &now)]).ok();
    assert_eq!(socket.closed(), Closed::of(4501, "31004 the access token is not valid"));
    // One token by itself, and all of the app.
    let bearer = [("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    let server = |method: &str, path: &str| service.request(method, &format!("/api/v1/{path}"), &bearer, b"");
    std::thread::sleep(std::time::Duration::from_secs(1));
    let issued = [(), ()].map(|()| server("POST", "users/ada/tokens").json());
    let on = |index: usize, platform: &str| {
        Socket::connect_with(&service, &json!({"token": issued[index]["token"], "platform": platform})).0
    };
    let (mut one, mut other) = (on(0, "web"), on(1, "ios"));
    let id = issued[0]["token_id"].as_str().unwrap();
    assert_eq!(server("DELETE", &format!("users/ada/tokens/{id}")).status, 204);
    assert_eq!(one.closed(), Closed::of(4501, "31004 the access token is not valid"));
    assert!(other.ask("me.get", &json!({}))["result"].is_object(), "another token stays good");
    assert_eq!(server("POST", "tokens/invalidate").status, 204);
    assert_eq!(other.closed(), Closed::of(4501, "31004 the access token is not valid"));
    // The app lets users erase themselves too: whoever does is gone everywhere.
    let bob = token(&service, APP, "bob");
    let (mut socket, _) = Socket::connect(&service, &bob);
    let erased = call(&service, &bob, "POST", "me/erasure", "");
    assert_eq!(erased.status, 202, "{}", erased.text);
    assert_eq!(socket.closed(), Closed::of(DEACTIVATED.0, DEACTIVATED.1));
    let again = call(&service, &bob, "GET", "me", "");
    assert!([401, 403].contains(&again.status), "{}", again.text);
}

#[test]
fn a_ban_on_one_node_cuts_on_the_other_which_also_refuses_the_next_connect() {
    let given = nodes::Given::nothing();
    let (one, other) = (given.node("one", &[APP]), given.node("two", &[APP]));
    let (ada, bob) = (token(&one, APP, "ada"), token(&one, APP, "bob"));
    let (mut socket, connected) = Socket::connect(&other, &ada);
    let (mut of_bob, _) = Socket::connect(&one, &bob);
    ban(&one, "ada");
    assert_eq!(socket.closed(), Closed::of(BANNED_NOW.0, BANNED_NOW.1));
    for node in [&one, &other] {
        assert_eq!(call(node, &ada, "GET", "me", "").json()["code"], json!(31_009));
    }
    one.post(APP, "/user/unblock.json", &[("userId", "ada")]).ok();
    other.eventually("the ban is lifted on the other node", |node| call(node, &ada, "GET", "me", "").status == 200);
    // What changes through one node is told on the other, and what was missed by any.
    other.post(APP, "/user/blacklist/add.json", &[("userId", "bob"), ("blackUserId", "ada")]).ok();
    assert_eq!(of_bob.told().1["added"], json!(["ada"]));
    one.post(APP, "/user/blacklist/add.json", &[("userId", "ada"), ("blackUserId", "bob")]).ok();
    let back = json!({"token": ada, "platform": "web", "since": connected["position"]});
    let (mut socket, again) = Socket::connect_with(&one, &back);
    assert_eq!(again["resumed"], json!(true));
    assert_eq!(socket.told().1["added"], json!(["bob"]));
}
