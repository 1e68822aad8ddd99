//! The REST face: who may call it, and what an erasure looks like from outside.

use std::collections::BTreeSet;

use rollcall::audit::merkle;
use rollcall::audit::proof::Proof;
use rollcall::audit::report::verify::{Verdict, verify};
use rollcall::audit::tree::note::{Checkpoint, Verifier};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{App, Reply, Service, rollcall};

const APP: App = App::PRODUCTION;

fn key_and_secret() -> String {
    APP.flag().splitn(3, ':').take(2).collect::<Vec<_>>().join(":")
}

fn app_key() -> String {
    APP.flag().split(':').next().unwrap().to_owned()
}

fn call(service: &Service, bearer: &str, method: &str, path: &str, body: &str) -> Reply {
    let headers = [("Authorization".to_owned(), format!("Bearer {bearer}"))];
    service.request(method, path, &headers, body.as_bytes())
}

fn ask(service: &Service, method: &str, path: &str, body: &str) -> Reply {
    call(service, &key_and_secret(), method, path, body)
}

#[track_caller]
fn problem(reply: &Reply, status: u16, kind: &str) {
    let json = reply.json();
    assert_eq!(
        (reply.status, json["type"].as_str()),
        (status, Some(&*format!("urn:rollcall:problem:{kind}"))),
        "{json}"
    );
    assert_eq!(reply.header("content-type"), Some("application/problem+json"));
}

/// Requests an erasure and waits until it has come to its end.
#[track_caller]
fn erased(service: &Service, body: &Value) -> (Value, Value) {
    let accepted = ask(service, "POST", "/api/v1/erasures", &body.to_string());
    assert_eq!(accepted.status, 202, "{}", accepted.json());
    let path = accepted.header("location").unwrap().to_owned();
    let mut last = Value::Null;
    service.eventually("the erasure is done", |service| {
        last = ask(service, "GET", &path, "").json();
        last["status"] == "finalised"
    });
    (accepted.json(), last)
}

