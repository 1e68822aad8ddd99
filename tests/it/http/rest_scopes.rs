//! Every endpoint the document names, asked with and without the scope it says it needs.

use serde_json::Value;

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
