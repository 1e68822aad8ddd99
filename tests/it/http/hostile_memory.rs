//! Callers that want the service to hold memory or connections for them.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::form;
use super::hostile::unharmed;
use crate::support::wire::{Wire, signed_head};
use crate::support::{App, Service};

const APP: App = App::DEVELOPMENT;
const PATH: &str = "/user/checkOnline.json";
const BODY: &str = "userId=ada";
/// The longest body that is read.
const BODY_MAX: usize = 256 * 1024;

/// Resident memory of the service, in KiB.
fn resident(service: &Service) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn bodies_of_strangers_are_not_kept_in_memory() {
    let service = Service::start(&[APP]);
    form(&service, APP, PATH, BODY).ok();
    let before = resident(&service);
    let body = vec![b'a'; BODY_MAX - 1_024];
    let to_nowhere = signed_head(APP, "/nothing.json", BODY_MAX, "");
    let unsigned = signed_head(APP, PATH, BODY_MAX, "").replace("Signature: ", "Signature: 0");
    let no_key = format!("POST /api/v1/erasures HTTP/1.1\r\nHost: x\r\nContent-Length: {BODY_MAX}\r\n\r\n");
    let mut wires = vec![];
    for (head, status) in [(&to_nowhere, 404), (&unsigned, 401), (&no_key, 401)].repeat(130) {
        let mut wire = Wire::open(&service);
        wire.send(head.as_bytes());
        wire.send(&body);
        wires.push((wire, status));
    }
    let grown = resident(&service).saturating_sub(before);
    assert!(grown < 64 * 1024, "{grown} KiB are held for strangers");
    for (wire, status) in &mut wires {
        assert_eq!(wire.reply().map(|reply| reply.status), Some(*status));
    }
    unharmed(&service);
}

#[test]
fn who_is_refused_before_a_small_body_was_read_keeps_the_connection() {
    let service = Service::start(&[APP]);
    let mut wire = Wire::open(&service);
    let body = "x".repeat(30_000);
    let good = signed_head(APP, PATH, BODY.len(), "") + BODY;
    for (head, status) in [
        (signed_head(APP, "/nothing.json", body.len(), ""), 404),
        (signed_head(APP, PATH, body.len(), "").replace("POST", "PUT"), 405),
        (signed_head(APP, PATH, body.len(), "").replace("Signature: ", "Signature: 0"), 401),
        (format!("POST /api/v1/erasures HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len()), 401),
        (format!("GET /health/live HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len()), 200),
    ] {
        wire.send(head.as_bytes());
        wire.send(body.as_bytes());
        assert_eq!(wire.reply().map(|reply| reply.status), Some(status), "{head}");
        wire.send(good.as_bytes());
        wire.reply().unwrap_or_else(|| panic!("the connection ended after {head}")).ok();
    }
    // Its body is not waited for: it is too long for that.
    let mut wire = Wire::open(&service);
    wire.send(signed_head(APP, "/nothing.json", 200_000, "").as_bytes());
    let reply = wire.reply().unwrap().refused(404, 404);
    assert_eq!(reply.header("connection"), Some("close"));
    wire.ends();
    unharmed(&service);
}

#[test]
fn who_is_refused_and_stalls_in_a_body_is_told_and_cut_off() {
    let service = Service::start(&[APP]);
    for framing in ["Content-Length: 100\r\n\r\nuse", "Transfer-Encoding: chunked\r\n\r\n5\r\nuse"] {
        let mut wire = Wire::open(&service);
        wire.send(format!("POST /nothing.json HTTP/1.1\r\nHost: x\r\n{framing}").as_bytes());
        wire.reply().unwrap().refused(404, 404);
        wire.ends();
    }
    unharmed(&service);
}

#[test]
fn an_app_whose_bodies_take_its_share_of_the_memory_is_told_to_come_back_and_others_are_not() {
    // What an app may hold, in bodies of the longest kind.
    const SHARE: usize = 64;
    let service = Service::start(&[APP, App::OTHER]);
    let mut wires: Vec<_> = (0..SHARE + 16).map(|_| Wire::open(&service)).collect();
    for wire in &mut wires {
        wire.send(signed_head(APP, PATH, BODY_MAX, "").as_bytes());
    }
    form(&service, App::OTHER, PATH, BODY).ok();
    let (mut busy, mut stalled) = (0, 0);
    for wire in &mut wires {
        let reply = wire.reply().unwrap();
        match reply.status {
            503 => {
                assert!(reply.header("retry-after").is_some());
                reply.refused(503, 1050);
                busy += 1;
            }
            _ => {
                reply.refused(408, 408);
                stalled += 1;
            }
        }
    }
    assert_eq!((busy, stalled), (16, SHARE));
    // What was held is free again.
    form(&service, APP, PATH, BODY).ok();
    unharmed(&service);
}

#[test]
fn a_reader_that_does_not_take_its_answers_loses_the_connection() {
    let service = Service::start(&[APP]);
    for call in 0..25 {
        let targets: String = (0..20).map(|n| format!("&blackUserId={:x<60}", format!("t{call}-{n}"))).collect();
        form(&service, APP, "/user/blacklist/add.json", &format!("userId=ada{targets}")).ok();
    }
    let list = signed_head(APP, "/user/blacklist/query.json", BODY.len(), "") + BODY;
    let mut stream = TcpStream::connect(service.address).unwrap();
    stream.set_nonblocking(true).unwrap();
    // More than the buffers between the two can hold, some of which nobody reads: 2,000 answers of 30 KiB.
    let mut unsent = list.repeat(2_000).into_bytes();
    let until = Instant::now() + Duration::from_secs(90);
    let ended = loop {
        match stream.write(&unsent) {
            Ok(sent) => drop(unsent.drain(..sent)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => break error,
        }
        if let Some(error) = stream.take_error().unwrap() {
            break error;
        }
        assert!(Instant::now() < until, "the connection is held for ever");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert!(matches!(ended.kind(), std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe), "{ended}");
    let _ = stream.read(&mut [0]);
    unharmed(&service);
}
