//! A stop that was asked for cuts off no request.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::haproxy::{Haproxy, free_address};
use crate::support::wire::{Wire, signed_head};
use crate::support::{App, Reply, Service};

const APP: App = App::PRODUCTION;
/// Longer than a test waits for a process to end.
const FOR_EVER: &str = "600";

fn started(data: &Path, args: &[&str]) -> Service {
    Service::launch_node(data, &[APP], &[], args).unwrap_or_else(|said| panic!("it did not start: {said}"))
}

fn registration(user: &str) -> String {
    let body = format!("userId={user}&name={user}");
    signed_head(APP, "/user/getToken.json", body.len(), "") + &body
}

const READINESS: &str = "GET /health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Sends a request on an open connection.
#[track_caller]
fn ask(wire: &mut Wire, request: &str) -> Option<Reply> {
    assert!(wire.send(request.as_bytes()), "the connection is closed");
    wire.reply()
}

#[track_caller]
fn ends_its_connection(reply: &Reply) {
    assert_eq!(reply.header("connection"), Some("close"), "{reply:?}");
}

/// Calls until it is told to end, on a connection that it keeps as long as it may; answers what went wrong.
fn calls(proxy: SocketAddr, caller: usize, answered: &AtomicUsize, end: &AtomicBool) -> Vec<String> {
    let (mut wire, mut wrong) = (Wire::to(proxy), vec![]);
    for number in 0.. {
        if end.load(Ordering::SeqCst) {
            break;
        }
        let request = match number % 4 {
            0 => "GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
            _ => registration(&format!("u{caller}-{number}")),
        };
        let reply = wire.send(request.as_bytes()).then(|| wire.reply()).flatten();
        match &reply {
            Some(reply) if reply.status == 200 => _ = answered.fetch_add(1, Ordering::SeqCst),
            other => wrong.push(format!("caller {caller}, call {number}: {other:?}")),
        }
        if reply.is_none_or(|reply| reply.header("connection") == Some("close")) {
            wire = Wire::to(proxy);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    wrong
}

/// Stops two nodes behind a proxy in turn, so many times, under the load of so many callers; answers what went wrong. A node
/// drains for ten times as long as the proxy's checks need, because the machine of a test may be busy.
fn rolling_restart(stops: usize, callers: usize) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let addresses = [free_address(), free_address()];
    let start = |node: usize| {
        let (data, listen) = (dir.path().join(format!("node-{node}")), addresses[node].to_string());
        started(&data, &["--listen", &listen, "--drain-seconds", "1.5"])
    };
    let mut nodes = [start(0), start(1)];
    let proxy = Haproxy::start(addresses);
    let (answered, end) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let (proxy, answered, end) = (&proxy, &answered, &end);
        let callers: Vec<_> =
            (0..callers).map(|caller| scope.spawn(move || calls(proxy.address, caller, answered, end))).collect();
        let mut wrong = vec![];
        for stop in 0..stops {
            let before = answered.load(Ordering::SeqCst);
            let node = &mut nodes[stop % 2];
            node.signal("TERM");
            let (status, said) = node.ended();
            if !status.success() {
                wrong.push(format!("stop {stop}: {status}: {said}"));
                break;
            }
            *node = start(stop % 2);
            proxy.until_both_are_up();
            if answered.load(Ordering::SeqCst) == before {
                wrong.push(format!("stop {stop}: nobody was answered meanwhile"));
            }
        }
        end.store(true, Ordering::SeqCst);
        wrong.extend(callers.into_iter().flat_map(|caller| caller.join().unwrap()));
        wrong
    })
}

