//! Imports over REST: each record once, whoever dies, and nothing of a record is kept but what it came to.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use rollcall::crash_point::IMPORT_LABELS;
use serde_json::{Value, json};

use crate::nodes;
use crate::support::soundness::{recorded, verified};
use crate::support::wire::Wire;
use crate::support::{App, Reply, Service, rollcall};

const APP: App = App::PRODUCTION;

/// Sends records; `more` are further headers.
fn send_as(service: &Service, bearer: &str, query: &str, more: &[(&str, &str)], body: &[u8]) -> Reply {
    let mut headers = vec![("Authorization".to_owned(), format!("Bearer {bearer}"))];
    headers.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    service.request("POST", &format!("/api/v1/imports?{query}"), &headers, body)
}

fn credentials(app: App) -> String {
    format!("{}:{}", app.key, app.secret)
}

fn send(service: &Service, query: &str, more: &[(&str, &str)], body: &[u8]) -> Reply {
    send_as(service, &credentials(APP), query, more, body)
}

fn ask_as(service: &Service, app: App, method: &str, path: &str) -> Reply {
    let headers = [("Authorization".to_owned(), format!("Bearer {}", credentials(app)))];
    service.request(method, &format!("/api/v1/{path}"), &headers, b"")
}

#[track_caller]
fn get(service: &Service, path: &str) -> Value {
    let reply = ask_as(service, APP, "GET", path);
    assert_eq!(reply.status, 200, "{path}: {}", reply.text);
    reply.json()
}

#[track_caller]
fn problem(reply: &Reply, status: u16, kind: &str) {
    let json = reply.json();
    let expected = format!("urn:rollcall:problem:{kind}");
    assert_eq!((reply.status, json["type"].as_str()), (status, Some(&*expected)), "{json}");
}

/// How many records were done, left out and refused, and whether these are all.
#[track_caller]
fn counts(reply: &Reply) -> (u64, u64, u64, bool) {
    assert_eq!(reply.status, 202, "{}", reply.text);
    let json = reply.json();
    let number = |member: &str| json[member].as_u64().unwrap();
    (number("done"), number("skipped"), number("refused"), json["complete"].as_bool().unwrap())
}

fn lines(records: &[Value]) -> Vec<u8> {
    records.iter().map(|record| format!("{record}\n")).collect::<String>().into_bytes()
}

