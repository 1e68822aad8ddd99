//! Who is let in, and what is answered outside of every endpoint.

use std::io::Read as _;

use super::{DONE, form};
use crate::support::service::{parse, signature};
use crate::support::shape::shape;
use crate::support::wire::{Wire, signed_head};
use crate::support::{App, Service};

const APP: App = App::PRODUCTION;
const ERROR: &str = "{code:number,errorMessage:string}";

fn headers(key: &str, secret: &str) -> Vec<(String, String)> {
    let signed = signature(secret, "1", "2");
    [("App-Key", key), ("Nonce", "1"), ("Timestamp", "2"), ("Signature", &signed)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec()
}

#[test]
fn an_unknown_key_a_wrong_signature_and_a_missing_header_are_refused_alike() {
    let service = Service::start(&[APP, App::OTHER]);
    let register =
        |headers: &[(String, String)]| service.request("POST", "/user/getToken.json", headers, b"userId=ada&name=Ada");
    let mut texts = vec![];
    for (key, secret) in [("nobody", APP.secret), (APP.key, App::OTHER.secret), (APP.key, ""), ("", APP.secret)] {
        texts.push(register(&headers(key, secret)).refused(401, 1004).text);
    }
    for missing in 0..4 {
        let mut given = headers(APP.key, APP.secret);
        given.remove(missing);
        texts.push(register(&given).refused(401, 1004).text);
    }
    for (at, value) in [(1, "9"), (2, "9"), (3, "0"), (3, "é")] {
        let mut given = headers(APP.key, APP.secret);
        given[at].1 = value.into();
        texts.push(register(&given).refused(401, 1004).text);
    }
    assert_eq!(shape(&texts[0]), ERROR);
    assert!(texts.iter().all(|text| *text == texts[0]), "an answer tells what was wrong: {texts:?}");
    service.post(APP, "/user/info.json", &[("userId", "ada")]).refused(400, 400);
}

#[test]
fn headers_may_carry_the_prefix_and_any_case_and_the_nonce_may_repeat() {
    let service = Service::start(&[APP]);
    for rename in
        [|name: &str| format!("RC-{name}"), |name: &str| format!("rc-{}", name.to_lowercase()), str::to_uppercase]
    {
        let headers: Vec<_> = headers(APP.key, APP.secret).into_iter().map(|(n, v)| (rename(&n), v)).collect();
        service.request("POST", "/user/checkOnline.json", &headers, b"userId=ada").ok();
    }
}

#[test]
fn a_signature_may_be_written_in_capitals_and_its_timestamp_in_seconds_or_milliseconds() {
    let service = Service::start(&[APP]);
    for timestamp in ["1795420824", "1795420824123"] {
        let signed = signature(APP.secret, "617010.8878928286", timestamp);
        for (prefix, signed) in [("", signed.clone()), ("RC-", signed.to_uppercase()), ("", signed.to_uppercase())] {
            let headers = [
                ("App-Key", APP.key),
                ("Nonce", "617010.8878928286"),
                ("Timestamp", timestamp),
                ("Signature", signed.as_str()),
            ];
            let headers = headers.map(|(name, value)| (format!("{prefix}{name}"), value.to_owned()));
            service.request("POST", "/user/checkOnline.json", &headers, b"userId=ada").ok();
        }
    }
}

#[test]
fn what_the_service_signs_for_others_lets_nobody_in() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    let (nonce, timestamp) = ("rollcall.out.8f14e45f", "1795420824000");
    let signed = signature(APP.secret, nonce, timestamp);
    let text = [nonce, timestamp].concat();
    for cut in 1..text.len() {
        let (nonce, timestamp) = text.split_at(cut);
        let headers =
            [("App-Key", APP.key), ("Nonce", nonce), ("Timestamp", timestamp), ("Signature", signed.as_str())];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        service.request("POST", "/user/deactivate.json", &headers, b"userId=ada").refused(401, 1004);
    }
    service.post(APP, "/user/info.json", &[("userId", "ada")]).ok();
}

