//! Who is not let in, and with which number it is told so.

use serde_json::{Value, json};

use super::{APP, Closed, Socket, a_second_from_now, call, refused, token};
use crate::support::{App, Cluster, Service};

/// What a refused connect is answered, and how it is closed.
#[track_caller]
fn connect_refused(service: &Service, params: &Value) -> (Value, Closed) {
    let mut socket = Socket::open(service);
    let answer = socket.ask("connect", params);
    (answer["error"]["code"].clone(), socket.closed())
}

#[track_caller]
fn refused_everywhere(service: &Service, token: &str, status: u16, number: u64) {
    refused(&call(service, token, "GET", "me", ""), status, number);
    let (code, closed) = connect_refused(service, &json!({"token": token, "platform": "ios"}));
    assert_eq!(code, json!(number));
    assert_eq!(closed.number(), number.to_string());
    assert!((4500..5000).contains(&closed.code), "{closed:?}");
}

#[test]
fn what_is_no_token_or_of_another_app_is_refused_with_31004() {
    let service = Service::start(&[APP, App::OTHER]);
    let good = token(&service, APP, "ada");
    call(&service, &good, "GET", "me", "").header("content-type").unwrap();
    let (payload, _) = good.split_once('.').unwrap();
    let changed = format!("{}{}", if good.starts_with('A') { "B" } else { "A" }, &good[1..]);
    for bad in ["nonsense", &format!("{payload}.{}", App::OTHER.key), &format!("{payload}.nobody"), &changed, ""] {
        refused_everywhere(&service, bad, 401, 31_004);
    }
    let none = service.request("GET", "/client/v1/me", &[], b"");
    refused(&none, 401, 31_004);
    refused(&service.request("GET", "/client/v1/nothing", &[], b""), 401, 31_004);
    let unknown = call(&service, &good, "GET", "nothing", "");
    assert_eq!(unknown.status, 404, "only who may come in is told what there is: {}", unknown.text);
    // What lets a back end in lets no user in.
    refused_everywhere(&service, &format!("{}:{}", APP.key, APP.secret), 401, 31_004);
}

#[test]
fn a_banned_user_is_refused_with_31009_until_the_ban_is_lifted_and_a_deactivated_one_with_31029() {
    let service = Service::start(&[APP]);
    let (ada, bob) = (token(&service, APP, "ada"), token(&service, APP, "bob"));
    for _ in 0..2 {
        service.post(APP, "/user/block.json", &[("userId", "ada"), ("minute", "5")]).ok();
        refused_everywhere(&service, &ada, 403, 31_009);
        let (_, closed) = connect_refused(&service, &json!({"token": ada, "platform": "web"}));
        assert_eq!(closed, Closed::of(4503, "31009 the user is banned"));
        service.post(APP, "/user/unblock.json", &[("userId", "ada")]).ok();
        assert_eq!(call(&service, &ada, "GET", "me", "").status, 200);
    }
    service.post(APP, "/user/deactivate.json", &[("userId", "bob")]).ok();
    refused_everywhere(&service, &bob, 403, 31_029);
}

#[test]
fn a_token_that_was_made_invalid_or_is_of_an_earlier_life_is_refused_and_a_new_one_is_good() {
    let service = Service::start(&[APP]);
    let old = token(&service, APP, "ada");
    let (_, open) = (&old, Socket::connect(&service, &old));
    let now = a_second_from_now();
    service.post(APP, "/user/token/expire.json", &[("userId", "ada"), ("time", &now)]).ok();
    refused_everywhere(&service, &old, 401, 31_004);
    let (mut socket, _) = open;
    assert!(socket.ask("me.get", &json!({}))["result"].is_object(), "who is connected stays so");
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let new = token(&service, APP, "ada");
    assert_eq!(call(&service, &new, "GET", "me", "").status, 200);
}

