//! The PyPI package `schemathesis` takes the documents at their word: nothing that fits them is refused as malformed, every answer
//! is one that they tell, and nothing makes the service fail.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::sdk::{PACKAGES, said};
use crate::support::{App, Service, rollcall};

const APP: App = App::PRODUCTION;

/// Starts a service whose app has an API key with every scope, and a few users.
fn started() -> (Service, String) {
    let mut service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob", "eve"]);
    service.stop();
    let scopes = ["server", "moderator", "compliance", "operator"].iter().flat_map(|scope| ["--scope", scope]);
    let args: Vec<_> = ["apps", "add-key", APP.key].into_iter().chain(scopes).collect();
    let added = rollcall(&args, service.data());
    assert!(added.status.success(), "{}", said(&added));
    service.restart();
    (service, String::from_utf8(added.stdout).unwrap().trim().to_owned())
}

/// Asks what the document tells: each boundary once, and so many examples of each operation as each seed has them. `links` is the
/// number of ways that are gone from answer to call by the links of the document.
#[track_caller]
fn ask(service: &Service, document: &str, bearer: &str, (seeds, examples): (&[u32], u32), links: Option<u32>) {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/edge");
    let scratch = tempfile::tempdir().unwrap();
    let phases = |number| if number == 0 { "coverage,fuzzing" } else { "fuzzing" };
    let asked = seeds.iter().enumerate().map(|(number, seed)| (phases(number), *seed, examples));
    for (phases, seed, examples) in asked.chain(links.map(|ways| ("stateful", 1, ways))) {
        let output = Command::new(PACKAGES.join("schemathesis/bin/schemathesis"))
            .arg("--config-file")
            .arg(dir.join("schemathesis.toml"))
            .args(["run", &format!("http://{}{document}", service.address)])
            .args(["--header", &format!("Authorization: Bearer {bearer}")])
            .args(["--seed", &seed.to_string(), "--max-examples", &examples.to_string()])
            .args(["--phases", phases])
            .args(["--no-color", "--no-shrink", "--continue-on-failure", "--request-timeout", "60"])
            .env("SCHEMATHESIS_HOOKS", dir.join("schemathesis_hooks.py"))
            .env("APP_KEY", APP.key)
            .current_dir(scratch.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "{phases}, seed {seed}: {}", said(&output));
    }
    assert!(!service.errors().contains("panicked"), "{}", service.errors());
}

#[test]
fn the_rest_face_does_what_its_document_tells() {
    let (service, key) = started();
    ask(&service, "/openapi.json", &key, (&[1, 2], 3), Some(40));
}

#[test]
fn the_client_face_does_what_its_document_tells() {
    let (service, _) = started();
    let registered = service.post_json(APP, "/v4/auth/access-token/issue", &json!({"userId": "ada", "name": "Ada"}));
    let token = registered.json()["result"]["accessToken"].as_str().unwrap().to_owned();
    ask(&service, "/client/openapi.json", &token, (&[1, 2, 3], 6), None);
}
