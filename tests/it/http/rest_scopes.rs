//! Every endpoint the document names, asked with and without the scope it says it needs.

use serde_json::{Value, json};

use crate::support::{App, Reply, Service, rollcall};

const APP: App = App::PRODUCTION;
const SCOPES: [&str; 4] = ["server", "moderator", "compliance", "operator"];

/// A new API key with these scopes.
#[track_caller]
fn key(service: &Service, scopes: &[&str]) -> String {
    let scopes = scopes.iter().flat_map(|scope| ["--scope", scope]);
    let args: Vec<_> = ["apps", "add-key", APP.key].into_iter().chain(scopes).collect();
    let output = rollcall(&args, service.data());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Method, path and scope of everything in the document.
fn documented() -> Vec<(String, String, String)> {
    let document: Value = serde_json::from_str(include_str!("../../../schemas/api/openapi.json")).unwrap();
    let paths = document["paths"].as_object().unwrap().iter();
    let operations = paths.flat_map(|(path, methods)| {
        methods.as_object().unwrap().iter().map(move |(method, operation)| {
            let scope = operation["security"][0]["api_key"][0].as_str().unwrap();
            (
                method.to_uppercase(),
                path.replace("{id}", "nobody")
                    .replace("{number}", "nobody")
                    .replace("{target}", "somebody")
                    .replace("{other}", "somebody")
                    .replace("{token_id}", "nothing")
                    .replace("{uniqueId}", "nobody")
                    .replace("{request_id}", "1")
                    .replace("{group_id}", "1")
                    .replace("{name}", "nobody")
                    .replace("{stream}", "user-nobody")
                    .replace("{key}", APP.key),
                scope.to_owned(),
            )
        })
    });
    operations.collect()
}

#[test]
fn every_endpoint_refuses_a_key_without_its_scope_by_name_and_takes_one_with_nothing_else() {
    let mut service = Service::start(&[APP]);
    service.stop();
    let only = SCOPES.map(|scope| (scope, key(&service, &[scope])));
    let without = SCOPES.map(|scope| {
        let others: Vec<_> = SCOPES.into_iter().filter(|other| *other != scope).collect();
        (scope, key(&service, &others))
    });
    let service = Service::start_in(service.data(), &[APP]);
    let of = |keys: &[(&str, String)], scope: &str| keys.iter().find(|(of, _)| *of == scope).unwrap().1.clone();
    let call = |bearer: &str, method: &str, path: &str| -> Reply {
        service.request(method, path, &[("Authorization".to_owned(), format!("Bearer {bearer}"))], b"")
    };
    let documented = documented();
    assert!(documented.len() > 20, "{documented:?}");
    for (method, path, scope) in documented {
        let refused = call(&of(&without, &scope), &method, &path);
        let json = refused.json();
        assert_eq!(
            (refused.status, json["type"].as_str()),
            (403, Some("urn:rollcall:problem:scope-missing")),
            "{path}"
        );
        assert!(json["detail"].as_str().unwrap().contains(&format!("`{scope}`")), "{path}: {json}");
        let taken = call(&of(&only, &scope), &method, &path);
        assert!(!matches!(taken.status, 401 | 403 | 405 | 500..), "{method} {path}: {} {}", taken.status, taken.text);
        assert!(!taken.text.contains("no-such-endpoint"), "{method} {path}");
        assert_eq!(call("rk_nobody_x", &method, &path).status, 401, "{method} {path}");
    }
}

/// What APP has, by the first words of a path: what stands there for each parameter.
fn of_the_app(
    service: &Service,
    call: impl Fn(&str, &str, &Value) -> Reply,
) -> Vec<(&'static str, Vec<(&'static str, String)>)> {
    let told = |reply: &Reply, member: &str| match &reply.json()[member] {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        other => panic!("{member} is {other}: {}", reply.text),
    };
    for user in ["ada", "bob", "eve", "joe", "zed"] {
        call("PUT", &format!("users/{user}"), &json!({"name": format!("Canary {user}")}));
    }
    call("PUT", "users/ada/friends/bob", &Value::Null);
    call("PUT", "users/ada/remarks/bob", &json!({"remark": "Canary remark"}));
    call("PUT", "users/ada/friend-groups/1", &json!({"label": "Canary group"}));
    call("PUT", "users/ada/tags", &json!({"tags": ["Canarytag"]}));
    call("PUT", "users/ada/blocklist/joe", &Value::Null);
    call("PUT", "users/eve/ban", &json!({"minutes": 60, "reason": "Canary reason"}));
    call("PATCH", "users/ada/profile", &json!({"location": "Canary town", "uniqueId": "canaryid"}));
    let request = told(&call("POST", "users/eve/friends", &json!({"user_id": "ada", "text": "Canary"})), "request_id");
    let token = told(&call("POST", "users/ada/tokens", &Value::Null), "token_id");
    let operation = told(
        &call("POST", "bans/batch", &json!({"user_ids": ["bob"], "minutes": 5, "reason": "Canary"})),
        "operation_id",
    );
    let hook = json!({"url": "https://hooks.invalid/Canary", "types": ["rollcall.user.*"]});
    let hook = told(&call("POST", "webhooks", &hook), "webhook_id");
    let asked = json!({"user_id": "ada", "kind": "access", "due_at": "2099-01-01T00:00:00Z"});
    let asked = told(&call("POST", "compliance/requests", &asked), "id");
    let erasure = json!({"user_id": "zed", "scope": "deactivate", "due_at": "2099-01-01T00:00:00Z"});
    let erasure = told(&call("POST", "erasures", &erasure), "id");
    let import = call("POST", "imports?kind=users", &json!({"user_id": "kim", "name": "Canary kim"}));
    let import = told(&import, "operation_id");
    service.eventually("the bulk operation has ended", |_| {
        call("GET", &format!("operations/{operation}"), &Value::Null).json()["state"] != "running"
    });
    vec![
        (
            "users",
            vec![
                ("id", "ada".into()),
                ("target", "bob".into()),
                ("other", "bob".into()),
                ("group_id", "1".into()),
                ("token_id", token),
                ("request_id", request),
                ("uniqueId", "canaryid".into()),
            ],
        ),
        ("operations", vec![("id", operation)]),
        ("imports", vec![("id", import)]),
        ("webhooks", vec![("id", hook)]),
        ("compliance", vec![("id", asked)]),
        ("erasures", vec![("id", erasure)]),
        ("apps", vec![("key", APP.key.into()), ("number", "1".into())]),
        // Each app numbers its own.
        ("api-keys", vec![("number", "99".into())]),
        ("read-models", vec![("name", "nobody".into())]),
        ("parked", vec![("stream", "user-nobody".into())]),
    ]
}

