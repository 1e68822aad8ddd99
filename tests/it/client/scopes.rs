//! What an access token of few scopes lets in.

use serde_json::{Value, json};

use super::{APP, Closed, Socket, call, token};
use crate::support::{Reply, Service};

const SCOPES: [&str; 4] = ["read", "write", "connect", "account"];

/// A token of Ada's with these scopes.
#[track_caller]
fn scoped(service: &Service, scopes: &[&str]) -> String {
    let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    let body = json!({"scopes": scopes}).to_string();
    let issued = service.request("POST", "/api/v1/users/ada/tokens", &headers, body.as_bytes());
    assert_eq!(issued.status, 201, "{}", issued.text);
    issued.json()["token"].as_str().unwrap().to_owned()
}

/// One operation of the document.
struct Documented {
    name: String,
    verb: String,
    path: String,
    scope: String,
}

fn documented() -> Vec<Documented> {
    let document: Value = serde_json::from_str(rollcall::http::client_openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, verbs)| {
        verbs.as_object().unwrap().iter().map(move |(verb, operation)| {
            let text = |at: &str| operation.pointer(at).unwrap().as_str().unwrap().to_owned();
            let path = path.strip_prefix("/client/v1/").unwrap();
            Documented {
                name: text("/operationId"),
                verb: verb.to_uppercase(),
                path: path
                    .replace("{user_id}", "bob")
                    .replace("{unique_id}", "nobody")
                    .replace("{group_id}", "1")
                    .replace("{request_id}", "00000000-0000-0000-0000-000000000001"),
                scope: text("/security/0/access_token/0"),
            }
        })
    });
    operations.collect()
}

/// Whether a token with one scope may do what another one is for.
fn permits(has: &str, needs: &str) -> bool {
    has == needs || (needs == "read" && ["write", "connect"].contains(&has))
}

fn is_missing(problem: &Value) -> bool {
    problem["type"] == "urn:rollcall:problem:scope-missing"
}

#[track_caller]
fn check_rest(operation: &Documented, has: &str, reply: &Reply) {
    let Documented { name, scope, .. } = operation;
    if permits(has, scope) {
        assert!(!reply.text.contains("scope-missing"), "{has}: {name}: {}", reply.text);
        return;
    }
    let json = reply.json();
    assert_eq!((reply.status, is_missing(&json)), (403, true), "{has}: {name}: {json}");
    assert!(json["detail"].as_str().unwrap().contains(&format!("`{scope}`")), "{json}");
    let challenge = format!("Bearer error=\"insufficient_scope\", scope=\"{scope}\"");
    assert_eq!(reply.header("www-authenticate"), Some(&*challenge));
}

#[test]
fn every_method_refuses_a_token_without_its_scope_by_name_and_takes_one_that_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let args = ["--client-requests-per-second", "1000"];
    let service = Service::try_start_with(&dir.path().join("data"), &[APP], &args).unwrap();
    let whole = token(&service, APP, "ada");
    service.register(APP, &["bob"]);
    let documented = documented();
    assert!(
        documented.len() > 30 && SCOPES.iter().all(|it| *it == "connect" || documented.iter().any(|o| o.scope == *it))
    );
    let tokens = SCOPES.map(|scope| (scope, scoped(&service, &[scope])));
    for operation in &documented {
        for (has, token) in &tokens {
            let reply = call(&service, token, &operation.verb, &operation.path, "");
            check_rest(operation, has, &reply);
        }
        let reply = call(&service, &whole, &operation.verb, &operation.path, "");
        assert!(!reply.text.contains("scope-missing"), "{}: {}", operation.name, reply.text);
    }
    for (has, token) in &tokens {
        let unknown = call(&service, token, "GET", "nothing", "");
        assert_eq!(unknown.status, 404, "{has}: {}", unknown.text);
    }

    let (mut socket, _) = Socket::connect(&service, &tokens[2].1);
    let (mut both, _) =
        Socket::connect_with(&service, &json!({"token": scoped(&service, &["connect", "write"]), "platform": "ios"}));
    for Documented { name, scope, .. } in documented.iter().filter(|operation| operation.name != "me.export") {
        let refused = is_missing(&socket.ask(name, &json!({}))["error"]["data"]);
        assert_eq!(refused, scope != "read", "{name}");
        let refused = is_missing(&both.ask(name, &json!({}))["error"]["data"]);
        assert_eq!(refused, scope == "account", "{name}");
    }
}

#[test]
fn only_a_token_with_the_scope_connect_opens_a_socket_and_it_is_told_what_changes() {
    let service = Service::start(&[APP]);
    token(&service, APP, "ada");
    service.register(APP, &["bob"]);
    for scope in ["read", "write", "account"] {
        let mut socket = Socket::open(&service);
        let answer = socket.ask("connect", &json!({"token": scoped(&service, &[scope]), "platform": "web"}));
        assert!(is_missing(&answer["error"]["data"]), "{scope}: {answer}");
        assert_eq!(socket.closed(), Closed::of(4513, "31004 the access token needs the scope connect"));
    }
    let online = service.post(APP, "/user/checkOnline.json", &[("userId", "ada")]).ok();
    assert_eq!(online.json()["status"], "0", "nobody of them was shown online");
    let (mut socket, _) = Socket::connect(&service, &scoped(&service, &["connect"]));
    service.post(APP, "/user/blacklist/add.json", &[("userId", "ada"), ("blackUserId", "bob")]).ok();
    assert_eq!(socket.told().0, "blocklist.changed");
    let kept = socket.ask("blocklist.add", &json!({"user_id": "bob"}));
    assert!(is_missing(&kept["error"]["data"]), "{kept}");
}

#[test]
fn what_a_token_of_few_scopes_is_refused_is_not_answered_from_what_another_one_did_under_the_same_key() {
    let service = Service::start(&[APP]);
    let whole = token(&service, APP, "ada");
    service.register(APP, &["bob"]);
    let add = |token: &str| {
        let headers = [
            ("Authorization".to_owned(), format!("Bearer {token}")),
            ("Idempotency-Key".to_owned(), "the same".to_owned()),
        ];
        service.request("POST", "/client/v1/friends", &headers, br#"{"user_id": "bob"}"#)
    };
    assert!(add(&whole).status < 300);
    let refused = add(&scoped(&service, &["read"]));
    assert_eq!((refused.status, is_missing(&refused.json())), (403, true), "{}", refused.text);
    assert!(add(&scoped(&service, &["write"])).status < 300, "who may write is answered as before");
}
