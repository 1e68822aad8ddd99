//! The cell in HashiCorp Vault, against a double that keeps the state of a transit key, and against a real Vault where
//! `VAULT_ADDR` names one.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Embedded, Error, Vault, destroy_all, opens, sealed};
use crate::privacy::Finality;
use crate::privacy::embedded::root_cell::transit::{Server, TransitCell};
use crate::privacy::embedded::root_cell::{Root, RootCell};
use crate::privacy::embedded::store::Taken;
use crate::privacy::embedded::wrapping;

/// One transit key: its versions, as far as they were not trimmed.
#[derive(Default)]
struct Key {
    versions: HashMap<u64, [u8; 32]>,
    newest: u64,
    least: u64,
}

#[derive(Default)]
struct State {
    keys: HashMap<String, Key>,
    /// Paths that fail from now on.
    fails: Vec<&'static str>,
    calls: Vec<String>,
}

type Shared = Arc<Mutex<State>>;

fn no(reason: &str) -> HttpResponse {
    HttpResponse::BadRequest().json(json!({"errors": [reason]}))
}

/// An answer with data, as Vault frames it.
fn yes(data: &Value) -> HttpResponse {
    HttpResponse::Ok().json(json!({
        "request_id": "1", "lease_id": "", "renewable": false, "lease_duration": 0, "data": data, "wrap_info": null,
        "warnings": null, "auth": null
    }))
}

fn rotate(key: &mut Key) {
    key.newest += 1;
    key.versions.insert(key.newest, *wrapping::random().unwrap());
}

fn bytes(body: &Value, name: &str) -> Vec<u8> {
    BASE64_STANDARD.decode(body[name].as_str().unwrap_or_default()).unwrap()
}

async fn answer(state: web::Data<Shared>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    let mut state = state.lock().unwrap();
    let path = request.path().trim_start_matches("/v1/transit/").to_owned();
    state.calls.push(path.clone());
    if request.headers().get("X-Vault-Token").is_none_or(|token| token != "token") {
        return HttpResponse::Forbidden().json(json!({"errors": ["permission denied"]}));
    }
    if state.fails.iter().any(|part| path.contains(part)) {
        return HttpResponse::ServiceUnavailable().json(json!({"errors": ["sealed"]}));
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let parts: Vec<&str> = path.split('/').collect();
    let name = parts[1].to_owned();
    if let (["keys", _], false) = (parts.as_slice(), state.keys.contains_key(&name)) {
        rotate(state.keys.entry(name).or_default());
        return HttpResponse::NoContent().finish();
    }
    let Some(key) = state.keys.get_mut(&name) else { return no("no such key") };
    match parts.as_slice() {
        ["keys", _] => HttpResponse::NoContent().finish(),
        ["keys", _, "rotate"] => {
            rotate(key);
            HttpResponse::NoContent().finish()
        }
        ["keys", _, "config"] => {
            key.least = body["min_decryption_version"].as_u64().unwrap();
            HttpResponse::NoContent().finish()
        }
        ["keys", _, "trim"] => {
            let least = body["min_available_version"].as_u64().unwrap();
            if least > key.least {
                return no("cannot trim what may still be decrypted");
            }
            key.versions.retain(|version, _| *version >= least);
            HttpResponse::NoContent().finish()
        }
        ["encrypt", _] => {
            let plaintext = Zeroizing::new(bytes(&body, "plaintext"));
            let sealed =
                wrapping::seal(&key.versions[&key.newest], &bytes(&body, "associated_data"), plaintext).unwrap();
            let ciphertext = format!("vault:v{}:{}", key.newest, BASE64_STANDARD.encode(sealed));
            yes(&json!({"ciphertext": ciphertext}))
        }
        ["decrypt", _] => {
            let ciphertext = body["ciphertext"].as_str().unwrap();
            let mut parts = ciphertext.strip_prefix("vault:v").unwrap().splitn(2, ':');
            let version: u64 = parts.next().unwrap().parse().unwrap();
            let sealed = BASE64_STANDARD.decode(parts.next().unwrap()).unwrap();
            let allowed = key.versions.get(&version).filter(|_| version >= key.least);
            let Some(of_version) = allowed else {
                return no("ciphertext or signature version is disallowed by policy (too old)");
            };
            match wrapping::open(of_version, &bytes(&body, "associated_data"), &sealed).unwrap() {
                Some(plaintext) => yes(&json!({"plaintext": BASE64_STANDARD.encode(plaintext.as_slice())})),
                None => no("cipher: message authentication failed"),
            }
        }
        _ => no("unsupported path"),
    }
}

/// A double, and how it is spoken to.
fn double() -> (Shared, Server) {
    let state = Shared::default();
    let (ready, started) = std::sync::mpsc::channel();
    let shared = state.clone();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let data = web::Data::new(shared);
            let server = HttpServer::new(move || App::new().app_data(data.clone()).default_service(web::to(answer)))
                .workers(1)
                .disable_signals()
                .bind("127.0.0.1:0")
                .unwrap();
            ready.send(server.addrs()[0]).unwrap();
            server.run().await.unwrap();
        });
    });
    let address = format!("http://{}", started.recv().unwrap());
    (state, Server { address, token: "token".into(), namespace: None })
}

