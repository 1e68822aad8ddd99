//! Clients that send what nobody should, too much of it, or take nothing.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::{APP, Socket, call, token};
use crate::support::Service;

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

/// A connection that can take next to nothing before it is read from.
fn narrow(address: SocketAddr) -> TcpStream {
    let narrow = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_recv_buffer_size(&narrow, 2_048).unwrap();
    connect(&narrow, &address).unwrap();
    narrow.into()
}

#[test]
fn a_client_that_takes_nothing_is_closed_and_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--client-requests-per-second", "10000"];
    let service = Service::try_start_with(&dir.path().join("data"), &[APP], &args).unwrap();
    let (ada, bob) = (token(&service, APP, "ada"), token(&service, APP, "bob"));
    // A page of the list has about 40 kB.
    for part in 0..25 {
        let ids: Vec<_> = (0..20).map(|n| format!("{:x<60}", format!("p{part}-{n}"))).collect();
        let mut form: Vec<_> = ids.iter().map(|id| ("blackUserId", id.as_str())).collect();
        form.push(("userId", "ada"));
        service.post(APP, "/user/blacklist/add.json", &form).ok();
    }
    let mut slow = Socket::over(&service, narrow(service.address)).unwrap();
    let answer = slow.ask("connect", &json!({"token": ada, "platform": "web"}));
    assert!(answer["result"].is_object(), "{answer}");
    let (mut well, _) = Socket::connect(&service, &bob);
    for id in 0..400 {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": "blocklist.list", "params": {"limit": 500}});
        slow.send(&request.to_string());
        std::thread::sleep(std::time::Duration::from_millis(3));
    }
    assert!(well.ask("me.get", &json!({}))["result"].is_object());
    service.eventually("the place of the one that takes nothing is given back", |service| {
        let metrics = service.request("GET", "/metrics", &[], b"");
        metrics.text.lines().any(|line| line == "rollcall_client_connections 1")
    });
    // What had been sent comes first; then it is told why, or finds the connection cut.
    let (mut raw, mut bytes) = (slow.raw(), vec![]);
    let end = raw.read_to_end(&mut bytes);
    let reason = b"too slow to take what is sent";
    let told = bytes.windows(reason.len()).any(|window| window == reason);
    assert!(told || end.is_err(), "{} bytes", bytes.len());
}
