//! Connections of one user to several nodes, and nodes that end without a word.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use serde_json::json;

use super::presence::{devices, shows};
use super::{APP, Closed, Socket, token};
use crate::nodes;
use crate::support::Service;

fn elsewhere() -> Closed {
    Closed::of(4506, "31010 signed in elsewhere")
}

fn on(node: &Service, token: &str, platform: &str) -> Socket {
    Socket::connect_with(node, &json!({"token": token, "platform": platform})).0
}

#[test]
fn of_two_devices_of_a_class_the_newer_one_stays_whichever_nodes_they_are_connected_to() {
    let given = nodes::Given::nothing();
    let (one, two) = (given.node("one", &[APP]), given.node("two", &[APP]));
    let ada = token(&one, APP, "ada");
    for (older, newer) in [(&one, &two), (&two, &one)] {
        let (mut page, mut phone) = (on(older, &ada, "web"), on(older, &ada, "ios"));
        let mut other_page = on(newer, &ada, "mini_program");
        assert_eq!(page.closed(), elsewhere());
        assert!(phone.ask("me.get", &json!({}))["result"].is_object(), "another class stays");
        assert!(other_page.ask("me.get", &json!({}))["result"].is_object());
    }
    // At the same moment: exactly one stays, and both nodes agree which.
    for round in 0..4 {
        let barrier = Barrier::new(2);
        let mut open = std::thread::scope(|scope| {
            let connects = [&one, &two].map(|node| {
                let (barrier, ada) = (&barrier, &ada);
                scope.spawn(move || {
                    let mut socket = Socket::open(node);
                    barrier.wait();
                    let answer = socket.ask("connect", &json!({"token": ada, "platform": "desktop"}));
                    assert!(answer["result"].is_object(), "{answer}");
                    socket
                })
            });
            connects.map(|connect| connect.join().unwrap()).into_iter().collect::<Vec<_>>()
        });
        one.eventually("the older one is closed", |_| {
            // Fewer requests than a socket may carry in a second.
            std::thread::sleep(Duration::from_millis(80));
            open.retain_mut(is_open);
            open.len() == 1
        });
        for node in [&one, &two] {
            node.eventually("one desktop is left", |node| devices(node, "ada") == ["desktop"]);
        }
        assert!(is_open(&mut open[0]), "round {round}");
    }
}

/// Whether a socket is open; another device of its class may have taken its place.
fn is_open(socket: &mut Socket) -> bool {
    socket.send(&json!({"jsonrpc": "2.0", "id": 1, "method": "me.get"}).to_string());
    match socket.frame() {
        Ok(answer) => {
            assert!(answer["result"].is_object(), "{answer}");
            true
        }
        Err(closed) => {
            assert_eq!(closed, elsewhere());
            false
        }
    }
}

/// What the operator is promised: after so long nobody of a node that ended shows online.
const OFFLINE_WITHIN: Duration = Duration::from_secs(15);

#[test]
fn with_the_default_lease_nobody_of_a_killed_or_frozen_node_is_online_fifteen_seconds_later() {
    let given = nodes::Given::nothing();
    let (mut killed, frozen) = (given.node("one", &[APP]), given.node("two", &[APP]));
    let left = given.node("three", &[APP]);
    let (ada, bob, eve) = (token(&left, APP, "ada"), token(&left, APP, "bob"), token(&left, APP, "eve"));
    // Who reads answers the pings of its node.
    let reads = |mut socket: Socket| std::thread::spawn(move || socket.closed());
    let (_hers, his) = (on(&killed, &ada, "web"), reads(on(&frozen, &bob, "web")));
    let _stays = reads(on(&left, &eve, "web"));
    for user in ["ada", "bob", "eve"] {
        shows(&left, user, "1");
    }
    frozen.signal("STOP");
    let frozen_at = Instant::now();
    killed.kill();
    let killed_at = Instant::now();
    for (user, since, what) in [("bob", frozen_at, "frozen"), ("ada", killed_at, "killed")] {
        shows(&left, user, "0");
        let took = since.elapsed();
        println!("offline {:.1} s after its node was {what}", took.as_secs_f64());
        assert!(took <= OFFLINE_WITHIN, "{user}: {took:?}");
    }
    shows(&left, "eve", "1");
    // What it missed it could not enforce: its clients come back, here or elsewhere.
    frozen.signal("CONT");
    assert_eq!(his.join().unwrap(), Closed::of(4004, "the node is cut off; connect again"));
    frozen.eventually("the node lets clients in again", |node| {
        let mut socket = Socket::open(node);
        socket.ask("connect", &json!({"token": bob, "platform": "web"}))["result"].is_object()
    });
}
