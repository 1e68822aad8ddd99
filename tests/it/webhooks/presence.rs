//! Receivers that were built for the platform are told who comes online and goes.

use super::*;
use crate::client::{Socket, token};
use crate::support::service::signature;
use crate::support::soundness::recorded;

const PRESENCE: &str = "rollcall.presence.changed.v1";

/// Connects with a client that runs on this.
#[track_caller]
fn connect(started: &Started, token: &str, platform: &str) -> Socket {
    Socket::connect_with(&started.service, &json!({"token": token, "platform": platform})).0
}

/// The user, status and session of each notice in the shape of v1, in order.
fn v1_told(receiver: &Receiver) -> Vec<(String, String, String)> {
    let member = |one: &Value, name: &str| one[name].as_str().unwrap_or_default().to_owned();
    let lists: Vec<Value> = receiver.acknowledged().iter().map(Received::json).collect();
    lists
        .iter()
        .flat_map(|list| list.as_array().unwrap_or_else(|| panic!("not a list: {list}")))
        .map(|one| (member(one, "userid"), member(one, "status"), member(one, "sessionId")))
        .collect()
}

#[test]
fn a_client_that_connects_and_goes_is_told_in_each_shape_of_the_platform_and_in_no_other() {
    let started = Started::new();
    let (v1, v4, standard) = (Receiver::start(), Receiver::start(), Receiver::start());
    started.webhook(&v1.url(), &[PRESENCE], "v1");
    let (second, _) = started.webhook(&v4.url(), &["rollcall.presence.*"], "v4");
    started.webhook(&standard.url(), &["*"], "standard");
    let ada = token(&started.service, APP, "ada");
    let joe = token(&started.service, App::OTHER, "joe");
    let elsewhere = connect(&started, &joe, "web");
    let phone = connect(&started, &ada, "ios");
    started.service.eventually("v1 is told of the beginning", |_| v1.acknowledged().len() == 1);
    drop((phone, elsewhere));
    started.service.eventually("both are told", |_| v1.acknowledged().len() == 2 && v4.acknowledged().len() == 2);

    let [begun, ended] = [0, 1].map(|index| v1.acknowledged()[index].json()[0].clone());
    assert_eq!((&begun["userid"], &begun["status"], &begun["os"]), (&json!("ada"), &json!("0"), &json!("iOS")));
    assert_eq!((&ended["userid"], &ended["status"], &ended["os"]), (&json!("ada"), &json!("1"), &json!("iOS")));
    assert_eq!(begun["sessionId"], ended["sessionId"]);
    assert!(begun["time"].as_i64() < ended["time"].as_i64() && begun.get("clientIp").is_none(), "{begun} {ended}");
    for (received, v1) in v4.acknowledged().iter().zip([begun, ended]) {
        let event = received.json();
        assert_eq!(event["type"], "user:connection_status");
        let data = &event["data"][0];
        assert_eq!((&data["userId"], &data["status"]), (&v1["userid"], &v1["status"]));
        assert_eq!((&data["time"], &data["sessionId"]), (&v1["time"], &v1["sessionId"]));
    }
    assert_eq!(recorded(started.service.data(), "access.disclosed"), 2, "each receiver once");

    // What signs it verifies as the platform's does, and opens nothing here.
    for received in [&v1.acknowledged()[0], &v4.acknowledged()[0]] {
        let query: BTreeMap<String, String> =
            form_urlencoded::parse(received.path.split_once('?').unwrap().1.as_bytes()).into_owned().collect();
        let (nonce, timestamp) = (&query["nonce"], &query["timestamp"]);
        assert_eq!(query["signature"], signature(APP.secret, nonce, timestamp));
        assert_eq!(query["signTimestamp"], *timestamp);
        let headers = [("App-Key", APP.key), ("Nonce", nonce), ("Timestamp", timestamp)]
            .into_iter()
            .chain([("Signature", query["signature"].as_str())])
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect::<Vec<_>>();
        assert_eq!(started.service.request("POST", "/user/info.json", &headers, b"userId=ada").status, 401);
    }

    // A webhook that is disabled is told nothing more.
    assert_eq!(started.call("PATCH", &format!("webhooks/{second}"), &json!({"enabled": false})).status, 200);
    drop(connect(&started, &ada, "web"));
    started.service.eventually("v1 is told once more", |_| v1.acknowledged().len() == 4);
    assert_eq!(v4.acknowledged().len(), 2);
    assert!(!standard.received().is_empty());
    assert!(standard.received().iter().all(|one| one.kind() != PRESENCE));
}