#[test]
fn a_token_expires_as_its_app_says_and_its_connection_is_told_before_it_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let mut service = Service::start_in(&data, &[APP]);
    token(&service, APP, "ada");
    service.stop();
    let set = service.command(&["apps", "set", APP.key, "--token-lifetime-seconds", "3"]);
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    service.restart();
    let short = token(&service, APP, "ada");
    let (mut socket, _) = Socket::connect(&service, &short);
    let (method, params) = socket.told();
    assert_eq!((method.as_str(), params["expires_at"].is_string()), ("token.expiring", true));
    assert_eq!(socket.closed(), Closed::of(4502, "31020 the access token has expired"));
    refused_everywhere(&service, &short, 401, 31_020);
}

#[test]
fn a_first_frame_that_is_no_connect_or_never_comes_ends_the_socket() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--client-connect-seconds", "1"];
    let service = Service::try_start_with(&dir.path().join("data"), &[APP], &args).unwrap();
    let good = token(&service, APP, "ada");
    assert_eq!(Socket::open(&service).closed(), Closed::of(4509, "31000 no connect in time"));
    for (method, params) in [
        ("me.get", json!({})),
        ("connect", json!({"token": good})),
        ("connect", json!({"token": good, "platform": "toaster"})),
        ("connect", json!({"token": good, "platform": "web", "device": "x".repeat(65)})),
        ("connect", json!({"token": good, "platform": "web", "surprise": 1})),
    ] {
        let mut socket = Socket::open(&service);
        let answer = socket.ask(method, &params);
        assert!(answer["error"]["code"].is_number(), "{params}: {answer}");
        assert_eq!(socket.closed().code, 4508, "{params}");
    }
    let mut socket = Socket::open(&service);
    socket.send("{");
    assert_eq!(socket.frame().unwrap()["error"]["code"], json!(-32_700));
    assert_eq!(socket.closed().code, 4508);
    let plain = call(&service, &good, "GET", "connect", "");
    assert_eq!((plain.status, plain.header("upgrade")), (426, Some("websocket")));
}

#[test]
fn while_the_database_hangs_a_client_is_told_that_its_token_cannot_be_checked_and_comes_back() {
    let cluster = Cluster::start();
    let (name, dir) = (cluster.database(), tempfile::tempdir().unwrap());
    let settings = ["--database", &cluster.address(&name), "--request-timeout-seconds", "2"];
    let service = Service::launch_node(&dir.path().join("data"), &[APP], &[], &settings).unwrap();
    let asked = json!({"token": token(&service, APP, "ada"), "platform": "web"});
    cluster.freeze();
    let mut socket = Socket::open(&service);
    let answer = socket.ask("connect", &asked);
    assert_eq!(answer["error"]["data"]["status"], json!(503), "{answer}");
    assert_eq!(socket.closed(), Closed::of(4006, "the service cannot answer at the moment"));
    cluster.thaw();
    service.eventually("it is let in", |service| Socket::open(service).ask("connect", &asked)["result"].is_object());
}

#[test]
fn the_tokens_of_a_secret_that_was_retired_are_refused_and_their_connections_stay() {
    let dir = tempfile::tempdir().unwrap();
    let mut service = Service::start_in(&dir.path().join("data"), &[APP]);
    let old = token(&service, APP, "ada");
    service.stop();
    let output = service.command(&["apps", "add-key", APP.key, "--scope", "operator"]);
    let key = String::from_utf8(output.stdout).unwrap();
    service.restart();
    let (mut socket, _) = Socket::connect(&service, &old);
    let operator = [("Authorization".to_owned(), format!("Bearer {}", key.trim()))];
    let secrets = format!("/api/v1/apps/{}/secrets", APP.key);
    assert_eq!(service.request("POST", &secrets, &operator, b"").status, 201);
    assert_eq!(service.request("DELETE", &format!("{secrets}/1"), &operator, b"").status, 204);
    refused_everywhere(&service, &old, 401, 31_004);
    assert!(socket.ask("me.get", &json!({}))["result"].is_object());
}
