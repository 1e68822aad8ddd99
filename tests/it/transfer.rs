//! Files of users and of what they are to each other are brought in and taken out.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{App, Service, rollcall};

const APP: App = App::PRODUCTION;

/// A stopped service with one app, and a place for files.
struct Stopped {
    service: Service,
    dir: tempfile::TempDir,
}

impl Stopped {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut service = Service::start_in(&dir.path().join("data"), &[APP]);
        service.stop();
        Self { service, dir }
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn import(&self, kind: &str, path: &Path, args: &[&str]) -> Output {
        rollcall(&[&["import", kind, path.to_str().unwrap()], args].concat(), self.service.data())
    }

    /// Imports and answers what is said, and the exit code.
    fn imported(&self, kind: &str, path: &Path, args: &[&str]) -> (String, Option<i32>) {
        let output = self.import(kind, path, args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.code() != Some(1), "{text}{}", String::from_utf8_lossy(&output.stderr));
        (text, output.status.code())
    }

    /// What is exported, sorted.
    fn exported(&self, kind: &str) -> Vec<Value> {
        let output = rollcall(&["export", kind], self.service.data());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut lines: Vec<Value> =
            String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        lines.sort_by_key(Value::to_string);
        lines
    }
}

fn lines(records: &[Value]) -> String {
    records.iter().map(|record| format!("{record}\n")).collect()
}

