//! Callers that abuse headers, framing and time.

use super::form;
use super::hostile::unharmed;
use crate::support::service::signature;
use crate::support::wire::{Wire, signed_head, unfinished_head};
use crate::support::{App, Service};

const APP: App = App::DEVELOPMENT;
const PATH: &str = "/user/checkOnline.json";
const BODY: &str = "userId=ada";

/// Fails unless the service ends a connection on which the caller owes it something.
#[track_caller]
fn is_cut_off(service: &Service, bytes: &str) {
    let mut wire = Wire::open(service);
    wire.send(bytes.as_bytes());
    if let Some(reply) = wire.reply() {
        assert_eq!(reply.status, 408, "{bytes:?}");
        wire.ends();
    }
}

#[test]
fn headers_that_are_long_doubled_or_strange_are_answered_in_json() {
    let service = Service::start(&[APP]);
    let call = |headers: &[(&str, &str)]| {
        let headers: Vec<_> = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        service.request("POST", PATH, &headers, BODY.as_bytes())
    };
    // A long nonce is a nonce: the SDKs know no limit either.
    let nonce = "9".repeat(10_000);
    let signed = signature(APP.secret, &nonce, "2");
    call(&[("App-Key", APP.key), ("Nonce", &nonce), ("Timestamp", "2"), ("Signature", &signed)]).ok();
    let good = signature(APP.secret, "1", "2");
    for (key, nonce, timestamp, signed) in [
        (nonce.as_str(), "1", "2", good.as_str()),
        (APP.key, &nonce, "2", &good),
        (APP.key, "1", &nonce, &good),
        (APP.key, "1", "2", &nonce),
        (APP.key, "1", "2", ""),
        (APP.key, "", "", &good),
        ("dev\u{e9}key", "1", "2", &good),
        ("' or 1=1 --", "1", "2", &good),
        ("../../devkey", "1", "2", &good),
    ] {
        let headers = [("App-Key", key), ("Nonce", nonce), ("Timestamp", timestamp), ("Signature", signed)];
        call(&headers).refused(401, 1004);
    }
    let right = [("App-Key", APP.key), ("Nonce", "1"), ("Timestamp", "2"), ("Signature", good.as_str())];
    for strange in [
        ("X-Request-ID", nonce.as_str()),
        ("Accept", "image/png"),
        ("Accept-Encoding", "br;q=1, *;q=0"),
        ("Accept-Encoding", ";;q=,,gzip;q=x"),
        ("Expect", "nothing"),
        ("Range", "bytes=0-0"),
        ("If-None-Match", "*"),
        ("Cookie", &nonce),
        ("X-Forwarded-For", "' or 1=1"),
        ("Content-Encoding", "gzip"),
        ("Upgrade", "websocket"),
    ] {
        let reply = call(&[&right[..], &[strange]].concat());
        assert!(reply.status < 500 && reply.json()["code"].is_u64(), "{strange:?}: {} {}", reply.status, reply.text);
    }
    call(&[&right[..], &[("Nonce", "7"), ("Signature", "0")]].concat());
    unharmed(&service);
}

#[test]
fn more_headers_than_a_request_can_have_end_with_its_connection() {
    let service = Service::start(&[APP]);
    let many: String = (0..5_000).map(|n| format!("X-{n}: {n}\r\n")).collect();
    let long = format!("X-Long: {}\r\n", "x".repeat(4 * 1024 * 1024));
    for more in [many, long] {
        let mut wire = Wire::open(&service);
        wire.send(signed_head(APP, PATH, BODY.len(), &more).as_bytes());
        if let Some(reply) = wire.reply() {
            assert!((400..500).contains(&reply.status), "{}", reply.status);
        }
    }
    unharmed(&service);
}

#[test]
fn a_body_in_chunks_is_a_body_and_too_many_of_them_are_too_large() {
    let service = Service::start(&[APP]);
    let head = unfinished_head(APP, PATH, "") + "Transfer-Encoding: chunked\r\n\r\n";
    let mut wire = Wire::open(&service);
    wire.send(head.as_bytes());
    for piece in BODY.as_bytes().chunks(3) {
        wire.send(format!("{:x};ext=1\r\n", piece.len()).as_bytes());
        wire.send(piece);
        wire.send(b"\r\n");
    }
    wire.send(b"0\r\n\r\n");
    wire.reply().unwrap().ok();
    // The connection lives on.
    wire.send(signed_head(APP, PATH, BODY.len(), "").as_bytes());
    wire.send(BODY.as_bytes());
    wire.reply().unwrap().ok();

    let mut endless = Wire::open(&service);
    endless.send(head.as_bytes());
    let chunk = [b"4000\r\n", "a".repeat(0x4000).as_bytes(), b"\r\n"].concat();
    for _ in 0..20 {
        endless.send(&chunk);
    }
    endless.reply().unwrap().refused(413, 1005);
    unharmed(&service);
}