#[test]
fn no_endpoint_tells_or_changes_what_another_app_has() {
    let mut service = Service::start(&[APP, App::OTHER]);
    service.stop();
    let [ours, theirs] = [APP, App::OTHER].map(|app| {
        let scopes = SCOPES.iter().flat_map(|scope| ["--scope", scope]);
        let args: Vec<_> = ["apps", "add-key", app.key].into_iter().chain(scopes).collect();
        let output = rollcall(&args, service.data());
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    });
    service.restart();
    let call = |bearer: &str, method: &str, path: &str, body: &Value| {
        let kind = if path.starts_with("imports") { "application/x-ndjson" } else { "application/json" };
        let headers = [("Authorization", format!("Bearer {bearer}")), ("Content-Type", kind.to_owned())];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        service.request(
            method,
            &format!("/api/v1/{path}"),
            &headers.map(|(name, value)| (name.to_owned(), value)),
            body.as_bytes(),
        )
    };
    let there = of_the_app(&service, |method, path, body| {
        let reply = call(&ours, method, path, body);
        assert!(reply.status < 300, "{method} {path}: {} {}", reply.status, reply.text);
        reply
    });
    let document: Value = serde_json::from_str(include_str!("../../../schemas/api/openapi.json")).unwrap();
    let mut places = vec![];
    for (template, methods) in document["paths"].as_object().unwrap() {
        let mut path = template.strip_prefix("/api/v1/").unwrap().to_owned();
        let first = path.split('/').next().unwrap().to_owned();
        for (name, value) in there.iter().filter(|(of, _)| *of == first).flat_map(|(_, parameters)| parameters) {
            path = path.replace(&format!("{{{name}}}"), value);
        }
        assert!(!path.contains('{'), "say in this test what stands in {path}");
        places.extend(methods.as_object().unwrap().keys().map(|method| (method.to_uppercase(), path.clone())));
    }
    // What looks at the past tells of the time in which it is asked, a list of events of what was asked, and that of keys of when.
    let is_steady = |path: &str| {
        ![
            "api-keys",
            "as-of",
            "history",
            "diff",
            "events",
            "estate",
            "status",
            "read-models",
            "nodes",
            "export",
            "erasures",
            "webhooks",
        ]
        .iter()
        .any(|word| path.contains(word))
    };
    let seen = || {
        let asked = places.iter().filter(|(method, path)| method == "GET" && is_steady(path));
        asked.map(|(_, path)| (path.clone(), call(&ours, "GET", path, &Value::Null).text)).collect::<Vec<_>>()
    };
    let before = seen();
    assert!(before.iter().filter(|(_, text)| text.contains("anary")).count() > 10, "{before:#?}");
    for (method, path) in &places {
        // It would begin to build one.
        if path.starts_with("read-models") {
            continue;
        }
        let told = call(&theirs, method, path, &Value::Null);
        assert!(!told.text.contains("anary"), "{method} {path}: {}", told.text);
        assert!(told.status < 500, "{method} {path}: {}", told.text);
    }
    for ((path, before), (_, after)) in before.into_iter().zip(seen()) {
        assert_eq!(before, after, "{path}");
    }
    let hook = places.iter().find(|(method, path)| method == "DELETE" && path.starts_with("webhooks/")).unwrap();
    assert_eq!(call(&ours, "GET", &hook.1, &Value::Null).json()["enabled"], true, "it is still there");
}
