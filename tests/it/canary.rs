//! Personal data is written in the clear nowhere, and nobody is shown it once it is erased: unique texts are planted
//! through every input and looked for in every byte.

use std::path::Path;

use rusqlite::Connection;

use crate::support::soundness::{rebuilt, recorded, verified};
use crate::support::{App, Service, rollcall};

mod dictionary;
mod everywhere;
mod memory;
mod resurrection;
pub mod scanner;

use scanner::{Scanner, encodings};

const APP: App = App { key: "InTheClearByDesign", secret: "canarysecret", kind: "development" };
/// In every value about the one who leaves.
const LEAVES: &str = "Zq7VogelWeg";
/// In every value about the one who stays.
const STAYS: &str = "Xk4VogelHier";
/// In every userId.
const IDENTITY: &str = "Jw9VogelIst";
/// In everything that is refused.
const REFUSED: &str = "Pf3VogelFalsch";
const LEAVER: &str = "Jw9VogelIstLeaver";
const STAYER: &str = "Jw9VogelIstStayer";

/// A service whose app knows extension fields and asks for approval of friends.
fn start() -> Service {
    let mut service = Service::start(&[APP]);
    service.stop();
    let declare = ["apps", "set", APP.key, "--user-field", "ext_motto", "--friend-field", "ext_nick"];
    assert!(service.command(&[&declare[..], &["--friend-permission", "approval"]].concat()).status.success());
    // Its memory is read, which whoever is not root could not do otherwise.
    service.restart_through(&["env", "ROLLCALL_ALLOW_CORE_DUMPS=1"]);
    service
}

/// Values about `who` wherever there can be some, written by it and by `other`.
fn plant(service: &Service, who: &str, other: &str, stem: &str) {
    let value = |kind: &str| format!("{stem}-{kind}");
    let post = |path: &str, form: &[(&str, &str)]| service.post(APP, path, form).ok();
    let portrait = format!("https://example.org/{stem}.png");
    post("/user/getToken.json", &[("userId", who), ("name", &value("first name")), ("portraitUri", &portrait)]);
    post("/user/refresh.json", &[("userId", who), ("name", &value("name"))]);
    let fixed = serde_json::json!({"name": value("hosted"), "email": format!("{stem}@example.org")}).to_string();
    let extension = serde_json::json!({"ext_motto": value("motto")}).to_string();
    let profile = [("userId", who), ("userProfile", &fixed), ("userExtProfile", &extension)];
    post("/user/profile/set.json", &profile);
    let tags = serde_json::json!({"userId": who, "tags": [value("tag")]});
    service.post_json(APP, "/user/tag/set.json", &tags).ok();
    let remarks = serde_json::json!([{"id": who, "remark": value("remark")}]).to_string();
    post("/user/remarks/set.json", &[("userId", other), ("remarks", &remarks)]);
}

/// Friendships with values, and requests with texts, in both directions.
fn relate(service: &Service) {
    let post = |path: &str, form: &[(&str, &str)]| service.post(APP, path, form).ok();
    let asks = |who: &str, target: &str, text: &str| {
        post("/friend/add.json", &[("userId", who), ("targetId", target), ("optType", "1"), ("extra", text)])
    };
    service.register(APP, &["third"]);
    asks(LEAVER, "third", &format!("{LEAVES}-asks"));
    asks("third", LEAVER, &format!("{LEAVES}-is asked"));
    post("/friend/add.json", &[("userId", LEAVER), ("targetId", STAYER), ("optType", "2")]);
    for (who, target, stem) in [(LEAVER, STAYER, STAYS), (STAYER, LEAVER, LEAVES)] {
        let fields = serde_json::json!({"ext_nick": format!("{stem}-nick")}).to_string();
        let remark = format!("{stem}-remark name");
        let form = [("userId", who), ("targetId", target), ("remarkName", &remark), ("friendExtProfile", &fields)];
        post("/friend/profile/set.json", &form);
    }
    for (who, friend, stem) in [(LEAVER, STAYER, LEAVES), (STAYER, LEAVER, STAYS)] {
        let group = format!("/api/v1/users/{who}/friend-groups/1");
        let label = serde_json::json!({"label": format!("{stem}-group")}).to_string();
        for (path, body) in [(group.clone(), label.as_str()), (format!("{group}/friends/{friend}"), "")] {
            let reply = service.request("PUT", &path, &bearer(), body.as_bytes());
            assert_eq!(reply.status, 204, "{path}: {}", reply.text);
        }
    }
}