#[test]
fn framing_that_can_be_read_two_ways_is_refused() {
    let service = Service::start(&[APP]);
    let smuggled = "POST /user/delusers.json HTTP/1.1\r\n";
    for framing in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: +10\r\n",
        "Content-Length: x\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: xchunked\r\n",
    ] {
        let mut wire = Wire::open(&service);
        wire.send(format!("{}{framing}\r\n{BODY}{smuggled}", unfinished_head(APP, PATH, "")).as_bytes());
        if let Some(reply) = wire.reply() {
            assert!((400..500).contains(&reply.status), "{framing:?}: {} {}", reply.status, reply.text);
        }
    }
    for bad in ["zz\r\nuserId=ada\r\n0\r\n\r\n", "-1\r\n", "ffffffffffffffffff\r\n", "5\r\nuserId=ada\r\n0\r\n\r\n"] {
        let mut wire = Wire::open(&service);
        wire.send(format!("{}Transfer-Encoding: chunked\r\n\r\n{bad}", unfinished_head(APP, PATH, "")).as_bytes());
        if let Some(reply) = wire.reply() {
            assert!((400..500).contains(&reply.status), "{bad:?}: {} {}", reply.status, reply.text);
        }
    }
    unharmed(&service);
}

#[test]
fn who_stalls_in_a_body_is_told_and_who_stalls_in_a_head_is_cut_off() {
    let service = Service::start(&[APP]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut slow_body = Wire::open(&service);
            slow_body.send(signed_head(APP, PATH, 100, "").as_bytes());
            slow_body.send(b"userI");
            slow_body.reply().unwrap().refused(408, 408);
            slow_body.ends();
        });
        for head in ["POST /user", "POST /user/info.json HTTP/1.1\r\nHost: x\r\nApp-"] {
            let service = &service;
            scope.spawn(move || is_cut_off(service, head));
        }
        // Nobody else waits for them.
        for _ in 0..20 {
            form(&service, APP, PATH, BODY).ok();
        }
    });
    unharmed(&service);
}

#[test]
fn who_stalls_in_a_chunk_is_told_and_cut_off() {
    let service = Service::start(&[APP]);
    let stalled = unfinished_head(APP, PATH, "") + "Transfer-Encoding: chunked\r\n\r\n5\r\nuse";
    let mut wire = Wire::open(&service);
    wire.send(stalled.as_bytes());
    wire.reply().unwrap().refused(408, 408);
    wire.ends();
    unharmed(&service);
}

#[test]
fn who_connects_and_says_nothing_is_cut_off() {
    let service = Service::start(&[APP]);
    is_cut_off(&service, "");
    unharmed(&service);
}

#[test]
fn http_1_0_is_answered_and_its_connection_closed() {
    let service = Service::start(&[APP]);
    let mut wire = Wire::open(&service);
    wire.send(signed_head(APP, PATH, BODY.len(), "").replace("HTTP/1.1", "HTTP/1.0").as_bytes());
    wire.send(BODY.as_bytes());
    wire.reply().unwrap().ok();
    wire.ends();
}

#[test]
fn pipelined_calls_are_answered_in_their_order() {
    let service = Service::start(&[APP]);
    let mut wire = Wire::open(&service);
    let mut all = String::new();
    for n in 0..50 {
        let body = format!("userId=user{n}&name=Name");
        all += &signed_head(APP, "/user/getToken.json", body.len(), "");
        all += &body;
    }
    // One that is refused does not cost the ones behind it.
    all += &(signed_head(APP, PATH, 0, "") + &signed_head(APP, PATH, BODY.len(), "") + BODY);
    wire.send(all.as_bytes());
    for n in 0..50 {
        assert_eq!(wire.reply().unwrap().ok().json()["userId"], format!("user{n}"));
    }
    wire.reply().unwrap().refused(400, 1002);
    wire.reply().unwrap().ok();
    unharmed(&service);
}

#[test]
fn callers_that_hang_up_in_the_middle_are_no_trouble() {
    let service = Service::start(&[APP]);
    let whole = signed_head(APP, "/user/getToken.json", 24, "") + "userId=gone&name=Gone+by";
    for cut in (0..whole.len()).step_by(7) {
        let mut wire = Wire::open(&service);
        wire.send(&whole.as_bytes()[..cut]);
    }
    unharmed(&service);
}

#[test]
fn other_protocols_are_turned_away() {
    let service = Service::start(&[APP]);
    let hello: &[u8] = &[0x16, 3, 1, 0, 0xa5, 1, 0, 0, 0xa1, 3, 3, 0, 0, 13, 10, 13, 10];
    for bytes in [hello, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"SSH-2.0-x\r\n\r\n", b"GET\r\n\r\n", b"\0\0\0\0\r\n\r\n"]
    {
        let mut wire = Wire::open(&service);
        wire.send(bytes);
        if let Some(reply) = wire.reply() {
            assert!((400..500).contains(&reply.status) || reply.status == 505, "{bytes:?}: {}", reply.status);
        }
    }
    unharmed(&service);
}