fn refused(path: &Path) -> Vec<Value> {
    let report = fs::read_to_string(
        path.with_file_name(format!("{}.refused.jsonl", path.file_name().unwrap().to_str().unwrap())),
    );
    report.unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn what_is_imported_is_what_is_exported_and_what_the_service_answers() {
    let mut stopped = Stopped::new();
    let users = [
        json!({"name": "Ada", "portrait_uri": "https://p/a", "profile": {"email": "a@b", "gender": 2}, "user_id": "ada"}),
        json!({"name": "Bob", "user_id": "bob"}),
        json!({"name": "Eve", "user_id": "eve"}),
    ];
    let friends = [
        json!({"friend_id": "bob", "remark": "from school", "user_id": "ada"}),
        json!({"friend_id": "eve", "remark": "tennis", "user_id": "bob"}),
    ];
    let groups = [
        json!({"friend_id": "ada", "group_id": 7, "label": "tennis", "user_id": "bob"}),
        json!({"friend_id": "eve", "group_id": 7, "label": "tennis", "user_id": "bob"}),
        json!({"group_id": 1, "label": "family", "user_id": "ada"}),
    ];
    let blocks = [json!({"target_id": "ada", "user_id": "eve"}), json!({"target_id": "eve", "user_id": "ada"})];
    let allows = [
        json!({"enabled": true, "user_id": "bob"}),
        json!({"target_id": "bob", "user_id": "eve"}),
        json!({"target_id": "eve", "user_id": "bob"}),
    ];
    for (kind, records) in [
        ("users", &users[..]),
        ("friends", &friends),
        ("friend-groups", &groups),
        ("blocks", &blocks),
        ("allows", &allows),
    ] {
        let path = stopped.file(&format!("{kind}.jsonl"), &lines(records));
        let (said, code) = stopped.imported(kind, &path, &[]);
        assert_eq!(
            (said.as_str(), code),
            (&*format!("{} records imported, 0 left as they are, 0 refused\n", records.len()), Some(0))
        );
        assert_eq!(stopped.exported(kind), records, "{kind}");
        assert_eq!(fs::read_dir(stopped.dir.path()).unwrap().count(), 2, "nothing is left beside the file");
        fs::remove_file(path).unwrap();
    }
    let end = (rollcall::engine::clock::Clock::default().now() + chrono::Duration::days(2)).to_rfc3339();
    let bans = [
        json!({"user_id": "bob", "minutes": 60, "reason": "spam"}),
        json!({"user_id": "eve", "permanent": true}),
        json!({"user_id": "kim", "starts_at": end, "minutes": 5}),
    ];
    let path = stopped.file("bans.jsonl", &lines(&bans));
    stopped.imported("bans", &path, &[]);
    let exported = stopped.exported("bans");
    assert_eq!((exported.len(), &exported[0]["reason"]), (3, &json!("spam")), "{exported:?}");

    let mutes = [
        json!({"ends_at": "2996-02-29T23:59:59.999Z", "user_id": "eve"}),
        json!({"permanent": true, "user_id": "bob"}),
        json!({"permanent": true, "user_id": "kim"}),
    ];
    stopped.imported("mutes", &stopped.file("mutes.jsonl", &lines(&mutes)), &[]);
    assert_eq!(stopped.exported("mutes"), mutes);

    stopped.service.restart();
    let info = stopped.service.post(APP, "/user/info.json", &[("userId", "ada")]);
    assert_eq!(info.json()["userName"], "Ada", "{}", info.text);
    let list = stopped.service.post(APP, "/user/whitelist/query.json", &[("userId", "bob")]).json();
    assert_eq!(list["users"], json!(["eve"]));
    let banned = stopped.service.post(APP, "/user/block/query.json", &[]).json();
    assert_eq!(banned["users"].as_array().unwrap().len(), 2, "{banned}");
}

#[test]
fn a_record_that_is_refused_is_reported_and_once_corrected_the_report_is_imported() {
    let stopped = Stopped::new();
    let csv = "user_id,name,portrait_uri,profile.email,profile.level\n\
               ada,\"Ada, Countess\",,ada@b,7\n\
               not ok,Bob,,,\n\
               eve,,,,\n\
               joe,Joe\n";
    let path = stopped.file("users.csv", csv);
    let (said, code) = stopped.imported("users", &path, &["--dry-run"]);
    let (would, code_of_dry_run) =
        ("1 records would be imported, 0 would be left as they are, 3 would be refused", code);
    assert!(said.starts_with(would) && code_of_dry_run == Some(3), "{said}");
    assert!(stopped.exported("users").is_empty(), "a dry run changes nothing");
    let (said, code) = stopped.imported("users", &path, &[]);
    assert!(said.starts_with("1 records imported, 0 left as they are, 3 refused") && code == Some(3), "{said}");
    assert_eq!(
        stopped.exported("users"),
        [json!({"user_id": "ada", "name": "Ada, Countess", "profile": {"email": "ada@b", "level": 7}})]
    );
    let report = refused(&path);
    let problems: Vec<_> =
        report.iter().map(|line| (line["_record"].as_u64(), line["_problem"].as_str().unwrap())).collect();
    assert_eq!(
        problems,
        [
            (Some(2), "user_id must be letters, digits and + = - _ only"),
            (Some(3), "missing field `name`"),
            (Some(4), "the row has 2 cells, the first row names 5 columns"),
        ]
    );
    let mut corrected = report[..2].to_vec();
    corrected[0]["user_id"] = json!("bob");
    corrected[1]["name"] = json!("Eve");
    let path = stopped.file("corrected.jsonl", &lines(&corrected));
    assert_eq!(stopped.imported("users", &path, &[]).1, Some(0));
    let ids: Vec<_> = stopped.exported("users").iter().map(|user| user["user_id"].clone()).collect();
    assert_eq!(ids, ["ada", "bob", "eve"].map(Value::from), "{ids:?}");
}

#[test]
fn what_is_there_already_is_left_refused_or_changed_as_asked() {
    let stopped = Stopped::new();
    let first = stopped.file("first.jsonl", &lines(&[json!({"user_id": "ada", "name": "Ada"})]));
    stopped.imported("users", &first, &[]);
    let named = |name: &str| lines(&[json!({"user_id": "ada", "name": name})]);
    for (policy, said, name) in [
        ("skip", "0 records imported, 1 left as they are, 0 refused", "Ada"),
        ("fail", "0 records imported, 0 left as they are, 1 refused", "Ada"),
        ("update", "1 records imported, 0 left as they are, 0 refused", "With update"),
    ] {
        let path = stopped.file(&format!("{policy}.jsonl"), &named(&format!("With {policy}")));
        let answered = stopped.imported("users", &path, &["--on-conflict", policy]).0;
        assert!(answered.starts_with(said), "{policy}: {answered}");
        assert_eq!(stopped.exported("users")[0]["name"], *name, "{policy}");
    }
    assert_eq!(refused(&stopped.dir.path().join("fail.jsonl"))[0]["_problem"], "the user is registered already");
}

#[test]
fn a_mute_that_is_there_or_over_is_told_and_no_failure_and_ends_when_the_record_says() {
    let mut stopped = Stopped::new();
    let ends = "2996-02-29T23:59:59.999Z";
    let csv = format!(
        "user_id,minutes,ends_at,permanent\n\
         ada,,{ends},\n\
         bob,,,true\n\
         eve,,2001-01-01T00:00:00Z,\n\
         joe,60,,\n\
         kim,,,\n\
         max,0,,\n\
         zoe,5,{ends},\n"
    );
    let path = stopped.file("mutes.csv", &csv);
    let (would, code) = stopped.imported("mutes", &path, &["--dry-run"]);
    assert!(would.starts_with("4 records would be imported, 0 would be left as they are, 3 would be"), "{would}");
    assert!(stopped.exported("mutes").is_empty() && code == Some(3), "a dry run mutes nobody");
    let (said, code) = stopped.imported("mutes", &path, &[]);
    assert!(said.starts_with("3 records imported, 1 left as they are, 3 refused") && code == Some(3), "{said}");
    let problems: Vec<_> = refused(&path).iter().map(|line| line["_problem"].clone()).collect();
    let one = "give one of minutes, ends_at and permanent";
    assert_eq!(problems, [one, "minutes must be from 1 to 43200", one].map(Value::from));
    let exported = stopped.exported("mutes");
    assert_eq!(
        exported[1..],
        [json!({"ends_at": ends, "user_id": "ada"}), json!({"permanent": true, "user_id": "bob"})]
    );
    assert_eq!((&exported[0]["user_id"], exported[0]["ends_at"].is_string()), (&json!("joe"), true));

    let twice = stopped.file("twice.jsonl", &lines(&exported));
    assert!(stopped.imported("mutes", &twice, &[]).0.starts_with("0 records imported, 3 left as they are, 0 refused"));
    for (policy, said, end) in [
        ("skip", "0 records imported, 1 left as they are, 0 refused", json!({"ends_at": ends, "user_id": "ada"})),
        ("fail", "0 records imported, 0 left as they are, 1 refused", json!({"ends_at": ends, "user_id": "ada"})),
        ("update", "1 records imported, 0 left as they are, 0 refused", json!({"permanent": true, "user_id": "ada"})),
    ] {
        let path = stopped.file(&format!("{policy}.jsonl"), &lines(&[json!({"user_id": "ada", "permanent": true})]));
        let answered = stopped.imported("mutes", &path, &["--on-conflict", policy]).0;
        assert!(answered.starts_with(said), "{policy}: {answered}");
        assert!(stopped.exported("mutes").contains(&end), "{policy}");
    }
    assert_eq!(refused(&stopped.dir.path().join("fail.jsonl"))[0]["_problem"], "the user is muted already");
    stopped.service.restart();
    let bearer = [("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    let muted = stopped.service.request("GET", "/api/v1/users/ada/mute", &bearer, b"");
    assert_eq!(muted.json()["until"], Value::Null, "{}", muted.text);
}

#[test]
fn a_friend_group_is_made_once_whatever_the_order_of_its_records_and_only_friends_come_into_it() {
    let stopped = Stopped::new();
    let named = |name: &&str| json!({"user_id": name, "name": name});
    let users = stopped.file("users.jsonl", &lines(&["ada", "bob", "eve", "kim"].each_ref().map(named)));
    stopped.imported("users", &users, &[]);
    let friends = ["bob", "eve"].map(|friend| json!({"user_id": "ada", "friend_id": friend}));
    stopped.imported("friends", &stopped.file("friends.jsonl", &lines(&friends)), &[]);
    let csv = "user_id,group_id,label,friend_id\n\
               ada,1,7,bob\n\
               ada,1,7,eve\n\
               ada,1,7,kim\n\
               ada,2,,bob\n\
               ada,101,x,\n\
               ada,3,,\n";
    let path = stopped.file("groups.csv", csv);
    let (would, _) = stopped.imported("friend-groups", &path, &["--dry-run"]);
    assert!(would.starts_with("4 records would be imported, 0 would be left as they are, 2 would be"), "{would}");
    let (said, code) = stopped.imported("friend-groups", &path, &[]);
    assert!(said.starts_with("2 records imported, 0 left as they are, 4 refused") && code == Some(3), "{said}");
    let problems: Vec<_> = refused(&path).iter().map(|line| line["_problem"].clone()).collect();
    let expected = [
        "the two users are not friends",
        "the user has no friend group of that number; make it first",
        "group_id must be from 1 to 100",
        "give label, friend_id or both",
    ];
    assert_eq!(problems, expected.map(Value::from));
    let group =
        |label: &str, friend: &str| json!({"user_id": "ada", "group_id": 1, "label": label, "friend_id": friend});
    assert_eq!(stopped.exported("friend-groups"), [group("7", "bob"), group("7", "eve")]);
    for (policy, said, label) in [
        ("skip", "0 records imported, 1 left as they are, 0 refused", "7"),
        ("fail", "0 records imported, 0 left as they are, 1 refused", "7"),
        ("update", "1 records imported, 0 left as they are, 0 refused", "update"),
    ] {
        let record = json!({"user_id": "ada", "group_id": 1, "label": policy});
        let path = stopped.file(&format!("{policy}.jsonl"), &lines(&[record]));
        let answered = stopped.imported("friend-groups", &path, &["--on-conflict", policy]).0;
        assert!(answered.starts_with(said), "{policy}: {answered}");
        assert_eq!(stopped.exported("friend-groups")[0]["label"], *label, "{policy}");
    }
    let path = stopped.file("allows.csv", "user_id,target_id,enabled\nada,bob,\nada,,true\nada,eve,true\nada,,\n");
    let (said, code) = stopped.imported("allows", &path, &[]);
    assert!(said.starts_with("2 records imported, 0 left as they are, 2 refused") && code == Some(3), "{said}");
    assert_eq!(refused(&path)[0]["_problem"], "give one of target_id and enabled");
    let path = stopped.file("off.jsonl", &lines(&[json!({"user_id": "ada", "enabled": false})]));
    stopped.imported("allows", &path, &[]);
    assert_eq!(stopped.exported("allows"), [json!({"user_id": "ada", "target_id": "bob"})]);
}

#[test]
fn an_import_that_is_killed_goes_on_and_does_every_record_once() {
    const USERS: usize = 20_000;
    let stopped = Stopped::new();
    let mut users: Vec<Value> = (0..USERS).map(|n| json!({"user_id": format!("user{n}"), "name": "N"})).collect();
    users[5] = json!({"user_id": "no name"});
    let path = stopped.file("users.jsonl", &lines(&users));
    let checkpoint = stopped.dir.path().join("users.jsonl.refused.jsonl.checkpoint");
    let data = stopped.service.data();
    let mut killed = 0;
    while killed < 2 {
        let mut import = Command::new(env!("CARGO_BIN_EXE_rollcall"))
            .args(["import", "users", path.to_str().unwrap(), "--on-conflict", "fail", "--data-dir"])
            .arg(data)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let before = fs::read(&checkpoint).ok();
        while fs::read(&checkpoint).ok() == before && import.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(import.try_wait().unwrap().is_none(), "it was done before it could be killed: make the file longer");
        import.kill().unwrap();
        import.wait().unwrap();
        killed += 1;
    }
    // Another file, or other options, would be another import.
    let output = stopped.import("users", &path, &["--on-conflict", "skip"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("with other options"), "{output:?}");
    let (said, code) = stopped.imported("users", &path, &["--on-conflict", "fail"]);
    assert!(said.starts_with("19999 records imported, 0 left as they are, 1 refused"), "{said}");
    assert_eq!((code, refused(&path).len(), checkpoint.exists()), (Some(3), 1, false));
    assert_eq!(stopped.exported("users").len(), USERS - 1);
}

#[test]
fn exports_of_other_services_are_read_as_they_are_written() {
    let stopped = Stopped::new();
    let firebase = json!({"users": [
        {"localId": "fb1", "email": "a@b", "displayName": "Ada", "photoUrl": "https://p/1", "passwordHash": "x", "disabled": false},
        {"localId": "fb2", "disabled": true},
        {"localId": "fb3", "email": "c@d"},
    ]});
    let auth0 = lines(&[
        json!({"user_id": "auth0|5f7c", "email": "a@b", "name": "Bob", "picture": "https://p/2"}),
        json!({"Id": "auth0|5f7d", "Nickname": "bobby", "blocked": true}),
    ]);
    let keycloak = json!({"realm": "r", "roles": {"realm": []}, "users": [
        {"id": "8c4a7c1e-0b0e-4b7e-9a3e-1d2c3b4a5f60", "username": "eve", "firstName": "Eve", "lastName": "Smith",
         "enabled": true, "attributes": {"picture": ["https://p/3"]}},
    ], "clients": []});
    let stream = lines(&[
        json!({"type": "user", "item": {"id": "st1", "name": "Joe", "image": "https://p/4", "role": "user"}}),
        json!({"type": "channel", "item": {"id": "general"}}),
        json!({"type": "user", "item": {"id": "st@2", "name": "No"}}),
    ]);
    let rongcloud = json!([{"userId": "rc1", "userName": "Kim", "userPortrait": "https://p/5"}]);
    for (from, text, said) in [
        (
            "firebase",
            serde_json::to_string_pretty(&firebase).unwrap(),
            "2 records imported, 0 left as they are, 1 refused",
        ),
        ("auth0", auth0, "1 records imported, 0 left as they are, 1 refused"),
        ("keycloak", keycloak.to_string(), "1 records imported, 0 left as they are, 0 refused"),
        ("stream", stream, "1 records imported, 1 left as they are, 1 refused"),
        ("rongcloud", rongcloud.to_string(), "1 records imported, 0 left as they are, 0 refused"),
    ] {
        let path = stopped.file(&format!("{from}.json"), &text);
        let answered = stopped.imported("users", &path, &["--from", from]).0;
        assert!(answered.starts_with(said), "{from}: {answered}");
    }
    let expected = [
        json!({"name": "Ada", "portrait_uri": "https://p/1", "user_id": "fb1"}),
        json!({"name": "Bob", "portrait_uri": "https://p/2", "user_id": "auth0=5f7c"}),
        json!({"name": "Eve Smith", "portrait_uri": "https://p/3", "user_id": "8c4a7c1e-0b0e-4b7e-9a3e-1d2c3b4a5f60"}),
        json!({"name": "Joe", "portrait_uri": "https://p/4", "user_id": "st1"}),
        json!({"name": "Kim", "portrait_uri": "https://p/5", "user_id": "rc1"}),
        json!({"name": "fb3", "user_id": "fb3"}),
    ];
    assert_eq!(stopped.exported("users"), expected);
    let broken = stopped.file("broken.json", r#"{"users": [{"localId": "x1"}, {"localId": "#);
    let output = stopped.import("users", &broken, &["--from", "firebase"]);
    assert!(
        !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("line 1 column"),
        "{output:?}"
    );
}
