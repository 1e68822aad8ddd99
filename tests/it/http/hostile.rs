//! Bodies nobody should send, to every endpoint of the Server API v1: each is answered in JSON as the fault of the
//! caller, and none harms the service.

use std::collections::BTreeSet;

use super::form;
use crate::support::wire::{Wire, signed_head};
use crate::support::{App, Reply, Service};

const APP: App = App::DEVELOPMENT;
const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// Every path of the route table, also one that is added after this test was written.
pub(super) fn paths() -> BTreeSet<&'static str> {
    let table = include_str!("../../../src/http/server_v1/mod.rs");
    let rows = table.lines().filter(|line| line.contains(" => ") && line.trim_start().starts_with('"'));
    let paths: BTreeSet<_> = rows.flat_map(|row| row.split('"')).filter(|text| text.ends_with(".json")).collect();
    assert!(paths.len() >= 45, "the route table looks otherwise now: {paths:?}");
    paths
}

/// Bytes that look random and are the same in every run.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    })
    .take(length)
    .collect()
}

/// Every parameter any endpoint reads, the numbers with this value.
pub(super) fn everything(number: &str) -> String {
    let numbers = [
        "minute",
        "page",
        "size",
        "count",
        "pageNo",
        "pageSize",
        "time",
        "order",
        "optType",
        "permissionType",
        "state",
        "num",
        "offset",
        "period",
        "level",
        "whiteSetting",
    ];
    let texts = "userId=a&userIds=a&targetId=b&targetIds=b&blackUserId=b&whiteUserId=b&name=N&type=PERSON\
        &startTime=23:00:00&userProfile={}&remarks=[{\"id\":\"b\",\"remark\":\"R\"}]";
    numbers.iter().fold(texts.to_owned(), |body, name| format!("{body}&{name}={number}"))
}

#[track_caller]
fn is_the_callers_fault_or_done(reply: &Reply, what: &str) {
    assert!(reply.status == 200 || (400..500).contains(&reply.status), "{what}: {} {}", reply.status, reply.text);
    let json = reply.json();
    assert!(json["code"].is_u64(), "{what}: {}", reply.text);
    assert_eq!(json["errorMessage"].is_string(), reply.status != 200, "{what}: {}", reply.text);
    assert!(reply.header("content-type").unwrap().starts_with("application/json"), "{what}: {:?}", reply.headers);
}

/// Fails unless the service works and never came to a state it did not expect.
#[track_caller]
pub(super) fn unharmed(service: &Service) {
    form(service, APP, "/user/getToken.json", "userId=well&name=Well").ok();
    form(service, APP, "/user/info.json", "userId=well").ok();
    let errors = service.errors();
    assert!(!errors.contains("panicked"), "{errors}");
    // The web server itself logs requests it cannot parse.
    let own = errors.lines().filter(|line| line.contains("ERROR") && !line.contains("actix_http::h1")).count();
    assert_eq!(own, 0, "{errors}");
}

/// Sends each body to every endpoint.
fn assail(service: &Service, bodies: &[(String, &str, Vec<u8>)]) {
    for path in paths() {
        for (what, content_type, body) in bodies {
            let mut wire = Wire::open(service);
            let head = signed_head(APP, path, body.len(), "");
            wire.send(head.replace(FORM, content_type).as_bytes());
            wire.send(body);
            let reply = wire.reply().unwrap_or_else(|| panic!("no answer to {what} to {path}"));
            is_the_callers_fault_or_done(&reply, &format!("{what} to {path}"));
        }
        form(service, APP, "/user/checkOnline.json", "userId=well").ok();
    }
    unharmed(service);
}

