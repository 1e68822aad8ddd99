//! Mutes over REST: for a time or for good, how they are told, and what the platform's faces make of them.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, Duration, Utc};
use serde_json::{Value, json};

use super::rest_bans::{ask, get, problem};
use super::{DONE, form};
use crate::support::{App, Service};

const APP: App = App::PRODUCTION;

/// Mutes a user; answers the position.
#[track_caller]
fn mute(service: &Service, user: &str, body: &Value) -> u64 {
    let reply = ask(service, "PUT", &format!("users/{user}/mute"), body);
    assert_eq!(reply.status, 204, "{}", reply.text);
    let position = BASE64_URL_SAFE_NO_PAD.decode(reply.header("rollcall-position").unwrap()).unwrap();
    u64::from_be_bytes(position.try_into().unwrap())
}

fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap_or_else(|| panic!("{value} is no time")).parse().unwrap()
}

#[test]
fn a_mute_for_some_minutes_is_told_with_its_end_wherever_mutes_are_told() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob"]);
    problem(&ask(&service, "GET", "users/ada/mute", &Value::Null), 404, "not-muted");
    assert_eq!(get(&service, "users/ada")["mute"], Value::Null);
    let position = mute(&service, "ada", &json!({"minutes": 5}));
    let told = get(&service, "users/ada/mute");
    assert_eq!(time(&told["until"]) - time(&told["muted_at"]), Duration::minutes(5), "{told}");
    assert_eq!(time(&get(&service, "users/ada")["mute"]["until"]), time(&told["until"]));
    let as_of = get(&service, "users/ada/as-of");
    assert_eq!((&as_of["muted"], time(&as_of["muted_until"])), (&json!(true), time(&told["until"])));
    let denied = ask(&service, "POST", "messages/admission", &json!({"from": "ada", "to": "bob"})).json();
    assert_eq!((&denied["rule"], &denied["position"]), (&json!("sender_muted"), &json!(position)), "{denied}");
    let events = get(&service, "events?type=rollcall.user.direct_messages_muted.v2")["events"].clone();
    assert_eq!(time(&events[0]["data"]["ends_at"]), time(&told["until"]), "{events}");

    let longer = mute(&service, "ada", &json!({"minutes": 43_200}));
    let replaced = get(&service, "users/ada/mute");
    assert_eq!(replaced["muted_at"], told["muted_at"], "without a break");
    assert!(time(&replaced["until"]) - time(&told["until"]) > Duration::days(29));
    let denied = ask(&service, "POST", "messages/admission", &json!({"from": "ada", "to": "bob"})).json();
    assert_eq!(denied["position"], json!(longer), "the event that made it so");

    mute(&service, "ada", &Value::Null);
    assert_eq!(get(&service, "users/ada/mute")["until"], Value::Null);
    assert_eq!(get(&service, "users/ada")["mute"], json!({"until": null}));
    assert_eq!(ask(&service, "DELETE", "users/ada/mute", &Value::Null).status, 204);
    assert_eq!(ask(&service, "DELETE", "users/ada/mute", &Value::Null).status, 204, "twice is once");
    problem(&ask(&service, "GET", "users/ada/mute", &Value::Null), 404, "not-muted");
    assert_eq!(get(&service, "users/ada/as-of")["muted"], false);
}