#[test]
fn an_erasure_is_requested_watched_reported_and_proven_with_nothing_but_the_public_key() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob"]);
    let preview = ask(&service, "GET", "/api/v1/users/ada/erasure-preview?scope=forget", "").json();
    assert_eq!(preview["held"], false);
    let in_class = |class: &str| {
        let classes = preview["classes"].as_array().unwrap();
        classes.iter().find(|entry| entry["class"] == class).unwrap()["values"].as_u64().unwrap()
    };
    assert!(in_class("profile") > 0 && in_class("identity") == 1, "{preview}");

    let body = json!({"user_id": "ada", "scope": "forget", "legal_basis": "consent_withdrawn", "requester": "subject"});
    let (accepted, done) = erased(&service, &body);
    assert_eq!((&done["report"], &done["legal_basis"]), (&json!("final"), &json!("consent_withdrawn")));
    let path = format!("/api/v1/erasures/{}", done["id"].as_str().unwrap());
    let report = ask(&service, "GET", &format!("{path}/report"), "");
    assert_eq!(report.header("content-type"), Some("application/vnd.dsse.envelope.v1+json"));
    let keys = service.request("GET", "/log/keys", &[], b"");
    let trusted: Vec<Verifier> = keys.text.lines().map(|line| line.parse().unwrap()).collect();
    let Verdict::Final(report) = verify(report.text.as_bytes(), &trusted) else { panic!("not final") };
    // Whoever has the salt can show that the report is about ada.
    let salt = hex::decode(accepted["salt"].as_str().unwrap()).unwrap();
    let commitment = Sha256::digest([salt.as_slice(), app_key().as_bytes(), b"\0", b"ada"].concat());
    assert_eq!(report.erasure.commitment, Some(hex::encode(commitment)));
    for page in ["letter", "certificate"] {
        let page = ask(&service, "GET", &format!("{path}/{page}"), "");
        assert!(page.header("content-type").unwrap().starts_with("text/html"));
        assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
        assert!(page.text.contains(done["id"].as_str().unwrap()));
    }
    problem(&ask(&service, "GET", "/api/v1/users/ada", ""), 404, "not-registered");
    problem(&ask(&service, "GET", "/api/v1/users/ada/erasure-preview", ""), 404, "not-registered");
    assert_eq!(ask(&service, "GET", "/api/v1/users/bob", "").json()["name"], "Name of bob");

    let step = report.step("erasure.scrubbed").unwrap();
    let proof = ask(&service, "GET", &format!("/api/v1/audit/proof?position={}", step.position), "").json();
    let proof: Proof = serde_json::from_value(proof).unwrap();
    assert_eq!(proof.leaf, step.leaf);
    assert!(proof.check(&trusted, None).unwrap().size >= step.position);
    let note = service.request("GET", "/checkpoint", &[], b"").text;
    let checkpoint = Checkpoint::read(&note, &trusted).unwrap();
    let partial = format!("/tile/0/000.p/{}", checkpoint.size);
    let tile = service.raw(format!("GET {partial} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes());
    let body = tile.windows(4).position(|part| part == b"\r\n\r\n").unwrap() + 4;
    let hashes = tile[body..].as_chunks::<32>().0;
    assert_eq!((hashes.len() as u64, merkle::root_of(hashes)), (checkpoint.size, checkpoint.root), "{partial}");
    assert_eq!(service.request("GET", "/tile/0/001", &[], b"").status, 404);
}

#[test]
fn a_repeated_request_is_the_same_erasure_and_tells_no_salt() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    let body = json!({"user_id": "ada", "scope": "deactivate"});
    let headers = [
        ("Authorization".to_owned(), format!("Bearer {}", key_and_secret())),
        ("Idempotency-Key".to_owned(), "once".to_owned()),
    ];
    let first = service.request("POST", "/api/v1/erasures", &headers, body.to_string().as_bytes());
    assert_eq!(first.status, 202);
    let id = first.json()["id"].clone();
    assert!(first.json()["salt"].is_string());
    for headers in [&headers[..], &headers[..1]] {
        let again = service.request("POST", "/api/v1/erasures", headers, body.to_string().as_bytes());
        assert_eq!((again.status, &again.json()["id"], again.json().get("salt")), (200, &id, None));
    }
    let unknown = json!({"user_id": "nobody", "scope": "deactivate"});
    problem(&ask(&service, "POST", "/api/v1/erasures", &unknown.to_string()), 404, "not-registered");
    for bad in
        [json!({}), json!({"user_id": "ada", "scope": "all"}), json!({"user_id": "ada", "scope": "forget", "x": 1})]
    {
        problem(&ask(&service, "POST", "/api/v1/erasures", &bad.to_string()), 400, "malformed-json");
    }
    let listed = ask(&service, "GET", "/api/v1/erasures?limit=1", "").json();
    assert_eq!((&listed["erasures"][0]["id"], &listed["next"]), (&id, &Value::Null));
    problem(&ask(&service, "GET", "/api/v1/erasures/x", ""), 404, "no-such-erasure");
}

#[test]
fn a_repeated_registration_is_answered_with_the_status_and_the_token_of_the_first() {
    let service = Service::start(&[APP]);
    let keyed = |key: &str, id: &str| {
        let headers = [
            ("Authorization".to_owned(), format!("Bearer {}", key_and_secret())),
            ("Idempotency-Key".to_owned(), key.to_owned()),
        ];
        service.request("PUT", &format!("/api/v1/users/{id}"), &headers, br#"{"name":"Ada"}"#)
    };
    let (first, again) = (keyed("once", "ada"), keyed("once", "ada"));
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.json()["token"], again.json()["token"]);
    assert!(!first.json()["token"].as_str().unwrap().contains('@'));
    assert_eq!(keyed("twice", "ada").status, 200, "the user is known by then");
    // Named by others, but not registered yet.
    service.post(APP, "/user/blacklist/add.json", &[("userId", "ada"), ("blackUserId", "bob")]).ok();
    assert_eq!(keyed("bob", "bob").status, 201);
}