/// So many users, the fifth of which has no name.
fn users(count: usize) -> Vec<u8> {
    let mut users: Vec<_> = (0..count).map(|n| json!({"user_id": format!("user{n}"), "name": "N"})).collect();
    users[4] = json!({"user_id": "nobody"});
    lines(&users)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(vec![], Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn records_are_brought_in_and_those_that_are_refused_are_once_corrected_the_next_input() {
    let service = Service::start(&[APP, App::OTHER]);
    let sent = lines(&[
        json!({"user_id": "ada", "name": "Ada", "profile": {"email": "a@b"}}),
        json!({"user_id": "not ok", "name": "Bob"}),
        json!({"user_id": "eve", "name": "Eve"}),
        json!({"user_id": "joe"}),
    ]);
    let dry = send(&service, "kind=users&dry_run=true", &[], &sent);
    let told = dry.json();
    assert_eq!((dry.status, &told["done"], &told["refused"]), (200, &json!(2), &json!(2)), "{told}");
    assert!(told["operation_id"].is_null() && get(&service, "operations")["operations"] == json!([]));
    problem(&ask_as(&service, APP, "GET", "users/ada"), 404, "not-registered");

    let reply = send(&service, "kind=users", &[], &sent);
    assert_eq!(counts(&reply), (2, 0, 2, true));
    let told = reply.json();
    let id = told["operation_id"].as_str().unwrap();
    assert_eq!(reply.header("location"), Some(&*format!("/api/v1/imports/{id}")));
    assert!(reply.header("rollcall-position").is_some());
    assert_eq!(get(&service, "users/ada")["name"], "Ada");
    let refused = &told["refused_records"];
    assert_eq!(refused[0]["_problem"], "user_id must be letters, digits and + = - _ only");
    assert_eq!(
        refused[1],
        json!({"user_id": "joe", "_record": 4, "_problem": "missing field `name`"}),
        "it is repeated as it was"
    );

    // The operation says which, page by page, and nothing of what they said.
    for place in [format!("operations/{id}"), format!("imports/{id}")] {
        let first = get(&service, &format!("{place}?limit=1"));
        assert_eq!(
            (&first["state"], &first["done"], &first["total"], &first["refused"], &first["act"]),
            (&json!("done"), &json!(4), &json!(4), &json!(2), &json!("import"))
        );
        assert_eq!(first["import"], json!({"kind": "users", "on_conflict": "skip", "skipped": 0}));
        assert_eq!(first["results"], json!([{"user_id": null, "record": 2, "result": "refused:invalid-value"}]));
        let second = get(&service, &format!("{place}?limit=1&cursor={}", first["next"].as_str().unwrap()));
        assert_eq!((&second["results"][0]["record"], &second["next"]), (&json!(4), &Value::Null));
        problem(&ask_as(&service, App::OTHER, "GET", &place), 404, "no-such-operation");
    }
    problem(&ask_as(&service, APP, "POST", &format!("operations/{id}/undo")), 409, "operation-has-no-undo");

    let mut corrected = refused.as_array().unwrap().clone();
    corrected[0]["user_id"] = json!("bob");
    corrected[1]["name"] = json!("Joe");
    assert_eq!(counts(&send(&service, "kind=users", &[], &lines(&corrected))), (2, 0, 0, true));

    let csv = b"user_id,friend_id,remark\nada,bob,from school\nbob,bob,\n";
    let friends = send(&service, "kind=friends", &[("Content-Type", "text/csv; charset=utf-8")], csv);
    assert_eq!(counts(&friends), (1, 0, 1, true));
    let friends = get(&service, &format!("imports/{}", friends.json()["operation_id"].as_str().unwrap()));
    assert_eq!(friends["results"][0]["result"], "refused:own-target");
    let blocks = gzip(&lines(&[json!({"user_id": "ada", "target_id": "eve"})]));
    assert_eq!(counts(&send(&service, "kind=blocks", &[("Content-Encoding", "gzip")], &blocks)), (1, 0, 0, true));
    let bans = lines(&[json!({"user_id": "joe", "permanent": true})]);
    assert_eq!(counts(&send(&service, "kind=bans", &[], &bans)), (1, 0, 0, true));
    assert_eq!(get(&service, "users/joe/ban")["ends_at"], Value::Null);

    let until = "2996-02-29T23:59:59.999Z";
    let mutes = lines(&[
        json!({"user_id": "joe", "ends_at": until}),
        json!({"user_id": "ada", "ends_at": "2001-01-01T00:00:00Z"}),
        json!({"user_id": "joe", "permanent": true}),
    ]);
    assert_eq!(counts(&send(&service, "kind=mutes", &[], &mutes)), (1, 2, 0, true));
    assert_eq!(get(&service, "users/joe/mute")["until"], until);
    problem(&ask_as(&service, APP, "GET", "users/ada/mute"), 404, "not-muted");
    for (kind, record) in [
        ("friend-groups", json!({"user_id": "ada", "group_id": 7, "label": "school", "friend_id": "bob"})),
        ("allows", json!({"user_id": "ada", "target_id": "eve"})),
    ] {
        assert_eq!(counts(&send(&service, &format!("kind={kind}"), &[], &lines(&[record]))), (1, 0, 0, true), "{kind}");
    }
    assert_eq!(get(&service, "users/ada/friend-groups")["friend_groups"][0]["label"], "school");
    assert_eq!(get(&service, "users/ada/allowlist/eve")["listed"], true);

    // The latest first, beside bulk operations, page by page.
    let page = get(&service, "operations?limit=3");
    let kinds: Vec<_> = page["operations"].as_array().unwrap().iter().map(|each| &each["import"]["kind"]).collect();
    assert_eq!(kinds, ["allows", "friend-groups", "mutes"]);
    let rest = get(&service, &format!("operations?limit=5&cursor={}", page["next"].as_str().unwrap()));
    assert_eq!((rest["operations"].as_array().unwrap().len(), &rest["next"]), (5, &Value::Null));
    assert_eq!(ask_as(&service, App::OTHER, "GET", "operations").json()["operations"], json!([]));
}

#[test]
fn what_is_there_already_is_left_refused_or_changed_as_asked_and_a_call_that_is_repeated_does_nothing() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    let named = |name: &str| lines(&[json!({"user_id": "ada", "name": name})]);
    for (policy, came_to, name) in [
        ("skip", (0, 1, 0, true), "Name of ada"),
        ("fail", (0, 0, 1, true), "Name of ada"),
        ("update", (1, 0, 0, true), "With update"),
    ] {
        let key = [("Idempotency-Key", policy)];
        let query = format!("kind=users&on_conflict={policy}");
        let first = send(&service, &query, &key, &named(&format!("With {policy}")));
        assert_eq!(counts(&first), came_to, "{policy}");
        assert_eq!(get(&service, "users/ada")["name"], name, "{policy}");
        let again = send(&service, &query, &key, &named("With another name"));
        assert_eq!((counts(&again), &again.json()["operation_id"]), (came_to, &first.json()["operation_id"]));
        problem(&send(&service, "kind=blocks", &key, b""), 422, "idempotency-key-mismatch");
    }
    assert_eq!(get(&service, "users/ada")["name"], "With update");
    assert_eq!(counts(&send(&service, "kind=users", &[], b"")), (0, 0, 0, true));
}

#[test]
fn an_import_waits_for_the_next_call_once_a_thousand_records_were_refused() {
    let service = Service::start(&[APP]);
    // So many that a caller is told long before it has sent all.
    let bad: Vec<_> =
        (0..2_500).map(|n| json!({"user_id": format!("u{n}"), "portrait_uri": "x".repeat(500)})).collect();
    let sent = || send(&service, "kind=users", &[("Idempotency-Key", "once")], &lines(&bad));
    let first = sent();
    assert_eq!(counts(&first), (0, 0, 1_000, false));
    let path = format!("imports/{}", first.json()["operation_id"].as_str().unwrap());
    assert_eq!(get(&service, &path)["state"], "running");
    let second = sent();
    assert_eq!(counts(&second), (0, 0, 2_000, false));
    assert_eq!(counts(&sent()), (0, 0, 2_500, true));
    assert_eq!(second.json()["refused_records"][0]["_record"], 1_001);
    assert_eq!(get(&service, &path)["state"], "failed", "nothing of it was done");
}

#[test]
fn a_body_that_is_not_what_it_should_be_is_refused_and_what_came_before_is_done() {
    let service = Service::start(&[APP]);
    // It stands still while the others are sent.
    let mut stalled = Wire::open(&service);
    let head = |length: u64, query: &str| {
        format!(
            "POST /api/v1/imports?{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: {length}\r\n\r\n",
            credentials(APP)
        )
    };
    stalled.send(format!("{}{}", head(1_000, "kind=users"), json!({"user_id": "slow", "name": "S"})).as_bytes());

    for (query, status, kind) in [
        ("", 422, "invalid-value"),
        ("kind=cats", 422, "invalid-value"),
        ("kind=users&on_conflict=maybe", 422, "invalid-value"),
        ("kind=users&dry_run=perhaps", 422, "invalid-value"),
    ] {
        problem(&send(&service, query, &[], b"{}\n"), status, kind);
    }
    problem(&send(&service, "kind=users", &[("Content-Encoding", "br")], b"{}\n"), 422, "invalid-value");
    let mut large = Wire::open(&service);
    large.send(head(1 << 40, "kind=users").as_bytes());
    problem(&large.reply().unwrap(), 413, "body-too-large");
    large.ends();

    let ada = json!({"user_id": "ada", "name": "Ada"}).to_string();
    let long = format!("{{\"user_id\": \"bob\", \"name\": \"{}\"}}", "x".repeat(70_000));
    let text =
        [ada.as_bytes(), b"\n\xff\xfe\n\n  \n", long.as_bytes(), b"\n[1]\n\xef\xbb\xbf{}\n{\"user_id\":"].concat();
    let reply = send(&service, "kind=users", &[], &text);
    assert_eq!(counts(&reply), (1, 0, 5, true), "{}", reply.text);
    let results = get(&service, &format!("imports/{}", reply.json()["operation_id"].as_str().unwrap()));
    assert!(
        results["results"].as_array().unwrap().iter().all(|each| each["result"] == "refused:no-record"),
        "{results}"
    );

    let mut compressed = gzip(&users(2_000));
    compressed.truncate(compressed.len() - 20);
    let reply = send(&service, "kind=users", &[("Content-Encoding", "gzip")], &compressed);
    problem(&reply, 400, "body-broken");
    assert_eq!(get(&service, "users/user0")["name"], "N", "what came before is done");
    problem(
        &send(&service, "kind=users", &[("Content-Encoding", "gzip")], b"this is no gzip at all"),
        400,
        "malformed-body",
    );
    let quote = format!("user_id,name\neve,\"{}", "x".repeat(400_000));
    problem(&send(&service, "kind=users", &[("Content-Type", "text/csv")], quote.as_bytes()), 400, "malformed-body");

    problem(&stalled.reply().unwrap(), 408, "body-stalled");
    stalled.ends();
    assert_eq!(send(&service, "kind=users", &[], ada.as_bytes()).json()["skipped"], 1);
    assert!(!service.errors().contains("panicked"), "{}", service.errors());
}

#[test]
fn a_key_that_may_not_ban_brings_in_no_bans_and_nothing_of_a_refused_record_stays_in_a_file() {
    let mut service = Service::start(&[APP]);
    service.stop();
    let added = rollcall(&["apps", "add-key", APP.key, "--scope", "server"], service.data());
    let key = String::from_utf8(added.stdout).unwrap().trim().to_owned();
    service.restart();
    let bans = lines(&[json!({"user_id": "ada", "permanent": true})]);
    problem(&send_as(&service, &key, "kind=bans", &[], &bans), 403, "scope-missing");
    problem(&send_as(&service, &key, "kind=mutes", &[], &bans), 403, "scope-missing");
    let canaries = lines(&[
        json!({"user_id": "canary of an id", "name": "canary of a name"}),
        json!({"user_id": "ada", "name": "Ada", "canary of a member": 1}),
        json!({"user_id": "ada", "name": {"canary of a value": 1}}),
    ]);
    let reply = send_as(&service, &key, "kind=users", &[], &canaries);
    assert_eq!(counts(&reply), (0, 0, 3, true));
    assert!(reply.text.contains("canary of a member"), "its caller is told: {}", reply.text);
    service.kill();
    assert!(!service.errors().contains("canary of"), "{}", service.errors());
    let mut directories = vec![service.data().to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(9).any(|found| found == b"canary of"), "{}", path.display());
        }
    }
}