#[test]
fn twenty_clean_stops_of_nodes_behind_the_shipped_proxy_cut_off_no_request() {
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let pairs: Vec<_> = (0..2).map(|_| scope.spawn(|| rolling_restart(10, 8))).collect();
        pairs.into_iter().flat_map(|pair| pair.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_node_that_drains_is_not_ready_and_answers_until_a_second_signal_ends_it_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = started(&dir.path().join("data"), &["--drain-seconds", FOR_EVER]);
    let mut kept = Wire::open(&node);
    let before = ask(&mut kept, READINESS).unwrap();
    assert_eq!((before.status, before.header("connection")), (200, None), "the control: {before:?}");
    node.signal("TERM");
    node.eventually("it is not ready", |node| node.request("GET", "/health/ready", &[], b"").status == 503);
    let last = ask(&mut kept, READINESS).unwrap();
    assert_eq!((last.status, &*last.text), (503, r#"{"status":"stopping"}"#));
    ends_its_connection(&last);
    kept.ends();
    assert_eq!(node.request("GET", "/health/live", &[], b"").status, 200);
    let answered = ask(&mut Wire::open(&node), &registration("ada")).unwrap().ok();
    ends_its_connection(&answered);
    node.signal("TERM");
    assert_eq!(node.ended().0.code(), Some(128 + 15));
    let again = started(node.data(), &[]);
    again.post(APP, "/user/info.json", &[("userId", "ada")]).ok();
}

#[test]
fn somebody_at_a_terminal_does_not_wait_for_health_checks_nor_for_idle_connections() {
    let dir = tempfile::tempdir().unwrap();
    for idle in [0, 3] {
        let mut node = started(&dir.path().join("data"), &["--drain-seconds", FOR_EVER]);
        let mut kept: Vec<_> = (0..idle).map(|_| Wire::open(&node)).collect();
        kept.iter_mut().for_each(|wire| assert_eq!(ask(wire, READINESS).unwrap().status, 200));
        node.signal("INT");
        let (status, said) = node.ended();
        assert!(status.success(), "{status}: {said}");
        kept.iter_mut().for_each(Wire::ends);
    }
}

/// The process stands still while a request and then the signal arrive: it finds both when it goes on.
#[test]
fn a_request_that_arrived_on_an_idle_connection_before_it_was_closed_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = started(&dir.path().join("data"), &["--drain-seconds", "0"]);
    let mut kept: Vec<_> = (0..50).map(|_| Wire::open(&node)).collect();
    kept.iter_mut().for_each(|wire| assert_eq!(ask(wire, READINESS).unwrap().status, 200));
    node.signal("STOP");
    for (number, wire) in kept.iter_mut().enumerate() {
        assert!(wire.send(registration(&format!("u{number}")).as_bytes()));
    }
    node.signal("TERM");
    node.signal("CONT");
    for (number, wire) in kept.iter_mut().enumerate() {
        wire.reply().unwrap_or_else(|| panic!("connection {number} was closed without an answer")).ok();
        wire.ends();
    }
    assert!(node.ended().0.success());
}

#[test]
fn a_request_whose_body_is_still_on_its_way_when_connections_are_refused_is_answered() {
    let dir = tempfile::tempdir().unwrap();
    let mut node = started(&dir.path().join("data"), &["--drain-seconds", "0"]);
    let (request, expect) = (registration("ada"), "Expect: 100-continue\r\n");
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut plain = Wire::open(&node);
    assert_eq!(ask(&mut plain, READINESS).unwrap().status, 200);
    assert!(plain.send(format!("{head}\r\n\r\n").as_bytes()));
    let mut held_back = Wire::open(&node);
    assert!(held_back.send(format!("{head}\r\n{expect}\r\n").as_bytes()));
    held_back.arrives("HTTP/1.1 100 Continue\r\n\r\n");
    node.signal("TERM");
    node.eventually("it refuses connections", |node| TcpStream::connect(node.address).is_err());
    for wire in [&mut plain, &mut held_back] {
        let reply = ask(wire, body).expect("an answer").ok();
        ends_its_connection(&reply);
        wire.ends();
    }
    assert!(node.ended().0.success());
}

#[test]
fn a_drain_that_is_no_time_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for bad in ["-1", "NaN", "601", "1e300"] {
        let drain = format!("--drain-seconds={bad}");
        let refused = Service::launch_node(&dir.path().join("data"), &[APP], &[], &[&drain]);
        let said = refused.err().unwrap_or_else(|| panic!("{bad} is taken"));
        assert!(said.contains("--drain-seconds must be from 0 to 600"), "{bad}: {said}");
    }
}

/// A node of which nothing but its health is real: it answers every request, or closes the connection on each. Answers where
/// it is, and how many requests came.
fn double(answers: bool) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, came) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
    let counted = came.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let counted = counted.clone();
            std::thread::spawn(move || {
                let (mut head, mut byte) = (vec![], [0]);
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                    head.push(byte[0]);
                }
                let is_check = head.starts_with(b"GET /health/ready");
                if !is_check {
                    counted.fetch_add(1, Ordering::SeqCst);
                }
                if answers || is_check {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
                }
            });
        }
    });
    (address, came)
}

#[test]
fn the_shipped_proxy_repeats_what_got_no_answer_only_where_that_does_no_harm() {
    const CALLS: usize = 4;
    let ((mute, at_mute), (well, at_well)) = (double(false), double(true));
    let proxy = Haproxy::start([mute, well]);
    let key = "Idempotency-Key: 1\r\n";
    for (line, more, is_repeated) in [
        ("GET /api/v1/users", "", true),
        ("GET /health/live", "", true),
        ("POST /api/v1/erasures", key, true),
        ("POST /api/v1/erasures", "", false),
        ("POST /user/block.json", "", false),
        ("POST /user/block.json", key, false),
    ] {
        let came = || (at_mute.load(Ordering::SeqCst), at_well.load(Ordering::SeqCst));
        let before = came();
        let request = format!("{line} HTTP/1.1\r\nHost: localhost\r\n{more}Content-Length: 0\r\n\r\n");
        let answered = (0..CALLS)
            .filter(|_| ask(&mut Wire::to(proxy.address), &request).is_some_and(|reply| reply.status == 200))
            .count();
        let (failed, done) = (came().0 - before.0, came().1 - before.1);
        assert!(failed > 0, "the control: {line} came to the node that does not answer");
        assert_eq!(answered, done, "{line} {more}");
        assert_eq!(done, if is_repeated { CALLS } else { CALLS - failed }, "{line} {more}");
    }
}