#[test]
fn a_legal_hold_wins_and_its_release_finishes_what_waits() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    let hold = "/api/v1/users/ada/legal-hold";
    assert_eq!(ask(&service, "PUT", hold, r#"{"reason":"case 7 of the district court"}"#).status, 204);
    let body = json!({"user_id": "ada", "scope": "forget"});
    let accepted = ask(&service, "POST", "/api/v1/erasures", &body.to_string()).json();
    assert_eq!((&accepted["status"], &accepted["held"]), (&json!("requested"), &json!(true)));
    // Nobody sees her, and nothing is written about her, while the data waits.
    let path = format!("/api/v1/erasures/{}", accepted["id"].as_str().unwrap());
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(ask(&service, "GET", &path, "").json()["status"], "requested");
    problem(&ask(&service, "PUT", "/api/v1/users/ada", r#"{"name":"Ada"}"#), 410, "deactivated");
    assert_eq!(ask(&service, "DELETE", hold, "").status, 204);
    service
        .eventually("it goes on by itself", |service| ask(service, "GET", &path, "").json()["status"] == "finalised");
    assert_eq!(ask(&service, "PUT", "/api/v1/users/ada", r#"{"name":"Another"}"#).status, 201, "a new person");
    problem(&ask(&service, "POST", &format!("{path}/cancel"), ""), 409, "erasure-begun");
}

#[test]
fn an_erasure_can_be_called_off_within_its_grace_period_and_nothing_was_lost() {
    let mut service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    service.stop();
    let set = rollcall(&["apps", "set", &app_key(), "--erasure-grace-seconds", "3600"], service.data());
    assert!(set.status.success());
    let service = Service::start_in(service.data(), &[APP]);
    let body = json!({"user_id": "ada", "scope": "deactivate"});
    let accepted = ask(&service, "POST", "/api/v1/erasures", &body.to_string()).json();
    assert!(accepted["cancellable_until"].is_string(), "{accepted}");
    problem(&ask(&service, "GET", "/api/v1/users/ada", ""), 410, "deactivated");
    let path = format!("/api/v1/erasures/{}", accepted["id"].as_str().unwrap());
    let report = ask(&service, "GET", &format!("{path}/report"), "");
    assert!(report.text.contains("payload"), "a report of what waits");
    for _ in 0..2 {
        assert_eq!(ask(&service, "POST", &format!("{path}/cancel"), "").json()["status"], "cancelled");
    }
    assert_eq!(ask(&service, "GET", "/api/v1/users/ada", "").json()["name"], "Name of ada");
}

#[test]
fn a_key_may_do_what_its_scopes_say_until_it_is_retired() {
    let mut service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    service.stop();
    let run = |args: &[&str]| {
        let output = rollcall(args, service.data());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let server = run(&["apps", "add-key", &app_key(), "--scope", "server"]);
    let compliance = run(&["apps", "add-key", &app_key(), "--scope", "compliance", "--scope", "operator"]);
    assert!(run(&["apps", "list"]).contains("keys 1:server,2:compliance+operator"));
    let log = std::fs::read(service.data().join("log.db")).unwrap();
    assert!(!log.windows(server.len()).any(|part| part == server.as_bytes()), "only its hash is kept");
    let mut again = Service::start_in(service.data(), &[APP]);
    assert_eq!(call(&again, &server, "GET", "/api/v1/users/ada", "").status, 200);
    problem(&call(&again, &server, "GET", "/api/v1/erasures", ""), 403, "scope-missing");
    problem(&call(&again, &compliance, "GET", "/api/v1/users/ada", ""), 403, "scope-missing");
    assert_eq!(call(&again, &compliance, "GET", "/api/v1/erasures", "").status, 200);
    let body = json!({"user_id": "ada", "scope": "deactivate", "override_brake": true}).to_string();
    problem(&ask(&again, "POST", "/api/v1/erasures", &body), 403, "scope-missing");
    assert_eq!(call(&again, &compliance, "POST", "/api/v1/erasures", &body).status, 202);
    let bent = format!("{}x", &server[..server.len() - 1]);
    problem(&call(&again, &bent, "GET", "/api/v1/users/ada", ""), 401, "unauthenticated");
    again.stop();
    run(&["apps", "retire-key", &app_key(), "1"]);
    let again = Service::start_in(service.data(), &[APP]);
    problem(&call(&again, &server, "GET", "/api/v1/users/ada", ""), 401, "unauthenticated");
}

#[test]
fn the_bulk_brake_turns_erasures_away_until_later() {
    let mut service = Service::start(&[APP]);
    service.register(APP, &["a", "b", "c"]);
    service.stop();
    let set = rollcall(&["apps", "set", &app_key(), "--erasures-per-minute-max", "2"], service.data());
    assert!(set.status.success());
    let service = Service::start_in(service.data(), &[APP]);
    let erase = |user: &str| {
        let body = json!({"user_id": user, "scope": "deactivate"}).to_string();
        ask(&service, "POST", "/api/v1/erasures", &body)
    };
    assert_eq!((erase("a").status, erase("b").status), (202, 202));
    let refused = erase("c");
    problem(&refused, 429, "erasures-braked");
    assert!(refused.header("retry-after").unwrap().parse::<u32>().unwrap() <= 60);
    service.post(APP, "/user/deactivate.json", &[("userId", "c")]).refused(429, 1008);
    assert_eq!(ask(&service, "GET", "/api/v1/users/c", "").json()["name"], "Name of c");
}

#[test]
fn the_data_map_names_every_field_and_the_estate_counts_every_erasure() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob"]);
    erased(&service, &json!({"user_id": "ada", "scope": "deactivate", "requester": "subject"}));
    let map = ask(&service, "GET", "/api/v1/compliance/data-map", "").json();
    let fields = map["fields"].as_array().unwrap();
    assert!(fields.iter().any(|f| f["event"] == "user.registered" && f["field"] == "name" && f["class"] == "profile"));
    let headers = [
        ("Authorization".to_owned(), format!("Bearer {}", key_and_secret())),
        ("Accept".to_owned(), "text/html".to_owned()),
    ];
    let page = service.request("GET", "/api/v1/compliance/data-map", &headers, b"").text;
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("user.registered/name"));
    let estate = ask(&service, "GET", "/api/v1/compliance/estate", "").json();
    assert_eq!((&estate["requested"], &estate["by_status"]["finalised"]), (&json!(1), &json!(1)), "{estate}");
    assert!(estate["seconds_to_final"]["p99"].as_f64().unwrap() > 0.0);
    let before = ask(&service, "GET", "/api/v1/compliance/estate?month=2020-02", "").json();
    assert_eq!(before["requested"], 0);
    problem(&ask(&service, "GET", "/api/v1/compliance/estate?month=now", ""), 422, "invalid-value");
}

#[test]
fn apps_never_see_each_others_erasures_and_events() {
    let other = App::OTHER;
    let service = Service::start(&[APP, other]);
    service.register(APP, &["ada"]);
    service.register(other, &["ada"]);
    let (_, done) = erased(&service, &json!({"user_id": "ada", "scope": "deactivate"}));
    let path = format!("/api/v1/erasures/{}", done["id"].as_str().unwrap());
    let others = |path: &str| call(&service, "otherkey:othersecret-of-production", "GET", path, "");
    for path in [path.clone(), format!("{path}/report"), format!("{path}/letter")] {
        problem(&others(&path), 404, "no-such-erasure");
    }
    assert_eq!(others("/api/v1/erasures").json()["erasures"], json!([]));
    assert_eq!(others("/api/v1/users/ada").json()["name"], "Name of ada");
    let seen = |who: &str| {
        let proofs = (1..=12).map(|position| {
            call(&service, who, "GET", &format!("/api/v1/audit/proof?position={position}"), "").status == 200
        });
        proofs.collect::<Vec<_>>()
    };
    let (mine, theirs) = (seen(&key_and_secret()), seen("otherkey:othersecret-of-production"));
    assert!(mine.iter().zip(&theirs).all(|(mine, theirs)| mine != theirs), "each event is of one app");
}

#[test]
fn the_openapi_document_that_is_checked_in_is_current_and_is_served() {
    let checked_in = include_str!("../../../schemas/api/openapi.json");
    assert_eq!(rollcall::http::openapi(), checked_in, "run `cargo run --example openapi > schemas/api/openapi.json`");
    let service = Service::start(&[APP]);
    let served = service.request("GET", "/openapi.json", &[], b"").json();
    assert_eq!(served["openapi"].as_str().map(|version| &version[..3]), Some("3.1"));
    for (path, item) in served["paths"].as_object().unwrap() {
        for method in
            item.as_object().unwrap().keys().filter(|name| ["get", "put", "post", "delete"].contains(&&***name))
        {
            let asked = path.replace("{id}", "x").replace("{key}", "x").replace("{number}", "1");
            let reply = service.request(&method.to_uppercase(), &asked, &[], b"");
            assert_eq!(reply.status, 401, "{method} {asked} is there and wants to know who asks");
        }
    }
}

#[test]
fn the_past_is_told_as_it_was_and_what_was_erased_since_is_told_as_erased() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob"]);
    service.post(APP, "/friend/add.json", &[("userId", "ada"), ("targetId", "bob"), ("optType", "2")]).ok();
    service.post(APP, "/user/block.json", &[("userId", "bob"), ("minute", "5")]).ok();
    let user = |at: &str| ask(&service, "GET", &format!("/api/v1/users/ada/as-of{at}"), "").json();
    let before = user("");
    let position = before["position"].as_u64().unwrap();
    assert!(before.to_string().contains("Name of ada"), "{before}");
    ask(&service, "PUT", "/api/v1/users/ada", r#"{"name":"Renamed"}"#);
    assert!(user("").to_string().contains("Renamed"));
    assert!(user(&format!("?at={position}")).to_string().contains("Name of ada"));
    let diff = ask(&service, "GET", &format!("/api/v1/users/ada/diff?from={position}"), "").json();
    assert!(diff.to_string().contains("name"), "{diff}");
    let friends = ask(&service, "GET", "/api/v1/users/ada/friends/as-of", "").json();
    assert!(friends.to_string().contains("bob"), "{friends}");
    let bans = ask(&service, "GET", &format!("/api/v1/bans/as-of?at={position}"), "").json();
    assert_eq!(bans["bans"].as_array().map(Vec::len), Some(1), "{bans}");
    let blocks = service.post(APP, "/user/blacklist/add.json", &[("userId", "ada"), ("blackUserId", "bob")]);
    blocks.ok();
    let words = json!({"command": ["befriend", "bob", "ada"]}).to_string();
    let explained = ask(&service, "POST", "/api/v1/explain", &words).json();
    assert_eq!(explained["allowed"], false, "{explained}");
    assert!(!explained["facts"].as_array().unwrap().is_empty(), "{explained}");

    erased(&service, &json!({"user_id": "ada", "scope": "deactivate"}));
    for at in [String::new(), format!("?at={position}")] {
        let told = user(&at).to_string();
        assert!(told.contains("erased") && !told.contains("Name of ada") && !told.contains("Renamed"), "{told}");
    }
    let (mut events, mut cursor) = (vec![], String::new());
    loop {
        let page = ask(&service, "GET", &format!("/api/v1/users/ada/history?limit=4{cursor}"), "").json();
        events.extend(page["events"].as_array().unwrap().iter().map(|event| event["event"].to_string()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(events.first().map(String::as_str), Some("\"user.registered\""));
    assert!(events.iter().any(|event| event.contains("erasure.finalised")), "{events:?}");
    problem(&ask(&service, "GET", "/api/v1/users/nobody/history", ""), 404, "not-registered");
    problem(&ask(&service, "GET", "/api/v1/users/ada/as-of?at=never", ""), 422, "invalid-value");
    problem(&ask(&service, "GET", "/api/v1/users/ada/as-of?at=999999999", ""), 422, "invalid-value");
    problem(&ask(&service, "POST", "/api/v1/explain", r#"{"command":["fly"]}"#), 422, "invalid-value");
}

#[test]
fn a_person_gets_everything_that_is_held_about_it_and_nothing_about_others() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob"]);
    service.post(APP, "/friend/add.json", &[("userId", "ada"), ("targetId", "bob"), ("optType", "2")]).ok();
    let remarks = json!([{"id": "bob", "remark": "a secret about bob"}]).to_string();
    service.post(APP, "/user/remarks/set.json", &[("userId", "ada"), ("remarks", &remarks)]).ok();
    for number in 0..600 {
        ask(&service, "PUT", "/api/v1/users/ada", &json!({"name": format!("Ada {number}")}).to_string());
    }
    let dir = tempfile::tempdir().unwrap();
    let fetch = |user: &str| {
        let file = dir.path().join(user);
        let mut curl = std::process::Command::new("curl");
        curl.args(["-sS", "--fail", "-o"])
            .arg(&file)
            .args(["-H", &format!("Authorization: Bearer {}", key_and_secret())]);
        let output = curl.arg(format!("http://{}/api/v1/users/{user}/export", service.address)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut zip = zip::ZipArchive::new(std::fs::File::open(file).unwrap()).unwrap();
        move |name: &str| std::io::read_to_string(zip.by_name(name).unwrap()).unwrap()
    };
    let mut of_ada = fetch("ada");
    let manifest: Value = serde_json::from_str(&of_ada("manifest.json")).unwrap();
    assert_eq!((&manifest["format"], &manifest["app"]), (&json!("rollcall.export/2"), &json!(app_key())));
    let schema: Value = serde_json::from_str(&of_ada("schema.json")).unwrap();
    for name in ["manifest.json", "user.json", "friends.json"] {
        let of_file = jsonschema::validator_for(&schema["$defs"][name]).unwrap();
        let says: Value = serde_json::from_str(&of_ada(name)).unwrap();
        assert!(of_file.is_valid(&says), "{name}: {says}");
    }
    assert!(of_ada("user.json").contains("Ada 599") && of_ada("friends.json").contains("bob"));
    let history = of_ada("history.jsonl");
    let of_line = jsonschema::validator_for(&schema["$defs"]["history.jsonl"]).unwrap();
    let lines: Vec<Value> = history.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.len() > 600 && lines.iter().all(|line| of_line.is_valid(line)), "{}", lines.len());
    assert!(history.contains("Ada 0") && history.contains("Ada 599"));
    assert!(history.contains("a secret about bob"), "what ada notes on a list of hers is hers");
    problem(&ask(&service, "GET", "/api/v1/users/nobody/export", ""), 404, "not-registered");

    erased(&service, &json!({"user_id": "ada", "scope": "deactivate"}));
    let history = fetch("ada")("history.jsonl");
    assert!(!history.contains("Ada 0") && history.contains("erased"));
}

#[test]
fn an_export_does_not_tell_what_others_keep_about_a_person_and_says_that_it_does_not() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob", "cat"]);
    service.post(APP, "/friend/add.json", &[("userId", "bob"), ("targetId", "ada"), ("optType", "2")]).ok();
    service.post(APP, "/user/blacklist/add.json", &[("userId", "bob"), ("blackUserId", "ada")]).ok();
    service.post(APP, "/user/blacklist/remove.json", &[("userId", "bob"), ("blackUserId", "ada")]).ok();
    service.post(APP, "/user/blacklist/add.json", &[("userId", "bob"), ("blackUserId", "ada")]).ok();
    service.post(APP, "/user/whitelist/add.json", &[("userId", "cat"), ("whiteUserId", "ada")]).ok();
    let remarks = json!([{"id": "ada", "remark": "talks too much"}]).to_string();
    service.post(APP, "/user/remarks/set.json", &[("userId", "bob"), ("remarks", &remarks)]).ok();
    let described = [("userId", "bob"), ("targetId", "ada"), ("remarkName", "the loud one")];
    service.post(APP, "/friend/profile/set.json", &described).ok();
    service.post(APP, "/user/blacklist/add.json", &[("userId", "ada"), ("blackUserId", "cat")]).ok();

    let dir = tempfile::tempdir().unwrap();
    let everything = |user: &str| {
        let file = dir.path().join(user);
        let url = format!("http://{}/api/v1/users/{user}/export", service.address);
        let authorization = format!("Authorization: Bearer {}", key_and_secret());
        let mut curl = std::process::Command::new("curl");
        let output = curl.args(["-sS", "--fail", "-o"]).arg(&file).args(["-H", &authorization, &url]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut zip = zip::ZipArchive::new(std::fs::File::open(file).unwrap()).unwrap();
        move |name: &str| std::io::read_to_string(zip.by_name(name).unwrap()).unwrap()
    };
    let mut of_ada = everything("ada");
    let manifest: Value = serde_json::from_str(&of_ada("manifest.json")).unwrap();
    let named = manifest["withheld"].to_string();
    let history = of_ada("history.jsonl");
    for (event, is_own) in [
        ("blocklist.blocked", true),
        ("blocklist.unblocked", false),
        ("allowlist.allowed", false),
        ("remarks.remarked", false),
        ("friendship.described", false),
    ] {
        assert_eq!(history.contains(event), is_own, "{event} in {history}");
        assert!(named.contains(event), "{event} is withheld without a word: {named}");
    }
    assert_eq!(history.matches("blocklist.blocked").count(), 1, "{history}");
    assert!(history.contains("friendship.befriended"), "{history}");
    let told = [history, of_ada("user.json"), of_ada("friends.json")].concat();
    assert!(!told.contains("talks too much") && !told.contains("the loud one"), "{told}");
    let page = of_ada("about.html");
    assert!(page.contains("What is left out, and why") && page.contains("Article 15(4)"), "{page}");

    // Whether there is anything to withhold is not told either.
    let of_cat: Value = serde_json::from_str(&everything("cat")("manifest.json")).unwrap();
    assert_eq!(of_cat["withheld"], manifest["withheld"]);
    let of_bob = everything("bob")("history.jsonl");
    for note in ["talks too much", "the loud one"] {
        assert!(of_bob.contains(note), "{note} is bob's own: {of_bob}");
    }
}

#[test]
fn what_people_ask_about_their_data_is_registered_and_due() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob"]);
    let base = "/api/v1/compliance/requests";
    let receive = |body: Value| ask(&service, "POST", base, &body.to_string());
    let first = receive(json!({"user_id": "ada", "kind": "access"}));
    assert_eq!((first.status, &first.json()["status"]), (201, &json!("received")));
    let path = first.header("location").unwrap().to_owned();
    let due = |json: &Value| json["due_at"].as_str().unwrap()[..10].to_owned();
    let extended = ask(&service, "POST", &format!("{path}/extend"), "").json();
    assert!(extended["status"] == "extended" && due(&extended) > due(&first.json()), "{extended}");
    problem(&ask(&service, "POST", &format!("{path}/extend"), ""), 409, "request-extended");
    assert_eq!(ask(&service, "POST", &format!("{path}/answer"), "").json()["status"], "answered");
    problem(&ask(&service, "POST", &format!("{path}/refuse"), ""), 409, "request-closed");
    assert!(ask(&service, "GET", &path, "").json()["closed_at"].is_string());

    let late = receive(json!({"user_id": "bob", "kind": "objection", "due_at": "2020-01-31T00:00:00Z"})).json();
    assert_eq!(late["overdue"], true);
    let due = ask(&service, "GET", &format!("{base}?due_before=2021-01-01T00:00:00Z"), "").json();
    assert_eq!((due["requests"].as_array().map(Vec::len), &due["requests"][0]["id"]), (Some(1), &late["id"]));
    let refused = format!("{base}/{}/refuse", late["id"].as_str().unwrap());
    assert_eq!(ask(&service, "POST", &refused, r#"{"reason":"it was not bob who asked"}"#).json()["status"], "refused");
    let page = ask(&service, "GET", &format!("{base}?limit=1"), "").json();
    assert_eq!(page["requests"][0]["id"], late["id"], "the latest first");
    let next = page["next"].as_str().unwrap();
    let page = ask(&service, "GET", &format!("{base}?limit=1&cursor={next}"), "").json();
    assert_eq!((&page["requests"][0]["kind"], &page["next"]), (&json!("access"), &Value::Null));

    // Of somebody who was erased meanwhile the reason is not kept, for there is no key for it.
    let gone = receive(json!({"user_id": "ada", "kind": "erasure"})).json();
    erased(&service, &json!({"user_id": "ada", "scope": "forget"}));
    let refused = format!("{base}/{}/refuse", gone["id"].as_str().unwrap());
    assert_eq!(ask(&service, "POST", &refused, r#"{"reason":"done already"}"#).json()["status"], "refused");
    problem(&receive(json!({"user_id": "nobody", "kind": "access"})), 404, "not-registered");
    problem(&receive(json!({"user_id": "ada", "kind": "gossip"})), 400, "malformed-json");
    problem(&ask(&service, "GET", &format!("{base}/x"), ""), 404, "no-such-request");
    problem(&ask(&service, "GET", &format!("{base}?due_before=soon"), ""), 422, "invalid-value");
}

#[test]
fn open_requests_that_are_due_come_page_by_page_each_once() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    let base = "/api/v1/compliance/requests";
    let mut open = BTreeSet::new();
    // Several are due at the same time.
    for day in ["30", "31", "31", "31", "31", "29", "31"] {
        let due_at = format!("2020-01-{day}T00:00:00Z");
        let asked = json!({"user_id": "ada", "kind": "access", "due_at": due_at}).to_string();
        open.insert(ask(&service, "POST", base, &asked).json()["id"].as_str().unwrap().to_owned());
    }
    let due_before = format!("{base}?due_before=2021-01-01T00:00:00Z");
    let (mut listed, mut due, mut cursor) = (BTreeSet::new(), vec![], String::new());
    for _ in 0..4 {
        let page = ask(&service, "GET", &format!("{due_before}&limit=2{cursor}"), "").json();
        for request in page["requests"].as_array().unwrap() {
            listed.insert(request["id"].as_str().unwrap().to_owned());
            due.push(request["due_at"].as_str().unwrap().to_owned());
        }
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!((listed, due.len(), due.is_sorted()), (open, 7, true));
    assert_eq!(ask(&service, "GET", &due_before, "").json()["next"], Value::Null, "they fit on one page");
    problem(&ask(&service, "GET", &format!("{base}?limit=2{cursor}"), ""), 422, "invalid-value");
    problem(&ask(&service, "GET", &format!("{due_before}&limit=501"), ""), 422, "invalid-value");
}

#[test]
fn a_page_of_the_past_that_lies_too_deep_is_refused() {
    let service = Service::start(&[APP]);
    assert_eq!(ask(&service, "GET", "/api/v1/bans/as-of?page=1001", "").json()["bans"], json!([]));
    for page in ["1002", "0", "x", "99999999999"] {
        let refused = ask(&service, "GET", &format!("/api/v1/bans/as-of?page={page}"), "");
        problem(&refused, 422, "invalid-value");
        assert!(refused.text.contains("must be from 1 to 1001"), "{}", refused.text);
    }
}
