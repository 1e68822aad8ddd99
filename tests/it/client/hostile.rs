//! Clients that send what nobody should, or too much of it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{APP, Closed, DEADLINE, Socket, call, token};
use crate::support::{App, Service};

#[test]
fn frames_that_are_binary_too_large_too_deep_or_broken_close_their_own_socket_only() {
    let service = Service::start(&[APP]);
    let (ada, bob) = (token(&service, APP, "ada"), token(&service, APP, "bob"));
    let (mut well, _) = Socket::connect(&service, &bob);
    let open = || Socket::connect(&service, &ada).0;

    let mut socket = open();
    socket.inner.send(Message::binary(vec![1, 2, 3])).unwrap();
    assert_eq!(socket.closed().code, 4510);

    let mut socket = open();
    socket.send(&"x".repeat(32 * 1024 + 1));
    assert_eq!(socket.closed().code, 4511);

    let mut socket = open();
    socket.send(&"[".repeat(30_000));
    assert_eq!(socket.frame().unwrap()["error"]["code"], json!(-32_700), "too deep, and it goes on");
    socket.send("[]");
    assert_eq!(socket.frame().unwrap()["error"]["code"], json!(-32_600));
    assert!(socket.ask("me.get", &json!({}))["result"].is_object());

    // A frame of a reserved kind; then one that is never finished.
    let mut raw = open().raw();
    raw.write_all(&[0x83, 0x80, 0, 0, 0, 0]).unwrap();
    assert_eq!(Socket::from_raw(raw).closed().code, 4510);
    let mut raw = open().raw();
    raw.write_all(&[0x81, 0xfe, 0x10]).unwrap();
    drop(raw);
    assert!(well.ask("me.get", &json!({}))["result"].is_object());
}

#[test]
fn who_asks_too_often_is_refused_and_who_goes_on_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--client-requests-per-second", "5"];
    let service = Service::try_start_with(&dir.path().join("data"), &[APP], &args).unwrap();
    let ada = token(&service, APP, "ada");
    let (mut socket, _) = Socket::connect(&service, &ada);
    let refused = (0..30).map(|_| socket.ask("me.get", &json!({}))).filter(|answer| answer["error"]["code"] == 20_607);
    assert!(refused.count() >= 5);
    for _ in 0..200 {
        socket.send(r#"{"jsonrpc":"2.0","id":1,"method":"me.get"}"#);
    }
    assert_eq!(socket.closed().code, 4512);
}

#[test]
fn the_places_for_sockets_are_bounded_by_node_and_by_address_and_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--client-connections", "4", "--client-connections-per-address", "2", "--trusted-proxy", "10.0.0.0/8"];
    let service = Service::try_start_with(&dir.path().join("data"), &[APP], &args).unwrap();
    let ada = token(&service, APP, "ada");
    let held = [Socket::open(&service), Socket::open(&service)];
    assert_eq!(Socket::try_open(&service).err(), Some(503), "two from an address");
    assert_eq!(call(&service, &ada, "GET", "me", "").status, 200, "requests have places of their own");
    drop(held);
    service.eventually("a place is free again", |service| Socket::try_open(service).is_ok());
}

#[test]
fn an_app_has_as_many_connections_as_it_may_and_keeps_no_other_app_out() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--client-connections-per-app", "2"];
    let service = Service::try_start_with(&dir.path().join("data"), &[APP, App::OTHER], &args).unwrap();
    let [ada, bob, eve] = ["ada", "bob", "eve"].map(|user| token(&service, APP, user));
    let joe = token(&service, App::OTHER, "joe");
    let (first, _second) = (Socket::connect(&service, &ada), Socket::connect(&service, &bob));
    let mut third = Socket::open(&service);
    let answer = third.ask("connect", &json!({"token": eve, "platform": "web"}));
    assert!(answer["error"].is_object(), "{answer}");
    assert_eq!(third.closed().code, 4005, "it comes back");
    Socket::connect(&service, &joe);
    drop(first);
    service.eventually("a place is free again", |service| {
        let mut again = Socket::open(service);
        again.ask("connect", &json!({"token": eve, "platform": "web"}))["result"].is_object()
    });
}

/// A masked frame as clients send it: its first byte, its length as it says, and its bytes.
fn frame(first: u8, said: usize, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match u16::try_from(said) {
        Ok(said) if said < 126 => frame.push(0x80 | u8::try_from(said).unwrap()),
        Ok(said) => frame.extend([&[0x80 | 126][..], &said.to_be_bytes()].concat()),
        Err(_) => frame.extend([&[0x80 | 127][..], &(said as u64).to_be_bytes()].concat()),
    }
    frame.extend([0; 4]);
    frame.extend(body);
    frame
}

