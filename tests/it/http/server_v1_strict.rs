//! Strict mode of an app: a signed request counts only within a window around its timestamp, and only once.

use chrono::TimeDelta;

use crate::support::service::signature;
use crate::support::wire::Wire;
use crate::support::{App, Service, rollcall};

const APP: App = App::PRODUCTION;

/// A signed call that keeps its connection, so that it reaches the same node as the one before.
fn call(wire: &mut Wire, nonce: &str, timestamp: &str) -> (u16, i64) {
    let body = "userId=ada";
    let signed = signature(APP.secret, nonce, timestamp);
    let head = format!(
        "POST /user/checkOnline.json HTTP/1.1\r\nHost: x\r\nApp-Key: {}\r\nNonce: {nonce}\r\nTimestamp: {timestamp}\r\n\
         Signature: {signed}\r\nContent-Length: {}\r\n\r\n{body}",
        APP.key,
        body.len()
    );
    wire.send(head.as_bytes());
    let reply = wire.reply().unwrap();
    (reply.status, reply.code())
}

/// A service whose app accepts a signed request within so many seconds.
fn started(seconds: &str) -> Service {
    let mut service = Service::start(&[APP, App::OTHER]);
    service.stop();
    let set = rollcall(&["apps", "set", APP.key, "--signature-window-seconds", seconds], service.data());
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    service.restart();
    service
}

#[test]
fn a_strict_app_takes_a_signature_once_and_only_within_its_window() {
    const REFUSED: (u16, i64) = (401, 1004);
    let service = started("300");
    let mut wire = Wire::open(&service);
    let now = super::date(&service.request("GET", "/health/live", &[], b"")).and_utc();
    let at = |offset: i64| now + TimeDelta::seconds(offset);
    let (seconds, millis) = (at(0).timestamp().to_string(), at(0).timestamp_millis().to_string());
    assert_eq!(call(&mut wire, "7", &millis), (200, 200));
    assert_eq!(call(&mut wire, "7", &millis), REFUSED, "the same again");
    assert_eq!(call(&mut wire, "8", &millis), (200, 200), "another nonce");
    assert_eq!(call(&mut wire, "9", &seconds), (200, 200), "in seconds");
    // The same signature with a digit moved from the timestamp to the nonce.
    assert_eq!(call(&mut wire, &format!("9{}", &seconds[..1]), &seconds[1..]), REFUSED);
    for old in [at(-400), at(400)] {
        assert_eq!(call(&mut wire, "7", &old.timestamp().to_string()), REFUSED);
        assert_eq!(call(&mut wire, "7", &old.timestamp_millis().to_string()), REFUSED);
    }
    for none in ["", "now", "1", "2026-11-23T08:00:24Z"] {
        assert_eq!(call(&mut wire, "7", none), REFUSED, "{none}");
    }
    // Who is not strict may repeat as before.
    for _ in 0..2 {
        service.post(App::OTHER, "/user/checkOnline.json", &[("userId", "ada")]).ok();
    }
}

#[test]
fn strict_mode_is_off_by_default_and_can_be_turned_off_again() {
    let mut service = started("300");
    service.post(APP, "/user/checkOnline.json", &[("userId", "ada")]).refused(401, 1004);
    service.stop();
    let set = rollcall(&["apps", "set", APP.key, "--signature-window-seconds", "0"], service.data());
    assert!(set.status.success());
    service.restart();
    for _ in 0..2 {
        service.post(APP, "/user/checkOnline.json", &[("userId", "ada")]).ok();
    }
    service.stop();
    let refused = rollcall(&["apps", "set", APP.key, "--signature-window-seconds", "3601"], service.data());
    assert!(!refused.status.success());
}
