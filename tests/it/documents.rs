//! The documents of the faces, held against the official schemas and against themselves.

use std::process::Command;

use serde_json::{Value, json};

use crate::sdk::{PACKAGES, said};

/// Each OpenAPI document, with its name.
fn openapi() -> [(&'static str, &'static str); 2] {
    [("openapi.json", rollcall::http::openapi()), ("client-openapi.json", rollcall::http::client_openapi())]
}

fn parsed(document: &str) -> Value {
    serde_json::from_str(document).unwrap()
}

#[test]
fn the_openapi_documents_are_valid_by_the_official_schema_of_3_1() {
    let directory = tempfile::tempdir().unwrap();
    for (name, document) in openapi() {
        assert_eq!(&parsed(document)["openapi"].as_str().unwrap()[..3], "3.1");
        let file = directory.path().join(name);
        std::fs::write(&file, document).unwrap();
        let python = PACKAGES.join("openapi/bin/python");
        let output = Command::new(python).args(["-m", "openapi_spec_validator"]).arg(file).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
}

#[test]
fn the_asyncapi_document_is_valid_by_the_official_schema_of_3_0() {
    let schema = PACKAGES.join("asyncapi/node_modules/@asyncapi/specs/schemas/3.0.0-without-$id.json");
    let schema = parsed(&std::fs::read_to_string(schema).unwrap());
    let validator = jsonschema::validator_for(&schema).unwrap();
    let document = parsed(rollcall::http::client_asyncapi());
    let faults: Vec<_> = validator.iter_errors(&document).map(|error| error.to_string()).collect();
    assert!(faults.is_empty(), "{faults:#?}");
    // It finds what is wrong.
    let mut broken = document;
    broken["operations"]["connect"]["action"] = "shout".into();
    assert!(!validator.is_valid(&broken));
}

/// Why a value does not fit a schema of a document.
fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    // References lead into the document.
    let whole = json!({"allOf": [schema], "components": document["components"]});
    let validator = jsonschema::validator_for(&whole).unwrap();
    validator.iter_errors(value).map(|error| error.to_string()).collect()
}

/// Collects what is wrong with each example below a value: beside a `schema` (of a parameter or a content), in a schema itself, or
/// of a message.
fn check(document: &Value, at: &Value, place: &str, wrong: &mut Vec<String>) {
    if let Some(schema) = at.get("schema").or(at.get("payload")).filter(|schema| schema.is_object()) {
        let named = at["examples"].as_object().into_iter().flatten().map(|(_, example)| &example["value"]);
        let listed = at["examples"].as_array().into_iter().flatten().map(|example| &example["payload"]);
        for example in at.get("example").into_iter().chain(named).chain(listed) {
            wrong.extend(faults(document, schema, example).into_iter().map(|fault| format!("{place}: {fault}")));
        }
    } else if at.get("type").is_some_and(|kind| kind.is_string() || kind.is_array()) {
        let listed = at["examples"].as_array().into_iter().flatten();
        for example in at.get("example").into_iter().chain(listed) {
            wrong.extend(faults(document, at, example).into_iter().map(|fault| format!("{place}: {fault}")));
        }
    }
    let members = at.as_object().into_iter().flatten();
    for (name, member) in members.filter(|(name, _)| !matches!(&***name, "example" | "examples")) {
        check(document, member, &format!("{place}/{name}"), wrong);
    }
    for (index, item) in at.as_array().into_iter().flatten().enumerate() {
        check(document, item, &format!("{place}/{index}"), wrong);
    }
}

#[test]
fn every_example_of_the_documents_fits_its_schema() {
    let mut wrong = vec![];
    for (name, document) in openapi().into_iter().chain([("asyncapi", rollcall::http::client_asyncapi())]) {
        let document = parsed(document);
        check(&document, &document, name, &mut wrong);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // It finds what is wrong.
    let broken = json!({"content": {"schema": {"type": "string"}, "example": 1}});
    check(&broken, &broken, "", &mut wrong);
    assert_eq!(wrong.len(), 1, "{wrong:#?}");
}

#[test]
fn every_operation_that_takes_a_body_shows_an_example_of_it_and_every_operation_is_in_a_group() {
    let mut without = vec![];
    for (name, document) in openapi() {
        let document = parsed(document);
        let operations =
            document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
        for operation in operations {
            let content = &operation["requestBody"]["content"]["application/json"];
            let schema = match content["schema"]["$ref"].as_str() {
                Some(reference) => document.pointer(&reference[1..]).unwrap(),
                None => &content["schema"],
            };
            let shown = [content, schema].iter().any(|at| at.get("example").or(at.get("examples")).is_some());
            if content.is_object() && !shown {
                without.push(format!("{name}: {}", operation["operationId"]));
            }
            assert!(operation["tags"][0].is_string(), "{operation}");
        }
    }
    assert!(without.is_empty(), "name one in `examples.rs` beside the table, or at the type of the body: {without:#?}");
}
