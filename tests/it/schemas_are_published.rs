//! A published event never changes its shape.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rollcall_schemas::Event;
use sha2::{Digest, Sha256};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas")
}

fn lock() -> BTreeMap<(String, u16), String> {
    let text = fs::read_to_string(root().join("published.lock")).unwrap();
    let entries: Vec<_> = text
        .lines()
        .map(|line| {
            let [name, version, digest] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
            ((name.to_owned(), version.parse().unwrap()), digest.to_owned())
        })
        .collect();
    let count = entries.len();
    let lock: BTreeMap<_, _> = entries.into_iter().collect();
    assert_eq!(lock.len(), count, "published.lock names an event version twice");
    lock
}

fn file(name: &str, version: u16) -> PathBuf {
    let (aggregate, event) = name.split_once('.').unwrap();
    root().join(aggregate).join(format!("{event}.v{version}.json"))
}

#[test]
fn every_published_schema_is_as_its_lock_says() {
    for ((name, version), digest) in lock() {
        let text = fs::read(file(&name, version)).unwrap_or_else(|e| panic!("schema of {name} v{version}: {e}"));
        let found: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(found, digest, "the schema of {name} v{version} was changed after it was published");
    }
}

#[test]
fn every_declared_event_has_the_shape_that_was_published() {
    let lock = lock();
    for declaration in Event::declarations() {
        let key = (declaration.name.to_owned(), declaration.version);
        assert!(
            lock.contains_key(&key),
            "{} v{} is not published: run `cargo run -p rollcall-schemas --example publish`",
            declaration.name,
            declaration.version
        );
        let text = fs::read_to_string(file(declaration.name, declaration.version)).unwrap();
        let published: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(published, (declaration.schema)(), "{} changed its shape: make a new version", declaration.name);
    }
}

#[test]
fn no_published_event_was_forgotten() {
    let declared: Vec<_> = Event::declarations().map(|d| (d.name.to_owned(), d.version)).collect();
    for key in lock().into_keys() {
        assert!(declared.contains(&key), "{} v{} is published but no longer readable", key.0, key.1);
    }
}
