//! What lives and gets nowhere: a leader, the Vault of the root.

use serde_json::json;

use super::{APP, Given, Root, name_of, rest, token};
use crate::support::Service;
use crate::support::relay::Relay;

/// Its other connections work: it can renew its lease, record commands and answer queries.
#[test]
fn a_leader_whose_batch_gets_no_answer_loses_the_lease_and_another_node_goes_on() {
    let given = Given::nothing();
    let relay = Relay::start(given.cluster.path(".s.PGSQL.5432"), "UPDATE store_checkpoint AS c");
    let mut settings = given.settings();
    settings[1] = relay.address(&given.names[0]);
    let (environment, settings) = (given.environment(), settings);
    let environment: Vec<_> = environment.iter().map(String::as_str).collect();
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let stalled = Service::launch_node(&given.dir.path().join("one"), &[APP], &environment, &settings).unwrap();
    token(&stalled, APP, "before").ok();
    assert_eq!(name_of(&stalled, "before"), "before");
    let holder = || given.cluster.sql(&given.names[0], "select holder from rollcall_read.store_lease");
    let leader = holder();
    let other = given.node("two", &[APP]);
    assert_eq!(name_of(&other, "before"), "before");
    assert_eq!(holder(), leader, "the first node leads");

    relay.fall_silent();
    token(&stalled, APP, "meanwhile").ok();
    let info = || other.post(APP, "/user/info.json", &[("userId", "meanwhile")]);
    other.eventually("the other node shows what the stalled one recorded", |_| info().status == 200);
    assert_ne!(holder(), leader);
    // Once it has given up the batch, the first one follows the other, and leads again where it must.
    let shows = |user: &str| stalled.post(APP, "/user/info.json", &[("userId", user)]).status == 200;
    stalled.eventually("the stalled node shows what the other one applied", |_| shows("meanwhile"));
    relay.speak();
    drop(other);
    token(&stalled, APP, "after").ok();
    stalled.eventually("it leads again", |_| shows("after"));
    assert_eq!(holder(), leader);
}

#[test]
fn a_vault_that_says_nothing_holds_up_erasures_and_nothing_else() {
    let given = Given::nothing();
    let Root::Double(transit) = &given.root else { panic!("a double was started") };
    let node = given.node("one", &[APP]);
    node.register(APP, &["ada", "bob"]);
    transit.fall_silent("");
    let forget = json!({"user_id": "ada", "scope": "forget"}).to_string();
    let accepted = rest(&node, "POST", "/api/v1/erasures", None, &forget);
    assert_eq!(accepted.status, 202, "{}", accepted.text);
    node.eventually("the erasure waits for Vault", |_| transit.unanswered() > 0);
    std::thread::scope(|scope| {
        for caller in 0..8 {
            let node = &node;
            // More, in all, than keys were made ahead for.
            scope.spawn(move || {
                for number in 0..150 {
                    token(node, APP, &format!("u{caller}-{number}")).ok();
                    assert_eq!(node.request("GET", "/health/ready", &[], b"").status, 200);
                }
            });
        }
    });
    assert_eq!(name_of(&node, "bob"), "Name of bob");
    transit.speak();
    let path = accepted.header("location").unwrap().to_owned();
    node.eventually("the erasure is done", |node| rest(node, "GET", &path, None, "").json()["status"] == "finalised");
}
