//! Clients that do not take what they are sent.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketType, connect, socket, sockopt};
use serde_json::{Value, json};

use super::{APP, Closed, Socket, token};
use crate::support::Service;

const TOO_SLOW: (u16, &str) = (4002, "too slow to take what is sent");

/// A connection that can take next to nothing before it is read from.
fn narrow(address: SocketAddr) -> TcpStream {
    let narrow = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    sockopt::set_socket_recv_buffer_size(&narrow, 2_048).unwrap();
    connect(&narrow, &address).unwrap();
    narrow.into()
}

/// A service, and ada, of whose blocklist a page has about 40 kB.
fn started(dir: &tempfile::TempDir) -> (Service, String) {
    let args = ["--client-requests-per-second", "10000"];
    let service = Service::try_start_with(&dir.path().join("data"), &[APP], &args).unwrap();
    let ada = token(&service, APP, "ada");
    for part in 0..25 {
        let ids: Vec<_> = (0..20).map(|n| format!("{:x<60}", format!("p{part}-{n}"))).collect();
        let mut form: Vec<_> = ids.iter().map(|id| ("blackUserId", id.as_str())).collect();
        form.push(("userId", "ada"));
        service.post(APP, "/user/blacklist/add.json", &form).ok();
    }
    (service, ada)
}

/// A client of ada that asks for more than finds room on its way, and reads none of it.
fn clogged(service: &Service, ada: &str) -> Socket {
    let mut slow = Socket::over(service, narrow(service.address)).unwrap();
    let answer = slow.ask("connect", &json!({"token": ada, "platform": "web"}));
    assert!(answer["result"].is_object(), "{answer}");
    for id in 0..400 {
        let request = json!({"jsonrpc": "2.0", "id": id, "method": "blocklist.list", "params": {"limit": 500}});
        slow.send(&request.to_string());
        std::thread::sleep(Duration::from_millis(3));
    }
    slow
}

/// How many connections the node closed with a code.
fn closed_with(service: &Service, code: u16) -> usize {
    let metrics = service.request("GET", "/metrics", &[], b"").text;
    let name = format!("rollcall_client_closes_total{{code=\"{code}\"}} ");
    metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or(0)
}

#[test]
fn a_client_that_takes_nothing_is_closed_as_too_slow_and_holds_up_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let (service, ada) = started(&dir);
    let bob = token(&service, APP, "bob");
    let slow = clogged(&service, &ada);
    let (mut well, _) = Socket::connect(&service, &bob);
    assert!(well.ask("me.get", &json!({}))["result"].is_object());
    service.eventually("the place of the one that takes nothing is given back", |service| {
        let metrics = service.request("GET", "/metrics", &[], b"");
        metrics.text.lines().any(|line| line == "rollcall_client_connections 1")
    });
    assert_eq!(closed_with(&service, TOO_SLOW.0), 1);
    drop(slow);
}

#[test]
fn a_client_whose_queue_of_notifications_is_full_is_told_so_and_others_are_told_everything() {
    /// More than wait for one connection.
    const FOLLOWED: usize = 400;
    let dir = tempfile::tempdir().unwrap();
    let (service, ada) = started(&dir);
    let followed: Vec<_> = (0..FOLLOWED).map(|number| format!("u{number}")).collect();
    std::thread::scope(|scope| {
        for some in followed.chunks(FOLLOWED / 4) {
            let service = &service;
            scope.spawn(move || service.register(APP, &some.iter().map(String::as_str).collect::<Vec<_>>()));
        }
    });
    let (mut well, _) = Socket::connect_with(&service, &json!({"token": ada, "platform": "ios"}));
    let mut slow = clogged(&service, &ada);
    // Of each of them both devices are told whether it is online.
    for some in followed.chunks(200) {
        let answer = well.ask("subscriptions.add", &json!({"user_ids": some, "seconds": 600}));
        assert_eq!(answer["result"], json!({"full": []}));
    }
    let mut told: Vec<Value> = (0..FOLLOWED).map(|_| well.told().1["user_id"].clone()).collect();
    told.sort_unstable_by_key(Value::to_string);
    told.dedup();
    assert_eq!(told.len(), FOLLOWED);
    // It reads at last, and fast enough to hear the end before that is given up.
    sockopt::set_socket_recv_buffer_size(slow.inner.get_ref(), 1 << 20).unwrap();
    assert_eq!(slow.closed(), Closed::of(TOO_SLOW.0, TOO_SLOW.1));
    service.eventually("it is counted", |service| closed_with(service, TOO_SLOW.0) == 1);
    assert!(well.ask("me.get", &json!({}))["result"].is_object());
}
