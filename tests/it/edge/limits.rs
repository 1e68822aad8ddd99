//! How often apps may call, and who shows wrong credentials.

use serde_json::json;

use crate::client::Socket;
use crate::support::wire::Wire;
use crate::support::{App, Reply, Service, rollcall};

const APP: App = App::PRODUCTION;
const OTHER: App = App::OTHER;
/// More calls than any machine that runs this makes in a second may be refused; as many as pass at once.
const LIMIT: &str = "3";

fn bearer(app: App) -> Vec<(String, String)> {
    vec![("Authorization".to_owned(), format!("Bearer {}:{}", app.key, app.secret))]
}

fn rest(service: &Service, app: App, method: &str, path: &str, body: &str) -> Reply {
    service.request(method, &format!("/api/v1/{path}"), &bearer(app), body.as_bytes())
}

/// Sets the limit while the service runs.
#[track_caller]
fn limit(service: &Service, limit: &str) {
    let set = rest(service, APP, "PATCH", "app", &json!({"rate_limit": limit}).to_string());
    assert_eq!((set.status, &set.json()["settings"]["rate_limit"]), (200, &json!(limit)), "{}", set.text);
}

/// The first answer that a call is refused with, if one of so many in a row is.
fn refused(times: usize, mut call: impl FnMut() -> Reply) -> Option<Reply> {
    (0..times).map(|_| call()).find(|reply| reply.status == 429)
}