fn cell(server: &Server, dir: &Path) -> TransitCell {
    TransitCell::new(server.clone(), "rollcall", &dir.join("transit.cell"))
}

fn open(server: &Server, dir: &Path) -> Result<Embedded, Error> {
    Embedded::over(dir, Box::new(cell(server, dir)), Taken::Refuse)
}

/// What a vault over a transit cell must do, whoever plays Vault.
fn serves_a_vault(server: &Server) {
    let dir = tempfile::tempdir().unwrap();
    let vault = open(server, dir.path()).unwrap();
    let values = sealed(&vault, 3);
    let copies: PathBuf = dir.path().join("copies");
    std::fs::create_dir(&copies).unwrap();
    for name in ["vault.db", "vault.db-wal", "transit.cell"] {
        let _ = std::fs::copy(dir.path().join(name), copies.join(name));
    }
    assert!(
        opens(&open(server, &copies).unwrap(), &values[0]),
        "the control: a whole copy opens while its version lives"
    );
    destroy_all(&vault, &[&values[0]]);
    vault.rotate().unwrap();
    assert_eq!(vault.finality(), Finality::Immediate);
    drop(vault);
    assert!(matches!(open(server, &copies).err(), Some(Error::Damaged(_))), "no copy opens, that of the cell included");
    let vault = open(server, dir.path()).unwrap();
    assert!(!opens(&vault, &values[0]) && opens(&vault, &values[1]));
}

#[test]
fn a_root_in_vault_dies_with_its_version_and_no_copy_brings_it_back() {
    let (state, server) = double();
    serves_a_vault(&server);
    let state = state.lock().unwrap();
    assert_eq!(state.keys["rollcall"].versions.len(), 1, "older versions are trimmed");
    if let Ok(real) = Server::from_environment() {
        serves_a_vault(&real);
    }
}

#[test]
fn a_rotation_that_vault_cuts_short_anywhere_is_whole_or_not_begun() {
    for part in ["rotate", "encrypt", "config", "trim"] {
        let (state, server) = double();
        let dir = tempfile::tempdir().unwrap();
        let vault = open(&server, dir.path()).unwrap();
        let values = sealed(&vault, 2);
        // Where a key cannot be rotated it is tried to create it.
        state.lock().unwrap().fails = if part == "rotate" { vec!["keys/rollcall"] } else { vec![part] };
        let refused = vault.destroy(&[super::doomed(values[0].0.subject, &super::Class::ALL)]);
        assert!(matches!(refused, Err(Error::Unavailable(_))), "{part}");
        assert!(opens(&vault, &values[1]), "{part}: what is open stays open");
        state.lock().unwrap().fails.clear();
        drop(vault);
        let vault = open(&server, dir.path()).unwrap();
        destroy_all(&vault, &[&values[0]]);
        assert!(!opens(&vault, &values[0]) && opens(&vault, &values[1]), "{part}");
        let least = state.lock().unwrap().keys["rollcall"].versions.keys().min().copied();
        assert_eq!(least, Some(newest_version(dir.path())), "{part}: nothing older is left in Vault");
    }
}

/// The version the file names.
fn newest_version(dir: &Path) -> u64 {
    let held: Value = serde_json::from_slice(&std::fs::read(dir.join("transit.cell")).unwrap()).unwrap();
    assert_eq!(held.as_array().map(Vec::len), Some(1));
    held[0]["version"].as_u64().unwrap()
}

#[test]
fn without_vault_or_with_a_wrong_token_nothing_opens_and_nothing_is_lost() {
    let (_state, server) = double();
    let dir = tempfile::tempdir().unwrap();
    let value = sealed(&open(&server, dir.path()).unwrap(), 1).remove(0);
    let nowhere = Server { address: "http://127.0.0.1:9".into(), ..server.clone() };
    let wrong = Server { token: "another".into(), ..server.clone() };
    for server in [&nowhere, &wrong] {
        let Some(Error::Unavailable(said)) = open(server, dir.path()).err() else { panic!("it opened") };
        assert!(said.contains("Vault") && !said.contains("another"), "{said}");
    }
    assert!(opens(&open(&server, dir.path()).unwrap(), &value));
}

#[test]
fn a_ciphertext_is_bound_to_its_vault_and_generation() {
    let (_state, server) = double();
    let dir = tempfile::tempdir().unwrap();
    let cell = cell(&server, dir.path());
    cell.put([1; 16], 7, &Root::new([9; 32])).unwrap();
    assert_eq!(cell.root([1; 16], 7).unwrap().map(|root| *root), Some([9; 32]));
    let moved = std::fs::read_to_string(dir.path().join("transit.cell"))
        .unwrap()
        .replace("\"generation\":7", "\"generation\":8");
    std::fs::write(dir.path().join("transit.cell"), moved).unwrap();
    assert!(cell.root([1; 16], 8).unwrap().is_none() && cell.root([1; 16], 7).unwrap().is_none());
    assert!(!cell.is_empty().unwrap());
    cell.keep_only([1; 16], 9).unwrap();
    assert!(cell.is_empty().unwrap());
}