/// The app's credentials on REST.
fn bearer() -> [(String, String); 1] {
    [("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))]
}

fn planted() -> Service {
    let service = start();
    service.register(APP, &[LEAVER, STAYER]);
    plant(&service, LEAVER, STAYER, LEAVES);
    plant(&service, STAYER, LEAVER, STAYS);
    relate(&service);
    service
}

/// Everything the API tells about users.
fn told(service: &Service) -> String {
    let mut all = String::new();
    let mut ask = |path: &str, form: &[(&str, &str)]| {
        let reply = service.post(APP, path, form);
        assert!(matches!(reply.status, 200 | 400), "{path}: {} {}", reply.status, reply.text);
        all.push_str(&format!("{path} {}\n", reply.text.replace('\\', "")));
    };
    for who in [LEAVER, STAYER, "third"] {
        ask("/user/info.json", &[("userId", who)]);
        ask("/user/profile/batch/query.json", &[("userId", who)]);
        ask("/user/tags/get.json", &[("userIds", who)]);
        ask("/user/remarks/get.json", &[("userId", who)]);
        ask("/friend/get.json", &[("userId", who)]);
    }
    ask("/user/query.json", &[]);
    ask("/user/profile/query.json", &[]);
    for who in [LEAVER, STAYER, "third"] {
        for list in ["friends", "friend-requests", "friend-groups", "friend-groups/1"] {
            let reply = service.request("GET", &format!("/api/v1/users/{who}/{list}"), &bearer(), b"");
            assert!(matches!(reply.status, 200 | 404 | 410), "{list}: {} {}", reply.status, reply.text);
            all.push_str(&format!("{list} {}\n", reply.text));
        }
    }
    all
}

/// Deactivates and waits until the keys are destroyed.
fn deactivate(service: &Service) {
    let cell = service.data().join("root.cell");
    let before = std::fs::read(&cell).unwrap();
    service.post(APP, "/user/deactivate.json", &[("userId", LEAVER)]).ok();
    finished(service);
    assert_ne!(std::fs::read(&cell).unwrap(), before, "the root key was not replaced");
}

/// Waits until the log says that the erasure is done.
fn finished(service: &Service) {
    service.eventually("the erasure is finished", |service| recorded(service.data(), "erasure.finalised") == 1);
}

#[track_caller]
fn nowhere_below(dir: &Path) {
    let found = Scanner::of(&[LEAVES, STAYS, IDENTITY, REFUSED]).found_below(dir);
    assert!(found.is_empty(), "in the clear: {found:?}");
}

/// Fails unless nothing of the one who left is told, and everything of the one who stays.
#[track_caller]
fn only_the_stayer_is_told(service: &Service) {
    let told = told(service);
    assert!(!told.contains(LEAVES), "{told}");
    let kinds = ["name", "hosted", "motto", "tag", "group"];
    for value in kinds.map(|kind| format!("{STAYS}-{kind}")).into_iter().chain([format!("{STAYS}@example.org")]) {
        assert!(told.contains(&value), "{value} is lost: {told}");
    }
}

#[test]
fn the_scanner_finds_what_is_written_in_the_clear_in_every_encoding() {
    let service = start();
    let marker = "Hh5VogelDa";
    assert!(encodings(marker).len() >= 24 + 6);
    for (encoding, bytes) in encodings(marker) {
        let file = service.data().join("leak");
        std::fs::write(&file, [b"\x00before ", bytes.as_slice(), b" after"].concat()).unwrap();
        let found = Scanner::of(&[marker]).found_below(service.data());
        assert!(found.iter().any(|(path, how)| *path == file && how.contains(&encoding)), "{encoding}: {found:?}");
        std::fs::remove_file(file).unwrap();
    }
    let compressed = |gzip: bool| {
        use std::io::Write as _;
        let text = format!("much before {marker} much after");
        let mut out = Vec::new();
        if gzip {
            flate2::write::GzEncoder::new(&mut out, flate2::Compression::best()).write_all(text.as_bytes()).unwrap();
        } else {
            flate2::write::ZlibEncoder::new(&mut out, flate2::Compression::fast()).write_all(text.as_bytes()).unwrap();
        }
        [b"anything".as_slice(), &out].concat()
    };
    for gzip in [true, false] {
        let bytes = compressed(gzip);
        assert!(Scanner::of(&[marker]).found_in(&bytes).contains(&"compressed"), "gzip: {gzip}");
    }
    for before in 0..3 {
        use base64::Engine as _;
        let text = base64::prelude::BASE64_STANDARD.encode(format!("{}{marker} and more", "b".repeat(before)));
        assert!(Scanner::of(&[marker]).found_in(text.as_bytes()).contains(&"base64"), "after {before} bytes");
    }
    // What the service itself writes in the clear is found where it writes it.
    let found = Scanner::of(&[APP.key]).found_below(service.data());
    for part in ["log.db", "read.db"] {
        let named = |path: &Path| path.file_name().unwrap().to_str().unwrap().starts_with(part);
        assert!(found.iter().any(|(path, how)| named(path) && how.contains(&"raw")), "{part}: {found:?}");
    }
}

#[test]
fn a_planted_value_is_in_no_file_and_after_its_erasure_in_no_answer() {
    let mut service = planted();
    let before = told(&service);
    let kinds = ["name", "hosted", "motto", "tag", "remark", "remark name", "nick", "group"];
    for value in kinds.map(|kind| format!("{LEAVES}-{kind}")).into_iter().chain([format!("{LEAVES}.png")]) {
        assert!(before.contains(&value), "{value} was never there: {before}");
    }
    nowhere_below(service.data());

    deactivate(&service);
    only_the_stayer_is_told(&service);
    nowhere_below(service.data());

    service.restart();
    only_the_stayer_is_told(&service);
    service.stop();
    nowhere_below(service.data());
    rebuilt(&service);
    nowhere_below(service.data());
    verified(&service);
    nowhere_below(service.data());
    service.restart();
    only_the_stayer_is_told(&service);

    service.stop();
    assert!(service.command(&["apps", "set", APP.key, "--reactivation-wait-seconds", "0"]).status.success());
    service.restart();
    service.post(APP, "/user/reactivate.json", &[("userId", LEAVER)]).ok();
    only_the_stayer_is_told(&service);
    assert!(Scanner::of(&[LEAVES, STAYS, IDENTITY]).found_in(service.errors().as_bytes()).is_empty());
}

#[test]
fn nothing_is_told_from_the_acknowledgement_on_even_while_the_keys_cannot_be_destroyed() {
    let service = planted();
    let vault = Connection::open(service.data().join("vault.db")).unwrap();
    // Nobody else can write to the vault while this transaction is open.
    vault.execute_batch("begin immediate").unwrap();
    service.post(APP, "/user/deactivate.json", &[("userId", LEAVER)]).ok();
    only_the_stayer_is_told(&service);
    vault.execute_batch("rollback").unwrap();
    finished(&service);
    only_the_stayer_is_told(&service);
}

#[test]
fn a_refused_request_leaves_what_it_carried_neither_in_a_file_nor_in_the_log_of_the_service() {
    let mut service = start();
    service.register(APP, &["ada"]);
    let long = format!("{REFUSED}{}", "x".repeat(2_000));
    let profile = serde_json::json!({"name": long}).to_string();
    let undeclared = serde_json::json!({format!("ext_{REFUSED}"): "x"}).to_string();
    let remarks = serde_json::json!([{"id": REFUSED, "remark": REFUSED}]).to_string();
    let path = format!("/user/{REFUSED}.json?who={REFUSED}");
    for (path, form) in [
        ("/user/getToken.json", &[("userId", "bob"), ("name", long.as_str())][..]),
        ("/user/getToken.json", &[("userId", &long), ("name", "Bob")]),
        ("/user/getToken.json", &[("userId", "bob"), ("name", "Bob"), ("portraitUri", &long)]),
        ("/user/info.json", &[("userId", REFUSED)]),
        ("/user/profile/set.json", &[("userId", "ada"), ("userProfile", &profile)]),
        ("/user/profile/set.json", &[("userId", "ada"), ("userProfile", REFUSED)]),
        ("/user/profile/set.json", &[("userId", "ada"), ("userExtProfile", &undeclared)]),
        ("/friend/add.json", &[("userId", "ada"), ("targetId", "bob"), ("extra", &long)]),
        ("/friend/profile/set.json", &[("userId", "ada"), ("targetId", "bob"), ("remarkName", REFUSED)]),
        ("/user/remarks/set.json", &[("userId", REFUSED), ("remarks", &remarks[..20])]),
        ("/user/block.json", &[("userId", "ada"), ("minute", REFUSED)]),
        (&path, &[]),
    ] {
        assert_ne!(service.post(APP, path, form).status, 200, "{path} {form:?}");
    }
    for (group, label) in [("1", long.as_str()), (REFUSED, REFUSED)] {
        let (path, body) = (format!("/api/v1/users/ada/friend-groups/{group}"), serde_json::json!({"label": label}));
        assert_eq!(service.request("PUT", &path, &bearer(), body.to_string().as_bytes()).status, 422);
    }
    let unsigned = App { secret: "wrong", ..APP };
    service.post(unsigned, "/user/getToken.json", &[("userId", "bob"), ("name", REFUSED)]).refused(401, 1004);
    service.raw(format!("GET /{REFUSED} HTTP/9.9\r\nX: {REFUSED}\r\n\r\n").as_bytes());
    service.stop();
    nowhere_below(service.data());
    let found = Scanner::of(&[REFUSED]).found_in(service.errors().as_bytes());
    assert!(found.is_empty(), "{}", service.errors());
}

fn copy(from: &Path, to: &Path, parts: &[&str]) {
    for entry in from.read_dir().unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if parts.iter().any(|part| name.starts_with(part)) {
            std::fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

#[test]
fn old_copies_of_the_files_show_nothing_that_was_erased_since() {
    let mut service = planted();
    service.kill();
    let old = tempfile::tempdir().unwrap();
    copy(service.data(), old.path(), &["log.db", "read.db", "vault.db"]);
    service.restart();
    deactivate(&service);
    only_the_stayer_is_told(&service);
    service.stop();
    const REWOUND: &str = "was put back to an earlier state";
    let refused_with = "root.cell, A/B slots in place) does not hold the root of generation";
    for (parts, refusal) in [
        (&["log.db", "read.db", "vault.db"][..], Some(refused_with)),
        (&["vault.db"], Some(refused_with)),
        (&["log.db"], Some(REWOUND)),
        (&["log.db", "read.db"], Some(REWOUND)),
        (&["read.db"], None),
    ] {
        let mixed = tempfile::tempdir().unwrap();
        copy(service.data(), mixed.path(), &["log.db", "read.db", "vault.db", "root.cell"]);
        copy(old.path(), mixed.path(), parts);
        match Service::try_start(mixed.path(), &[APP], &[]) {
            Ok(service) => {
                let told = told(&service);
                assert!(refusal.is_none() && !told.contains(LEAVES), "with old {parts:?}: {told}");
            }
            Err(said) => {
                let of = |part: &str| said.lines().any(|line| line.starts_with("rollcall: ") && line.contains(part));
                let expected = refusal.is_some_and(of);
                assert!(expected, "with old {parts:?}: {said}");
            }
        }
        nowhere_below(mixed.path());
        if refusal == Some(REWOUND) {
            let recovered = rollcall(&["recover"], mixed.path());
            assert!(recovered.status.success(), "{}", String::from_utf8_lossy(&recovered.stderr));
            assert_eq!(recorded(mixed.path(), "erasure.finalised"), 1, "with old {parts:?}");
            let service = Service::try_start(mixed.path(), &[APP], &[]).unwrap();
            let told = told(&service);
            assert!(told.contains(STAYS) && !told.contains(LEAVES), "recovered from old {parts:?}: {told}");
            nowhere_below(mixed.path());
        }
    }
}