/// What a client may send that is no request: frames of every kind, cut short, of a length that is not theirs, in parts that
/// belong to nothing, and bytes that are no frame.
fn nonsense() -> impl Strategy<Value = Vec<u8>> {
    let body = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..300),
        "[\\[{\"a-z:0-9,]{0,200}".prop_map(String::into_bytes),
        Just(br#"{"jsonrpc":"2.0","id":1,"method":"me.get","params":{"x":1}}"#.to_vec()),
        Just(vec![b'['; 40_000]),
    ];
    let framed = (any::<u8>(), body, 0_usize..70_000, any::<bool>()).prop_map(|(first, body, said, honest)| {
        let said = if honest { body.len() } else { said };
        frame(first, said, &body)
    });
    let bytes = proptest::collection::vec(any::<u8>(), 0..200);
    proptest::collection::vec(prop_oneof![4 => framed, 1 => bytes], 1..6).prop_map(|parts| parts.concat())
}

#[test]
fn whatever_bytes_a_client_sends_only_its_own_connection_ends() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--client-requests-per-second", "10000"];
    let service = Service::try_start_with(&dir.path().join("data"), &[APP], &args).unwrap();
    let (ada, bob) = (token(&service, APP, "ada"), token(&service, APP, "bob"));
    let (mut well, _) = Socket::connect(&service, &bob);
    let mut runner = TestRunner::new(Config { cases: 96, failure_persistence: None, ..Config::default() });
    let seen = std::cell::RefCell::new(&mut well);
    runner
        .run(&(nonsense(), any::<bool>()), |(bytes, connected)| {
            let socket = if connected { Socket::connect(&service, &ada).0 } else { Socket::open(&service) };
            let mut raw = socket.raw();
            // Who was closed meanwhile takes no more of it.
            let _ = raw.write_all(&bytes);
            drop(raw);
            assert!(seen.borrow_mut().ask("me.get", &json!({}))["result"].is_object());
            Ok(())
        })
        .unwrap();
    service.eventually("of all of them nothing is left", |service| {
        let metrics = service.request("GET", "/metrics", &[], b"");
        metrics.text.lines().any(|line| line == "rollcall_client_connections 1")
    });
}

#[test]
fn a_frame_that_is_begun_and_never_finished_is_no_sign_of_life() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--client-heartbeat-seconds", "1"];
    let service = Service::try_start_with(&dir.path().join("data"), &[APP], &args).unwrap();
    let ada = token(&service, APP, "ada");
    let mut raw = Socket::connect(&service, &ada).0.raw();
    raw.write_all(&frame(0x81, 100, b"{")).unwrap();
    let mut bytes = vec![];
    // It may be cut before what it was told has been read.
    let _ = raw.read_to_end(&mut bytes);
    assert_eq!(Closed::among(&bytes), Some(Closed::of(4003, "no pong in time")));
}

#[test]
fn a_frame_that_says_it_is_huge_is_refused_long_before_all_of_it_has_come() {
    let service = Service::start(&[APP]);
    let ada = token(&service, APP, "ada");
    for socket in [Socket::open(&service), Socket::connect(&service, &ada).0] {
        let mut raw = socket.raw();
        // It says that a terabyte follows.
        raw.write_all(&[&[0x81, 0xff, 0, 0, 1], &[0; 5][..], &[0; 4]].concat()).unwrap();
        raw.write_all(&[b'x'; 64 * 1024]).unwrap();
        let mut told = [0; 256];
        let read = raw.read(&mut told).unwrap();
        assert_eq!(Closed::among(&told[..read]).unwrap().code, 4511);
    }
}

#[test]
fn frames_that_are_sent_together_with_the_request_of_their_socket_are_taken() {
    let service = Service::start(&[APP]);
    let ada = token(&service, APP, "ada");
    let request = "GET /client/v1/connect HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    let text = |id: u8, method: &str, params: Value| {
        let text = json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params}).to_string();
        frame(0x81, text.len(), text.as_bytes())
    };
    let connect = text(1, "connect", json!({"token": ada, "platform": "web"}));
    let mut raw = TcpStream::connect(service.address).unwrap();
    raw.set_read_timeout(Some(DEADLINE)).unwrap();
    raw.write_all(&[request.as_bytes(), &connect, &text(2, "me.get", json!({}))].concat()).unwrap();
    let (mut head, mut byte) = (vec![], [0]);
    while !head.ends_with(b"\r\n\r\n") {
        raw.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    let mut socket = Socket::from_raw(raw);
    let mut next = || socket.frame().unwrap();
    assert_eq!(next()["result"]["user_id"], json!("ada"));
    assert_eq!(next()["result"]["name"], json!("Name of ada"));
}