#[test]
fn a_ban_is_told_as_a_disconnection_and_a_deactivation_as_a_logout_to_who_was_told_of_the_user_before() {
    let (started, receiver) = (Started::new(), Receiver::start());
    let [ada, bob, eve] = ["ada", "bob", "eve"].map(|user| token(&started.service, APP, user));
    let mut before = connect(&started, &eve, "web");
    started.webhook(&receiver.url(), &[PRESENCE], "v1");
    let mut of_ada = ["web", "ios"].map(|platform| connect(&started, &ada, platform));
    let mut of_bob = connect(&started, &bob, "web");
    started.service.eventually("three have come", |_| v1_told(&receiver).len() == 3);
    // The receiver knows nothing of eve, and need not be told of her erasure.
    started.service.post(APP, "/user/deactivate.json", &[("userId", "eve")]).ok();
    before.closed();
    started.service.post(APP, "/user/block.json", &[("userId", "bob"), ("minute", "5")]).ok();
    of_bob.closed();
    let presence = |receiver: &Receiver| {
        let mut told = BTreeMap::<String, Vec<(String, String)>>::new();
        for received in receiver.acknowledged().iter().filter(|one| one.json().is_array()) {
            let one = &received.json()[0];
            let [user, status, session] =
                ["userid", "status", "sessionId"].map(|name| one[name].as_str().unwrap().to_owned());
            told.entry(user).or_default().push((status, session));
        }
        told
    };
    let count = |user: &str| presence(&receiver).get(user).map_or(0, Vec::len);
    started.service.eventually("the end is told", |_| count("bob") == 2);
    started.service.post(APP, "/user/deactivate.json", &[("userId", "ada")]).ok();
    of_ada.iter_mut().for_each(|socket| drop(socket.closed()));
    started.service.eventually("both ends are told", |_| count("ada") == 4);
    let told = presence(&receiver);
    let statuses = |user: &str| told[user].iter().map(|(status, _)| status.as_str()).collect::<Vec<_>>();
    assert_eq!(statuses("ada"), ["0", "0", "2", "2"]);
    assert_eq!(statuses("bob"), ["0", "1"]);
    assert!(!told.contains_key("eve"), "{told:?}");
    let sessions: BTreeSet<&String> = told["ada"].iter().map(|(_, session)| session).collect();
    assert_eq!(sessions.len(), 2, "one for each device");
    started.service.eventually("it is told of the erasure", |_| {
        receiver
            .acknowledged()
            .iter()
            .any(|one| String::from_utf8_lossy(&one.body).starts_with("userId=ada&operateId="))
    });
}

#[test]
fn a_receiver_that_hangs_or_refuses_is_given_up_and_holds_up_nobody() {
    let started = Started::new();
    let (hangs, refuses) = (Receiver::that(|_| Does::Hang), Receiver::that(|_| Does::Answer(500, "")));
    let takes = Receiver::start();
    for (receiver, format) in [(&hangs, "v1"), (&refuses, "v4"), (&takes, "v1")] {
        started.webhook(&receiver.url(), &[PRESENCE], format);
    }
    let users: Vec<String> = (0..12).map(|number| format!("user{number}")).collect();
    let tokens: Vec<String> = users.iter().map(|user| token(&started.service, APP, user)).collect();
    for token in &tokens {
        drop(connect(&started, token, "web"));
    }
    started.service.eventually("who takes it is told everything", |_| v1_told(&takes).len() == 24);
    // The receiver that hangs has not even been given up once.
    assert!(hangs.acknowledged().is_empty());
    let mut of_user = BTreeMap::<String, Vec<String>>::new();
    v1_told(&takes).into_iter().for_each(|(user, status, _)| of_user.entry(user).or_default().push(status));
    assert!(of_user.values().all(|told| told == &["0", "1"]), "{of_user:?}");
    started.register(&["meanwhile"]);

    let given_up = r#"rollcall_webhook_deliveries_total{outcome="given_up"}"#;
    started.service.eventually("both are given up", |_| counted(&started, given_up) >= 6);
    let mut tries = BTreeMap::<String, usize>::new();
    for received in refuses.received() {
        *tries.entry(received.json()["id"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert_eq!(tries.values().max(), Some(&3), "as often as the platform tries, under the same id: {tries:?}");

    // Once it answers again, what waits and what comes is told.
    refuses.now(|_| Does::Answer(200, ""));
    let last = connect(&started, &tokens[0], "ios");
    started.service.eventually("it is told again", |_| {
        refuses.acknowledged().iter().any(|one| one.json()["data"][0]["os"] == "iOS")
    });
    drop(last);
}