#[test]
fn no_endpoint_stumbles_over_bytes_that_are_neither_form_nor_json() {
    let service = Service::start(&[APP]);
    let mut bodies = vec![];
    for (what, body) in [
        ("nothing", vec![]),
        ("noise", noise(4096)),
        ("a percent sign", b"%".to_vec()),
        ("broken escapes", b"userId=%&name=%z&%%%=%1&%G0=%0G&userId=a%".to_vec()),
        ("bytes that are not UTF-8", b"userId=\xff\xfe\xc0\x80&name=\xed\xa0\x80&userIds=\xf8".to_vec()),
        ("escaped bytes that are not UTF-8", b"userId=%ff%fe&name=%c0%80&userIds=%ed%a0%80".to_vec()),
        ("NUL", b"userId=a\0b&name=\0&userIds=\0&targetId=\0\0".to_vec()),
        ("escaped NUL", b"userId=a%00b&name=%00&userIds=%00&targetId=%00".to_vec()),
        ("separators", b"&&&===&=&,,&userId=,,,&userIds=,&targetIds=,&blackUserId==&whiteUserId=%2C".to_vec()),
        ("brackets", b"userId[[[=a&userId[]=b&userId]=c&remarks[[]=x&remarks[0]=y&remarks[]]][id]=z".to_vec()),
        ("line ends", b"userId=a\r\n\r\nGET / HTTP/1.1\r\n\r\n".to_vec()),
        ("an override of direction", "userId=a\u{202e}b&name=\u{202e}&userIds=\u{feff}".as_bytes().to_vec()),
    ] {
        for content_type in [FORM, JSON] {
            bodies.push((format!("{what} as {content_type}"), content_type, body.clone()));
        }
    }
    assail(&service, &bodies);
}