#[test]
fn a_path_that_is_not_served_is_answered_404_and_another_method_405_in_json() {
    let service = Service::start(&[APP]);
    for path in ["/", "/user", "/user/getToken", "/user/getToken.xml", "/user/gettoken.json", "/nothing.json"] {
        let reply = service.post(APP, path, &[("userId", "ada")]).refused(404, 404);
        assert_eq!(shape(&reply.text), ERROR, "{path}");
    }
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let reply = service.request(method, "/user/getToken.json", &APP.headers(), b"").refused(405, 405);
        assert_eq!((shape(&reply.text).as_str(), reply.header("allow")), (ERROR, Some("POST")), "{method}");
    }
}

#[test]
fn every_answer_says_that_it_is_json_and_no_redirect_is_ever_sent() {
    let service = Service::start(&[APP]);
    for path in
        ["/user/info.json", "//user//info.json", "/user/info.json/", "/user/block/query.json", "/x/../user/info.json"]
    {
        let reply = form(&service, APP, path, "");
        assert!(reply.header("content-type").unwrap().starts_with("application/json"), "{path}: {:?}", reply.headers);
        assert!(!(300..400).contains(&reply.status), "{path}: {}", reply.status);
    }
}

#[test]
fn a_request_id_comes_back_as_it_was_sent() {
    let service = Service::start(&[APP]);
    let mut given = headers(APP.key, APP.secret);
    given.push(("X-Request-Id".into(), "60c3115e-3873-4d45-a70a-1d82268f7a0e".into()));
    for (body, status) in [("userId=ada", 200), ("", 400)] {
        let reply = service.request("POST", "/user/checkOnline.json", &given, body.as_bytes());
        assert_eq!(reply.status, status);
        assert_eq!(reply.header("x-request-id"), Some("60c3115e-3873-4d45-a70a-1d82268f7a0e"));
    }
}

#[test]
fn one_connection_carries_many_calls_and_ends_when_the_caller_says_so() {
    let service = Service::start(&[APP]);
    let mut wire = Wire::open(&service);
    for body in ["userId=ada&minute=1", "minute=1", "userId=bob&minute=1"] {
        wire.send(signed_head(APP, "/user/block.json", body.len(), "").as_bytes());
        wire.send(body.as_bytes());
        let reply = wire.reply().unwrap();
        assert_eq!(reply.status == 200, body.starts_with("userId"), "{body}: {}", reply.text);
    }
    let body = "userId=ada";
    wire.send(signed_head(APP, "/user/unblock.json", body.len(), "Connection: close\r\n").as_bytes());
    wire.send(body.as_bytes());
    wire.reply().unwrap().reads(DONE);
    wire.ends();
}

#[test]
fn a_long_answer_is_compressed_only_for_who_takes_gzip_and_says_the_same() {
    let service = Service::start(&[APP]);
    for call in 0..20 {
        let targets: String = (0..20).map(|n| format!("&blackUserId=target-{call}-{n}")).collect();
        form(&service, APP, "/user/blacklist/add.json", &format!("userId=ada{targets}")).ok();
    }
    let plain = form(&service, APP, "/user/blacklist/query.json", "userId=ada").ok();
    assert_eq!(plain.header("content-encoding"), None);
    let more = "Connection: close\r\nAccept-Encoding: gzip\r\n";
    let request = signed_head(APP, "/user/blacklist/query.json", 10, more) + "userId=ada";
    let raw = service.raw(request.as_bytes());
    let head = raw.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    assert_eq!(parse(&raw[..head]).unwrap().header("content-encoding"), Some("gzip"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(&raw[head..]).read_to_string(&mut text).unwrap();
    assert_eq!(text, plain.text);
    assert!(raw.len() < text.len() / 2);
}
