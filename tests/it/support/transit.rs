//! A double of HashiCorp Vault's transit engine: keys with versions, as the documentation of its API describes them.
//! It keeps what it "encrypts" in memory and answers with a handle, which is worth nothing without the double.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use serde_json::{Value, json};

/// The token that it accepts.
pub(crate) const TOKEN: &str = "token";

/// What one version of a key encrypted: associated data and plaintext.
type Encrypted = Vec<(String, String)>;

#[derive(Default)]
struct Key {
    /// The versions that were not trimmed.
    versions: HashMap<u64, Encrypted>,
    newest: u64,
    least: u64,
}

impl Key {
    fn rotate(&mut self) {
        self.newest += 1;
        self.versions.insert(self.newest, vec![]);
    }
}

#[derive(Default)]
struct State {
    keys: HashMap<String, Key>,
    fails: Vec<&'static str>,
    /// A word in the path of what is not answered.
    silent: Option<&'static str>,
    /// Requests that were taken and are not answered.
    unanswered: usize,
}

/// A double that runs until the process ends.
pub(crate) struct Transit {
    /// Where it is.
    pub(crate) address: String,
    state: Arc<Mutex<State>>,
}

impl Transit {
    /// Starts one without a key.
    pub(crate) fn start() -> Self {
        let state = Arc::<Mutex<State>>::default();
        let (ready, started) = std::sync::mpsc::channel();
        let shared = state.clone();
        std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let data = web::Data::new(shared);
                let server =
                    HttpServer::new(move || App::new().app_data(data.clone()).default_service(web::to(answer)))
                        .workers(1)
                        .disable_signals()
                        .bind("127.0.0.1:0")
                        .unwrap();
                ready.send(server.addrs()[0]).unwrap();
                server.run().await.unwrap();
            });
        });
        Self { address: format!("http://{}", started.recv().unwrap()), state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Fails every request from now on whose path contains one of these words.
    #[allow(dead_code)]
    pub(crate) fn fail(&self, words: &[&'static str]) {
        self.state().fails = words.to_vec();
    }

    /// Takes requests with this word in their path from now on and says nothing, until it is told to speak again.
    #[allow(dead_code)]
    pub(crate) fn fall_silent(&self, word: &'static str) {
        self.state().silent = Some(word);
    }

    /// Answers again, also what it was asked meanwhile.
    #[allow(dead_code)]
    pub(crate) fn speak(&self) {
        self.state().silent = None;
    }

    /// How many requests wait for an answer.
    #[allow(dead_code)]
    pub(crate) fn unanswered(&self) -> usize {
        self.state().unanswered
    }

    /// The versions of a key that were not trimmed, in order.
    #[allow(dead_code)]
    pub(crate) fn versions(&self, key: &str) -> Vec<u64> {
        let mut versions: Vec<_> =
            self.state().keys.get(key).into_iter().flat_map(|key| key.versions.keys()).copied().collect();
        versions.sort_unstable();
        versions
    }
}

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

async fn answer(state: web::Data<Arc<Mutex<State>>>, request: HttpRequest, body: web::Bytes) -> HttpResponse {
    state.lock().unwrap().unanswered += 1;
    while state.lock().unwrap().silent.is_some_and(|word| request.path().contains(word)) {
        actix_web::rt::time::sleep(Duration::from_millis(10)).await;
    }
    state.lock().unwrap().unanswered -= 1;
    let mut state = state.lock().unwrap();
    let path = request.path().trim_start_matches("/v1/transit/").to_owned();
    if request.headers().get("X-Vault-Token").is_none_or(|token| token != TOKEN) {
        return HttpResponse::Forbidden().json(json!({"errors": ["permission denied"]}));
    }
    if state.fails.iter().any(|part| path.contains(part)) {
        return HttpResponse::ServiceUnavailable().json(json!({"errors": ["sealed"]}));
    }
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    let parts: Vec<&str> = path.split('/').collect();
    let name = parts[1].to_owned();
    match (parts.as_slice(), request.method().as_str(), state.keys.contains_key(&name)) {
        (["keys", _], "GET", false) => return HttpResponse::NotFound().json(json!({"errors": []})),
        (["keys", _], _, false) => {
            state.keys.entry(name).or_default().rotate();
            return HttpResponse::NoContent().finish();
        }
        _ => {}
    }
    let Some(key) = state.keys.get_mut(&name) else { return no("no such key") };
    match parts.as_slice() {
        ["keys", _] if request.method() == "GET" => {
            let times: HashMap<String, u64> = key.versions.keys().map(|version| (version.to_string(), 1)).collect();
            yes(&json!({
                "type": "aes256-gcm96", "deletion_allowed": false, "derived": false, "exportable": false,
                "allow_plaintext_backup": false, "keys": times, "min_decryption_version": key.least,
                "min_encryption_version": key.least, "name": name, "supports_encryption": true,
                "supports_decryption": true, "supports_derivation": true, "supports_signing": false
            }))
        }
        ["keys", _] => HttpResponse::NoContent().finish(),
        ["keys", _, "rotate"] => {
            key.rotate();
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
            let newest = key.newest;
            let encrypted = key.versions.get_mut(&newest).unwrap();
            encrypted.push((text("associated_data"), text("plaintext")));
            yes(&json!({"ciphertext": format!("vault:v{newest}:{}", encrypted.len() - 1)}))
        }
        ["decrypt", _] => {
            let ciphertext = text("ciphertext");
            let mut parts = ciphertext.strip_prefix("vault:v").unwrap().splitn(2, ':');
            let version: u64 = parts.next().unwrap().parse().unwrap();
            let Some(encrypted) = key.versions.get(&version).filter(|_| version >= key.least) else {
                return no("ciphertext or signature version is disallowed by policy (too old)");
            };
            match encrypted.get(parts.next().unwrap().parse::<usize>().unwrap()) {
                Some((associated, plaintext)) if *associated == text("associated_data") => {
                    yes(&json!({"plaintext": plaintext}))
                }
                _ => no("cipher: message authentication failed"),
            }
        }
        _ => no("unsupported path"),
    }
}