#[test]
fn no_endpoint_stumbles_over_json_that_is_deep_doubled_or_huge() {
    let service = Service::start(&[APP]);
    let deep = |open: &str, close: &str, n: usize| format!("{}{}", open.repeat(n), close.repeat(n));
    let mut bodies = vec![];
    for (what, json) in [
        ("deep arrays", deep("[", "]", 100_000)),
        ("deep objects", deep("{\"a\":", "}", 40_000)),
        ("deep inside a known member", format!(r#"{{"userId":"a","tags":{}}}"#, deep("[", "]", 50_000))),
        ("deep inside an unknown member", format!(r#"{{"x":{},"userId":"a","tags":[]}}"#, deep("[", "]", 50_000))),
        (
            "doubled members",
            r#"{"userId":"a","userId":"b","userIds":["a"],"userIds":[],"tags":["x"],"tags":[]}"#.into(),
        ),
        ("huge numbers", r#"{"userId":1e999,"userIds":[123456789012345678901234567890],"tags":[-1e-999]}"#.into()),
        ("lone surrogates", r#"{"userId":"\ud800","userIds":["\udfff"],"tags":["\ud800"]}"#.into()),
        ("escaped NUL", r#"{"userId":"a\u0000","userIds":["\u0000"],"tags":["\u0000"]}"#.into()),
        ("half an object", r#"{"userId":"a","userIds":["a"],"tags":["#.into()),
        ("two objects", r#"{"userId":"a","userIds":["a"],"tags":[]}{}"#.into()),
        ("a byte order mark", "\u{feff}{\"userId\":\"a\",\"userIds\":[\"a\"],\"tags\":[]}".into()),
    ] {
        bodies.push((what.to_owned(), JSON, json.clone().into_bytes()));
        // The same inside of the parameters that hold JSON.
        let escaped: String = form_urlencoded::byte_serialize(json.as_bytes()).collect();
        if escaped.len() < 60_000 {
            let inside = format!(
                "userId=a&targetId=b&userProfile={escaped}&userExtProfile={escaped}&friendExtProfile={escaped}&remarks={escaped}"
            );
            bodies.push((format!("{what} in a form"), FORM, inside.into_bytes()));
        }
    }
    let deep = deep("[", "]", 20_000);
    for name in ["userProfile", "userExtProfile", "friendExtProfile", "remarks"] {
        let body = format!("userId=a&targetId=b&{name}={deep}");
        bodies.push((format!("deep JSON in {name}"), FORM, body.into_bytes()));
        let body = format!("userId=a&targetId=b&{name}={{\"name\":{deep}}}");
        bodies.push((format!("deep JSON inside of {name}"), FORM, body.into_bytes()));
    }
    assail(&service, &bodies);
}

#[test]
fn no_endpoint_stumbles_over_numbers_out_of_every_range() {
    let service = Service::start(&[APP]);
    service.register(APP, &["a", "b"]);
    let mut bodies = vec![];
    for number in [
        "0",
        "-0",
        "-1",
        "+1",
        "2147483647",
        "2147483648",
        "4294967295",
        "4294967296",
        "-2147483649",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "1e309",
        "NaN",
        "Infinity",
        "0x7f",
        "1.0",
        "%EF%BC%91",
        "%20",
        "1%200",
        "1;drop",
    ] {
        bodies.push((format!("the number {number}"), FORM, everything(number).into_bytes()));
    }
    bodies.push((
        "a number of 100,000 digits".into(),
        FORM,
        everything("9").replace("minute=9", &format!("minute={}", "9".repeat(100_000))).into(),
    ));
    // Tokens of the right form that no answer ever held.
    for token in ["AAAAAAAAAAA", "AAAAAAAAAAE", "f_________8", "gAAAAAAAAAA", "__________8", "CNgB", "....", "%00"] {
        for order in ["0", "1"] {
            let body = format!("userId=a&size=10&order={order}&pageToken={token}");
            bodies.push((format!("the page token {token}"), FORM, body.into_bytes()));
        }
    }
    assail(&service, &bodies);
}

#[test]
fn no_endpoint_stumbles_over_very_many_parameters_or_very_long_ones() {
    let service = Service::start(&[APP]);
    let mut bodies = vec![];
    for name in ["userId", "userIds", "targetIds", "a"] {
        bodies.push((format!("{name} 100,000 times"), FORM, format!("{name}=a&").repeat(100_000).into_bytes()));
        let fitting = 250_000 / (name.len() + 3);
        bodies.push((format!("{name} as often as fits"), FORM, format!("{name}=a&").repeat(fitting).into_bytes()));
    }
    for body in [
        format!("userId={}", "a".repeat(250_000)),
        format!("userId={}", "a,".repeat(100_000)),
        format!("userId=a&name={}", "%41".repeat(80_000)),
        format!("{}=a", "userId".repeat(40_000)),
        "&".repeat(250_000),
        format!("userId=a&{}", "remarks[0][id]=a&".repeat(14_000)),
    ] {
        bodies.push((format!("{}…", &body[..20]), FORM, body.into_bytes()));
    }
    bodies.push((
        "many tags".into(),
        JSON,
        format!(r#"{{"userId":"a","tags":[{}""]}}"#, r#""x","#.repeat(60_000)).into(),
    ));
    bodies.push(("a long tag".into(), JSON, format!(r#"{{"userId":"a","tags":["{}"]}}"#, "x".repeat(250_000)).into()));
    bodies.push((
        "many users".into(),
        JSON,
        format!(r#"{{"userIds":[{}"a"],"tags":[]}}"#, r#""a","#.repeat(60_000)).into(),
    ));
    assail(&service, &bodies);
}

#[test]
fn every_endpoint_refuses_a_megabyte_as_too_large() {
    let service = Service::start(&[APP]);
    let junk = noise(1024 * 1024);
    for path in paths() {
        for content_type in [FORM, JSON] {
            let mut wire = Wire::open(&service);
            wire.send(signed_head(APP, path, junk.len(), "").replace(FORM, content_type).as_bytes());
            wire.send(&junk);
            let reply = wire.reply().unwrap_or_else(|| panic!("no answer of {path}")).refused(413, 1005);
            is_the_callers_fault_or_done(&reply, path);
        }
    }
    unharmed(&service);
}

#[test]
fn the_content_type_neither_breaks_an_endpoint_nor_opens_it() {
    let service = Service::start(&[APP]);
    let multipart = "--x\r\nContent-Disposition: form-data; name=\"userId\"\r\n\r\na\r\n--x--\r\n";
    let mut bodies = vec![];
    for content_type in
        ["text/plain", "application/xml", "multipart/form-data; boundary=x", "x", "application/json; charset=latin1"]
    {
        for body in [multipart, "userId=a&minute=1", r#"{"userId":"a","tags":[]}"#, "<userId>a</userId>"] {
            bodies.push((format!("{content_type}: {body}"), content_type, body.as_bytes().to_vec()));
        }
    }
    assail(&service, &bodies);
    // A form is a form and JSON is JSON whatever it is called.
    service.send(APP, "/user/checkOnline.json", "text/plain", b"userId=a").ok();
    service.request("POST", "/user/checkOnline.json", &APP.headers(), b"userId=a").ok();
    service.send(APP, "/user/tag/set.json", FORM, br#"{"userId":"a","tags":["x"]}"#).ok();
}