#[test]
fn callers_that_send_the_same_records_at_once_do_each_record_once() {
    let service = Service::start(&[APP]);
    let body = users(1_500);
    let sent = || send(&service, "kind=users&on_conflict=fail", &[("Idempotency-Key", "together")], &body);
    std::thread::scope(|scope| {
        let callers: Vec<_> = (0..3).map(|_| scope.spawn(sent)).collect();
        for caller in callers {
            let reply = caller.join().unwrap();
            assert!(matches!(reply.status, 202 | 409), "{}", reply.text);
        }
    });
    let last = sent();
    assert_eq!(counts(&last), (1_499, 0, 1, true));
    let first = get(&service, &format!("imports/{}", last.json()["operation_id"].as_str().unwrap()));
    assert_eq!(first["results"], json!([{"user_id": null, "record": 5, "result": "refused:invalid-value"}]));
}

#[test]
fn an_import_whose_process_dies_does_each_record_once_when_it_is_sent_again() {
    const USERS: usize = 1_200;
    for label in IMPORT_LABELS {
        let dir = tempfile::tempdir().unwrap();
        let mut service = Service::start_in(&dir.path().join("data"), &[APP]);
        service.stop();
        let times = if *label == "import.handled" { 700 } else { 1 };
        service.restart_through(&["env", &format!("ROLLCALL_CRASH_AT={label}:{times}")]);
        let (query, key, body) = ("kind=users&on_conflict=fail", [("Idempotency-Key", "once")], users(USERS));
        let mut wire = Wire::open(&service);
        let head = format!(
            "POST /api/v1/imports?{query} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nIdempotency-Key: once\r\n\
             Content-Length: {}\r\n\r\n",
            credentials(APP),
            body.len()
        );
        wire.send(head.as_bytes());
        wire.send(&body);
        assert!(!service.ended().0.success(), "{label}");
        let mut service = Service::start_in(service.data(), &[APP]);
        let running = get(&service, "operations")["operations"][0].clone();
        let reached = running["done"].as_u64().unwrap();
        assert!(running["state"] == "running" && reached < USERS as u64, "{label}: {running}");
        let reply = send(&service, query, &key, &body);
        assert_eq!(counts(&reply), (USERS as u64 - 1, 0, 1, true), "{label}");
        assert_eq!(reply.json()["operation_id"], running["operation_id"], "{label}");
        service.stop();
        assert_eq!(recorded(service.data(), "user.registered"), USERS as u64 - 1, "{label}");
        verified(&service);
    }
}

#[test]
fn an_import_goes_on_on_another_node_when_the_one_that_it_was_sent_to_is_killed() {
    let given = nodes::Given::nothing();
    let (mut one, other) = (given.node("one", &[APP]), given.node("two", &[APP]));
    let (key, body) = ([("Idempotency-Key", "once")], users(1_500));
    let mut wire = Wire::open(&one);
    let head = format!(
        "POST /api/v1/imports?kind=users HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nIdempotency-Key: once\r\n\
         Content-Length: {}\r\n\r\n",
        credentials(APP),
        body.len() + 1
    );
    wire.send(head.as_bytes());
    wire.send(&body);
    let dealt_with = |other: &Service| get(other, "operations")["operations"][0]["done"].as_u64().unwrap_or(0);
    other.eventually("a part was recorded", |other| dealt_with(other) >= 500);
    one.kill();
    let reply = send(&other, "kind=users", &key, &body);
    let (done, skipped, refused, complete) = counts(&reply);
    assert_eq!((done + skipped, refused, complete), (1_499, 1, true));
    assert_eq!(skipped, 0, "nothing is done twice");
}