#[test]
fn an_app_has_no_limit_until_it_sets_one_and_then_each_endpoint_has_its_own() {
    let service = Service::start(&[APP, OTHER]);
    service.register(APP, &["ada"]);
    let users = || rest(&service, APP, "GET", "users", "");
    assert!(refused(50, users).is_none(), "there is none");
    limit(&service, LIMIT);
    let first = users();
    assert_eq!(first.header("ratelimit-policy"), Some(r#""endpoint";q=3;w=1"#));
    assert_eq!(first.header("ratelimit"), Some(r#""endpoint";r=2;t=1"#));
    let refused_by_rest = refused(500, users).expect("500 calls within a few seconds");
    assert_eq!(refused_by_rest.json()["type"], "urn:rollcall:problem:too-many-requests");
    assert_eq!(refused_by_rest.header("retry-after"), Some("1"));
    assert_eq!(refused_by_rest.header("ratelimit"), Some(r#""endpoint";r=0;t=1"#));
    // Another endpoint, and another app.
    assert_eq!(rest(&service, APP, "GET", "bans", "").status, 200);
    assert!(refused(20, || rest(&service, OTHER, "GET", "users", "")).is_none());
    let v1 = || service.post(APP, "/user/checkOnline.json", &[("userId", "ada")]);
    let refused_by_v1 = refused(500, v1).expect("v1").refused(429, 1008);
    assert_eq!(refused_by_v1.header("retry-after"), Some("1"));
    let v4 = || service.post_json(APP, "/v4/user/get", &json!({"userId": "ada"}));
    refused(500, v4).expect("v4").refused(429, 1008);
    limit(&service, "off");
    assert!(refused(50, users).is_none(), "there is none again");
}

#[test]
fn a_call_about_many_users_counts_as_many_calls_where_the_platform_counts_users() {
    let mut service = Service::start(&[APP]);
    service.stop();
    let set = rollcall(&["apps", "set", APP.key, "--rate-limit", "platform"], service.data());
    assert!(set.status.success(), "{}", String::from_utf8_lossy(&set.stderr));
    service.restart();
    let users: Vec<String> = (0..100).map(|number| format!("userId=nobody{number}")).collect();
    let users = users.join("&");
    let reactivate =
        || service.send(APP, "/user/reactivate.json", "application/x-www-form-urlencoded", users.as_bytes());
    // Whatever becomes of the first: it is not refused for its number.
    assert_ne!(reactivate().status, 429);
    // A hundred users and then a hundred more, within the time of a few calls.
    refused(20, reactivate).expect("2,000 users").refused(429, 1008);
}

#[test]
fn a_call_over_the_limit_is_refused_before_its_body_is_read() {
    let service = Service::start(&[APP]);
    limit(&service, "1");
    let head = format!(
        "PUT /api/v1/users/ada HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}:{}\r\nContent-Length: 1000000\r\n\
         Connection: close\r\n\r\n",
        APP.key, APP.secret
    );
    // One call a second passes; right after it, none does.
    let refused = (0..10).find_map(|_| {
        rest(&service, APP, "PUT", "users/ada", r#"{"name":"Ada"}"#);
        let mut wire = Wire::open(&service);
        wire.send(head.as_bytes());
        wire.reply().filter(|reply| reply.status == 429)
    });
    assert!(refused.is_some(), "it is not refused");
}

#[test]
fn whoever_shows_wrong_credentials_again_and_again_is_slowed_and_nobody_else_is() {
    let data = tempfile::tempdir().unwrap();
    let args = ["--trusted-proxy", "127.0.0.0/8"];
    let service = Service::try_start_with(&data.path().join("data"), &[APP], &args).unwrap();
    let call = |address: &str, secret: &str| {
        let headers = [
            ("Authorization".to_owned(), format!("Bearer {}:{secret}", APP.key)),
            ("X-Forwarded-For".to_owned(), address.to_owned()),
        ];
        service.request("GET", "/api/v1/users", &headers, b"")
    };
    let slowed = refused(200, || call("192.0.2.66", "guess")).expect("200 guesses");
    assert_eq!(slowed.json()["type"], "urn:rollcall:problem:authentication-slowed");
    assert!(slowed.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    assert_eq!(call("198.51.100.7", APP.secret).status, 200, "the app itself, from elsewhere");
    // Behind an address that good credentials come from, nobody is refused for what others show.
    assert_eq!(call("203.0.113.5", APP.secret).status, 200);
    assert!(refused(100, || call("203.0.113.5", "guess")).is_none());
    assert_eq!(call("203.0.113.5", APP.secret).status, 200);
    let guess = |address: &str| {
        let mut headers = App { secret: "another", ..APP }.headers();
        headers.push(("X-Forwarded-For".to_owned(), address.to_owned()));
        service.request("POST", "/user/checkOnline.json", &headers, b"userId=ada")
    };
    refused(200, || guess("192.0.2.67")).expect("200 wrong signatures").refused(429, 1008);
    let token = |address: &str| {
        let headers = [
            ("Authorization".to_owned(), "Bearer nonsense".to_owned()),
            ("X-Forwarded-For".to_owned(), address.to_owned()),
        ];
        service.request("GET", "/client/v1/me", &headers, b"")
    };
    let slowed = refused(200, || token("2001:db8::1")).expect("200 wrong tokens");
    assert_eq!(slowed.json()["code"], 20_607);
    assert_eq!(token("2001:db8::2").status, 429, "the network is one");
}

#[test]
fn whoever_guesses_tokens_over_a_websocket_is_slowed_there_and_over_rest() {
    let data = tempfile::tempdir().unwrap();
    let args = ["--trusted-proxy", "127.0.0.0/8"];
    let service = Service::try_start_with(&data.path().join("data"), &[APP], &args).unwrap();
    let named = [("userId", "ada"), ("name", "Ada")];
    let good = service.post(APP, "/user/getToken.json", &named).ok().json()["token"].as_str().unwrap().to_owned();
    let connect = |address: &str, token: &str| {
        let mut socket = Socket::open_for(&service, address)?;
        let answer = socket.ask("connect", &json!({"token": token, "platform": "web"}));
        Ok::<_, u16>((answer, socket))
    };
    // Opened before anything is guessed.
    let mut early = Socket::open_for(&service, "192.0.2.66").unwrap();
    let refused = (0..200).find_map(|_| match connect("192.0.2.66", "nonsense") {
        Ok((answer, mut socket)) => {
            assert_eq!(answer["error"]["code"], 31_004, "{answer}");
            assert_eq!(socket.closed().code, 4501);
            None
        }
        Err(status) => Some(status),
    });
    assert_eq!(refused, Some(429), "200 guesses");
    let answer = early.ask("connect", &json!({"token": "nonsense", "platform": "web"}));
    assert_eq!((&answer["error"]["code"], early.closed().code), (&json!(20_607), 4007), "{answer}");
    let over_rest = |address: &str, token: &str| {
        let headers = [
            ("Authorization".to_owned(), format!("Bearer {token}")),
            ("X-Forwarded-For".to_owned(), address.to_owned()),
        ];
        service.request("GET", "/client/v1/me", &headers, b"").status
    };
    assert_eq!(over_rest("192.0.2.66", "nonsense"), 429, "it is one address");
    assert!(connect("198.51.100.7", &good).unwrap().0["result"].is_object(), "the user itself, from elsewhere");
    // Behind an address that a good token came from over a socket, nobody is refused for what others show.
    assert!((0..100).all(|_| over_rest("198.51.100.7", "nonsense") == 401));
    assert!(connect("198.51.100.7", &good).unwrap().0["result"].is_object());
}

#[test]
fn a_user_that_calls_too_often_is_told_so_with_the_numbers_of_the_platform() {
    let data = tempfile::tempdir().unwrap();
    let args = ["--client-requests-per-second", "1"];
    let service = Service::try_start_with(&data.path().join("data"), &[APP], &args).unwrap();
    let token = |user: &str| {
        let named = [("userId", user), ("name", user)];
        service.post(APP, "/user/getToken.json", &named).ok().json()["token"].as_str().unwrap().to_owned()
    };
    let (ada, bob) = (token("ada"), token("bob"));
    let call = |token: &str, path: &str| {
        let headers = [("Authorization".to_owned(), format!("Bearer {token}"))];
        service.request("GET", &format!("/client/v1/{path}"), &headers, b"")
    };
    assert!(refused(10, || call(&ada, "me")).is_none(), "the app has no limit");
    limit(&service, "platform");
    let told = |path: &str| refused(200, || call(&ada, path)).expect("200 calls").json()["code"].clone();
    assert_eq!((told("me"), told("friends")), (json!(20_607), json!(25_416)));
    assert_eq!(call(&bob, "me").status, 200, "somebody else");
}
