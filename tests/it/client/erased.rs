//! What connections leave behind: given to the person who asks for its data, and gone with the person.

use serde_json::{Value, json};

use super::presence::{online, shows, told};
use super::{APP, Socket, call, token};
use crate::canary::scanner::Scanner;
use crate::support::Service;
use crate::support::service::SERVER;

/// In every text of the one who leaves.
const MARK: &str = "Qx5VogelLive";
const LEAVER: &str = "Qx5VogelLiveAda";

fn server(service: &Service, method: &str, path: &str, body: &Value) -> Value {
    let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let reply = service.request(method, &format!("/api/v1/{path}"), &headers, body.as_bytes());
    assert!(reply.status < 300, "{path}: {}", reply.text);
    reply.json()
}

/// The files of a user's own export that are one document of JSON.
pub(super) fn export(service: &Service, token: &str) -> impl FnMut(&str) -> Value + use<> {
    let mut text = texts_of_export(service, token);
    move |name: &str| serde_json::from_str(&text(name)).unwrap()
}

/// The files of a user's own export.
pub(super) fn texts_of_export(service: &Service, token: &str) -> impl FnMut(&str) -> String + use<> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("export.zip");
    let mut curl = std::process::Command::new("curl");
    curl.args(["-sS", "--fail", "-H", &format!("Authorization: Bearer {token}"), "-o"]).arg(&file);
    let output = curl.arg(format!("http://{}/client/v1/me/export", service.address)).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(std::fs::read(&file).unwrap())).unwrap();
    move |name: &str| std::io::read_to_string(zip.by_name(name).unwrap()).unwrap()
}

#[test]
fn an_export_tells_whom_its_person_follows_and_when_it_was_seen_and_not_who_follows_it() {
    let service = Service::start(&[APP]);
    let [ada, bob, _] = ["ada", "bob", "eve"].map(|user| token(&service, APP, user));
    let nothing = export(&service, &ada)("connections.json");
    assert_eq!(nothing, json!({"last_seen_at": null, "follows": []}));
    let (mut hers, _) = Socket::connect(&service, &ada);
    hers.ask("subscriptions.add", &json!({"user_ids": ["bob"], "seconds": 600}));
    hers.ask("subscriptions.add", &json!({"user_ids": ["eve"], "seconds": 600, "type": "profile"}));
    call(&service, &bob, "PUT", "subscriptions", r#"{"user_ids": ["ada"], "seconds": 600}"#);
    let mut files = export(&service, &ada);
    service.eventually("when she was seen is written", |service| {
        files = export(service, &ada);
        files("connections.json")["last_seen_at"].is_string()
    });
    let connections = files("connections.json");
    let schema = files("schema.json");
    let valid = jsonschema::validator_for(&schema["$defs"]["connections.json"]).unwrap();
    assert!(valid.is_valid(&connections), "{connections}");
    let follows = connections["follows"].as_array().unwrap().iter();
    let follows: Vec<_> = follows.map(|one| (one["user_id"].clone(), one["what"].clone())).collect();
    assert_eq!(follows, [(json!("bob"), json!("presence")), (json!("eve"), json!("profile"))]);
    let manifest = files("manifest.json");
    assert!(manifest["files"].to_string().contains("connections.json"), "{manifest}");
    assert!(manifest["withheld"].to_string().contains("follow whether this person is online"), "{manifest}");
    assert_eq!(export(&service, &bob)("connections.json")["follows"][0]["user_id"], json!("ada"));
}

#[test]
fn an_erasure_while_connected_subscribed_pending_and_queued_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    // Nobody listens there: what is to be delivered stays queued.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let args = ["--webhook-allow", "127.0.0.0/8", "--webhook-waits", "0.2,0.2,600", "--webhook-timeout-seconds", "1"];
    let mut service = Service::try_start_with(&dir.path().join("data"), &[APP], &args).unwrap();
    let (ada, bob) = (token(&service, APP, LEAVER), token(&service, APP, "bob"));
    service.stop();
    let key = service.command(&["apps", "add-key", APP.key, "--scope", "operator"]);
    assert!(key.status.success(), "{}", String::from_utf8_lossy(&key.stderr));
    let key = String::from_utf8(key.stdout).unwrap().trim().to_owned();
    let mut service = Service::try_start_with(&dir.path().join("data"), &[APP], &args).unwrap();
    let operator = [("Authorization".to_owned(), format!("Bearer {key}"))];
    let webhook = json!({"url": format!("http://{closed}/"), "types": ["rollcall.*"], "format": "v1"});
    let registered = service.request("POST", "/api/v1/webhooks", &operator, webhook.to_string().as_bytes());
    assert_eq!(registered.status, 201, "{}", registered.text);

    let device = format!("{MARK}'s phone");
    let (mut hers, _) = Socket::connect_with(&service, &json!({"token": ada, "platform": "ios", "device": device}));
    let (mut his, _) = Socket::connect(&service, &bob);
    hers.ask("subscriptions.add", &json!({"user_ids": ["bob"], "seconds": 600}));
    hers.ask("subscriptions.add", &json!({"user_ids": ["bob"], "seconds": 600, "type": "profile"}));
    his.ask("subscriptions.add", &json!({"user_ids": [LEAVER], "seconds": 600}));
    assert_eq!(told(&mut his), online(LEAVER, &["ios"]));
    hers.ask("me.update", &json!({"name": format!("{MARK} Lovelace")}));
    let asked = hers.ask("friends.add", &json!({"user_id": "bob", "text": format!("{MARK} greets")}));
    assert!(asked["result"].is_object(), "{asked}");
    his.ask("blocklist.add", &json!({"user_id": LEAVER}));

    let erasure = server(&service, "POST", "erasures", &json!({"user_id": LEAVER, "scope": "forget"}));
    let path = format!("erasures/{}", erasure["id"].as_str().unwrap());
    service.eventually("she is erased", |service| server(service, "GET", &path, &Value::Null)["status"] == "finalised");
    assert_eq!(hers.closed().number(), "31029");
    shows(&service, LEAVER, "0");
    let of_his = |path: &str| call(&service, &bob, "GET", path, "").text;
    for path in ["subscriptions", "friend-requests?direction=received", "friends", "blocklist", "changes?since=0"] {
        assert!(!of_his(path).contains(MARK), "{path}: {}", of_his(path));
    }
    service.stop();
    let found = Scanner::of(&[MARK]).found_below(service.data());
    assert!(found.is_empty(), "in the clear: {found:?}");
    assert!(Scanner::of(&[MARK]).found_in(service.errors().as_bytes()).is_empty(), "{}", service.errors());
    if std::env::var_os(SERVER).is_none() {
        let live = rusqlite::Connection::open(service.data().join("live.db")).unwrap();
        let count = |table: &str| -> i64 {
            live.query_row(&format!("select count(*) from {table}"), [], |row| row.get(0)).unwrap()
        };
        assert_eq!((count("subscription"), count("last_seen")), (0, 1), "only when bob was seen");
    }
}