#[test]
fn a_length_that_is_none_mutes_nobody() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    for (bad, status, kind) in [
        (json!({"minutes": 0}), 422, "invalid-value"),
        (json!({"minutes": -1}), 422, "invalid-value"),
        (json!({"minutes": 43_201}), 422, "invalid-value"),
        (json!({"minutes": i64::MAX}), 422, "invalid-value"),
        (json!({"minutes": 1.5}), 400, "malformed-json"),
        (json!({"minutes": "5"}), 400, "malformed-json"),
        (json!({"hours": 5}), 400, "malformed-json"),
    ] {
        let refused = ask(&service, "PUT", "users/ada/mute", &bad);
        problem(&refused, status, kind);
        if status == 422 {
            assert_eq!(refused.json()["errors"][0]["pointer"], "#/minutes", "{bad}");
        }
    }
    problem(&ask(&service, "PUT", "users/a,b/mute", &json!({"minutes": 5})), 422, "invalid-value");
    problem(&ask(&service, "GET", "users/nobody/mute", &Value::Null), 404, "not-registered");
    assert_eq!(get(&service, "mutes"), json!({"mutes": [], "next": null, "previous": null}));
    let keyed = |body: &str| {
        let headers = [
            ("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret)),
            ("Idempotency-Key".to_owned(), "once".to_owned()),
        ];
        service.request("PUT", "/api/v1/users/ada/mute", &headers, body.as_bytes())
    };
    assert_eq!(keyed(r#"{"minutes":5}"#).status, 204);
    let until = get(&service, "users/ada/mute")["until"].clone();
    assert_eq!(keyed(r#"{"minutes":5}"#).status, 204);
    assert_eq!(get(&service, "users/ada/mute")["until"], until, "a retry does not make it longer");
    problem(&keyed(r#"{"minutes":6}"#), 422, "idempotency-key-mismatch");
    problem(&ask(&service, "PUT", "users/ada/deactivation", &Value::Null), 405, "method-not-allowed");
    assert_eq!(ask(&service, "POST", "users/ada/deactivation", &Value::Null).status, 202);
    problem(&ask(&service, "PUT", "users/ada/mute", &json!({"minutes": 5})), 410, "deactivated");
    assert_eq!(get(&service, "mutes"), json!({"mutes": [], "next": null, "previous": null}), "it ended with the rest");
}

#[test]
fn mutes_are_listed_page_by_page_in_the_order_of_muting_and_the_faces_of_the_platform_know_no_end() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob", "eve", "joe", "kim"]);
    for (number, user) in ["eve", "ada", "kim", "bob", "joe"].into_iter().enumerate() {
        let body = if number % 2 == 0 { json!({"minutes": 60}) } else { Value::Null };
        mute(&service, user, &body);
    }
    mute(&service, "eve", &json!({"minutes": 90}));
    let (mut all, mut cursor) = (vec![], String::new());
    loop {
        let page = get(&service, &format!("mutes?limit=2{cursor}"));
        all.extend(page["mutes"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let users: Vec<_> = all.iter().map(|mute| mute["user_id"].as_str().unwrap()).collect();
    assert_eq!(users, ["eve", "ada", "kim", "bob", "joe"], "another end is no other place");
    let lasts: Vec<_> = all.iter().map(|mute| mute["until"].is_null()).collect();
    assert_eq!(lasts, [false, true, false, true, false]);
    problem(&ask(&service, "GET", "mutes?cursor=x", &Value::Null), 422, "invalid-value");

    let list = || form(&service, APP, "/user/chat/fb/querylist.json", "type=PERSON").ok().json();
    assert_eq!((&list()["total"], &list()["users"]), (&json!(5), &json!(["eve", "ada", "kim", "bob", "joe"])));
    form(&service, APP, "/user/chat/fb/set.json", "userId=kim&state=1&type=PERSON").reads(DONE);
    assert_eq!(get(&service, "users/kim/mute")["until"], Value::Null, "a call without a time mutes for good");
    let v4 = json!({"userIds": ["eve"], "muteState": 0, "channelTypes": ["PERSON"]});
    assert_eq!(service.post_json(APP, "/v4/channel-type/mute/set", &v4).status, 200);
    problem(&ask(&service, "GET", "users/eve/mute", &Value::Null), 404, "not-muted");
    assert_eq!((&list()["total"], &list()["users"]), (&json!(4), &json!(["ada", "kim", "bob", "joe"])));
    let listed = service.post_json(APP, "/v4/channel-type/mute/list", &json!({"channelType": "PERSON"})).json();
    assert_eq!(listed["result"], json!({"totalCount": 4, "mutedUserIds": ["ada", "kim", "bob", "joe"]}));
}
