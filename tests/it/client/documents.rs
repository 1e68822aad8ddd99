//! What the documents say of the face.

use std::collections::BTreeSet;

use std::process::{Command, Stdio};

use rollcall::live::close::Close;
use serde_json::{Value, json};

use super::{APP, token};
use crate::architecture::sources;
use crate::support::Service;

#[test]
fn the_documents_of_the_client_face_that_are_checked_in_are_current() {
    const WRITE: &str = "run `cargo run --all-features --example client_documents`";
    assert_eq!(rollcall::http::client_openapi(), include_str!("../../../schemas/api/client-openapi.json"), "{WRITE}");
    assert_eq!(rollcall::http::client_asyncapi(), include_str!("../../../schemas/api/client-asyncapi.json"), "{WRITE}");
}

/// What the documentation says of a close code, and which test meets it, cannot be forgotten.
#[test]
fn every_close_code_is_in_both_documents_with_its_reason_and_is_met_by_a_test() {
    let guide = include_str!("../../../docs/client.md");
    let asyncapi: Value = serde_json::from_str(rollcall::http::client_asyncapi()).unwrap();
    let described = asyncapi["info"]["description"].as_str().unwrap();
    let rows: Vec<_> = guide.lines().filter(|line| line.starts_with("| 4")).collect();
    let told: Vec<_> = described.lines().filter(|line| line.starts_with('4')).collect();
    let tests: Vec<_> = sources("tests/it").into_iter().filter(|path| !path.ends_with(file!())).collect();
    let tests: Vec<_> = tests.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
    assert_eq!((rows.len(), told.len()), (Close::ALL.len(), Close::ALL.len()));
    for ((Close { code, reason }, row), told) in Close::ALL.iter().zip(rows).zip(told) {
        assert!(row.starts_with(&format!("| {code} | {reason} |")), "{code} {reason}: {row}");
        assert_eq!(*told, format!("{code}: {reason}"));
        let code = code.to_string();
        let is_met = |test: &String| test.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == code);
        assert!(tests.iter().any(is_met), "no test meets {code}");
    }
}

/// Every reference in a document.
fn references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
            members.values().for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[test]
fn every_reference_of_the_documents_leads_somewhere_and_every_method_is_in_both() {
    let documents = [rollcall::http::client_openapi(), rollcall::http::client_asyncapi()];
    let [openapi, asyncapi] = documents.map(|text| serde_json::from_str::<Value>(text).unwrap());
    for document in [&openapi, &asyncapi] {
        let mut found = BTreeSet::new();
        references(document, &mut found);
        assert!(found.len() > 10);
        for reference in found {
            assert!(document.pointer(reference.strip_prefix('#').unwrap()).is_some(), "{reference}");
        }
    }
    let paths = openapi["paths"].as_object().unwrap().values();
    let operations = paths.flat_map(|item| item.as_object().unwrap().values());
    let rest: BTreeSet<_> = operations.map(|operation| operation["operationId"].as_str().unwrap()).collect();
    let received = asyncapi["operations"].as_object().unwrap().iter().filter(|(_, o)| o["action"] == "receive");
    let mut socket: BTreeSet<_> = received.map(|(name, _)| name.as_str()).collect();
    assert!(socket.remove("connect"));
    socket.insert("me.export");
    assert_eq!(rest, socket);
}

/// The first block of a language in the documentation, with the service in place of the one that it names.
fn shown(language: &str, service: &Service) -> String {
    let document = include_str!("../../../docs/client.md");
    // The first section starts a service of its own.
    let (_, rest) = document.split_once("## REST\n").unwrap();
    let block = rest.split_once(&format!("```{language}\n")).unwrap().1.split("```").next().unwrap();
    block.replace("127.0.0.1:8080", &service.address.to_string())
}

#[test]
fn the_calls_that_the_documentation_shows_with_curl_and_python_are_answered() {
    let service = Service::start(&[APP]);
    let ada = token(&service, APP, "ada");
    service.register(APP, &["bob", "eve"]);
    let (calls, program) = (shown("sh", &service), shown("python", &service));
    let (placeholder, calls) = calls.split_once('\n').unwrap();
    assert!(placeholder.starts_with("TOKEN=…"), "{placeholder}");
    let run = |interpreter: &str, text: &str| {
        let output = Command::new(interpreter).args(["-c", text]).env("TOKEN", &ada).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let told = run("bash", calls);
    assert!(told.contains("\"user_id\":\"ada\"") && told.contains("London"), "{told}");
    assert!(!told.contains("urn:rollcall:problem"), "{told}");
    let lines = run("python3", &program);
    let lines: Vec<_> = lines.lines().collect();
    assert!(matches!(lines[..], [_, _, "None", "{'users': [{'user_id': 'bob'}], 'next': None}"]), "{lines:?}");
}

#[test]
fn the_client_that_the_documentation_shows_connects_asks_and_is_told_why_it_is_cut() {
    let document = include_str!("../../../docs/client.md");
    let program = document.split("```js\n").nth(1).unwrap().split("```").next().unwrap();
    let service = Service::start(&[APP]);
    let ada = token(&service, APP, "ada");
    let at = format!("ws://{}/", service.address);
    let mut node = Command::new("node")
        .args(["--experimental-websocket", "--input-type=module", "-e", &program.replace("ws://127.0.0.1:8080/", &at)])
        .env("TOKEN", &ada)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(node.stdout.take().unwrap()));
    let mut next = || lines.next().unwrap().unwrap();
    let connected: Value = serde_json::from_str(&next()).unwrap();
    assert_eq!(connected["result"]["user_id"], json!("ada"), "{connected}");
    let friends: Value = serde_json::from_str(&next()).unwrap();
    assert_eq!(friends["result"]["friends"], json!([]), "{friends}");
    service.post(APP, "/user/block.json", &[("userId", "ada"), ("minute", "5")]).ok();
    let closed = next();
    assert!(closed.starts_with("closed 4504 31011 the user was banned"), "{closed}");
    assert!(node.wait().unwrap().success());
}
