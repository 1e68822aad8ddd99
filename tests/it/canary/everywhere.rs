//! A unique text in every parameter of every endpoint of every face: whatever becomes of the request, the text is in
//! the clear in no file, no backup and no line the service writes.

use serde_json::{Value, json};

use super::Scanner;
use crate::support::{App, Service, copy_dir};

const APP: App = App::PRODUCTION;
const MARK: &str = "Ym6VogelUeberall";

/// Every endpoint of the Server API v1, read where they are routed.
fn server_v1_paths() -> Vec<String> {
    let source = include_str!("../../../src/http/server_v1/mod.rs");
    let paths = source.split('"').filter(|text| text.starts_with('/') && text.ends_with(".json"));
    paths.map(str::to_owned).collect()
}

/// Every endpoint of the Server API v4.
fn server_v4_paths() -> Vec<String> {
    let source = include_str!("../../../src/http/server_v4/mod.rs");
    let paths = source.split('"').filter(|text| text.starts_with("/v4/"));
    paths.map(str::to_owned).collect()
}

/// Every parameter an endpoint of the face reads, and more that none does.
fn server_v1_parameters() -> Vec<String> {
    quoted_words("/src/http/server_v1")
}

/// The words in quotes in the sources of a face.
fn quoted_words(face: &str) -> Vec<String> {
    let mut names = vec!["unknown".to_owned()];
    let sources = std::fs::read_dir(format!("{}{face}", env!("CARGO_MANIFEST_DIR"))).unwrap();
    for source in sources {
        let source = std::fs::read_to_string(source.unwrap().path()).unwrap();
        let quoted = source.split('"').skip(1).step_by(2);
        names.extend(quoted.filter(|t| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphabetic())).map(str::to_owned));
    }
    names.sort_unstable();
    names.dedup();
    names
}

fn say_it_everywhere(service: &Service) -> (usize, usize) {
    let (mut asked, mut taken) = (0, 0);
    let mut count = |status: u16| {
        asked += 1;
        taken += usize::from(status < 300);
        assert!(status < 500, "{status}");
    };
    let parameters = server_v1_parameters();
    for (number, path) in server_v1_paths().iter().enumerate() {
        let value = format!("{MARK}{number}");
        let form: Vec<_> = parameters.iter().map(|name| (name.as_str(), value.as_str())).collect();
        count(service.post(APP, path, &form).status);
        // As far as it is taken: what is said of somebody who exists.
        let known: Vec<_> = form
            .iter()
            .map(|(name, value)| match *name {
                "userId" | "userIds" | "id" | "ids" => (*name, "ada"),
                "targetId" | "targetIds" | "blackUserId" | "whiteUserId" | "friendId" => (*name, "bob"),
                "minute" | "optType" | "page" | "size" | "time" | "state" | "order" => (*name, "1"),
                _ => (*name, *value),
            })
            .collect();
        count(service.post(APP, path, &known).status);
        count(
            service
                .post_json(APP, path, &json!({"userId": "ada", "tags": [value], "remark": value, "x": value}))
                .status,
        );
    }
    for path in server_v4_paths() {
        let people = ["userId", "targetId", "userIds", "targetIds", "targetUserIds", "blockedUserIds"];
        for known in [false, true] {
            let mut body: serde_json::Map<String, Value> =
                quoted_words("/src/http/server_v4").into_iter().map(|name| (name, json!(MARK))).collect();
            for (name, user) in people.into_iter().zip(["ada", "bob", "ada", "bob", "bob", "bob"]).filter(|_| known) {
                body.insert(name.into(), if name.ends_with('s') { json!([user]) } else { json!(user) });
            }
            if known {
                let numbers = ["durationMinutes", "action", "permissionType", "muteState", "page", "pageSize", "order"];
                body.extend(numbers.map(|name| (name.to_owned(), json!(1))));
                body.insert("tags".into(), json!([MARK]));
                body.insert("userProfile".into(), json!({"name": MARK, "email": MARK}));
                for name in ["channelTypes", "friendExtProfile", "userExtProfile", "offset", "pageToken"] {
                    body.remove(name);
                }
                body.insert("channelType".into(), json!("PERSON"));
            }
            count(service.post_json(APP, &path, &Value::Object(body)).status);
        }
    }
    let document: Value = service.request("GET", "/openapi.json", &[], b"").json();
    let bearer = ("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret));
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "put", "patch", "post", "delete"].into_iter().filter(|method| item.get(method).is_some())
        {
            let headers = [
                bearer.clone(),
                ("Idempotency-Key".to_owned(), format!("{MARK}-{method}-{path}")),
                ("X-Request-ID".to_owned(), MARK.to_owned()),
                ("X-Anything".to_owned(), MARK.to_owned()),
            ];
            for (id, body) in [
                (MARK, json!({"name": MARK, "user_id": MARK, "reason": MARK, "scope": MARK, "more": MARK})),
                (MARK, json!({"name": MARK, "portrait_uri": format!("https://example.org/{MARK}")})),
                ("ada", json!({"reason": MARK})),
                ("ada", json!({"user_id": "bob", "text": MARK})),
                ("ada", json!({"remark": MARK})),
                ("ada", json!({"label": MARK})),
                (MARK, json!(MARK)),
            ] {
                let asked = format!(
                    "{}?cursor={MARK}&scope={MARK}&month={MARK}",
                    path.replace("{id}", id).replace("{target}", "bob").replace("{group_id}", "1")
                );
                count(service.request(&method.to_uppercase(), &asked, &headers, body.to_string().as_bytes()).status);
            }
        }
    }
    // Records that are done, that are refused, and that are none.
    for kind in ["users", "friends", "blocks", "bans"] {
        let records = [
            json!({"user_id": MARK, "name": MARK}),
            json!({"user_id": MARK, "friend_id": "bob", "remark": MARK}),
            json!({"user_id": MARK, "target_id": "bob"}),
            json!({"user_id": MARK, "permanent": true, "reason": MARK, "note": MARK}),
            json!({"user_id": format!("not {MARK}"), MARK: MARK}),
            json!(MARK),
        ];
        let body: String = records.iter().map(|record| format!("{record}\n")).collect();
        let path = format!("/api/v1/imports?kind={kind}");
        count(service.request("POST", &path, std::slice::from_ref(&bearer), body.as_bytes()).status);
    }
    for path in [format!("/{MARK}"), format!("/tile/{MARK}"), format!("/health/{MARK}"), format!("/api/v1/{MARK}")] {
        count(service.request("GET", &path, &[], b"").status);
    }
    service.raw(format!("{MARK} {MARK}\r\n\r\n").as_bytes());
    (asked, taken)
}

#[test]
fn what_is_said_through_any_input_of_any_face_is_in_no_line_of_the_log_at_any_level() {
    let dir = tempfile::tempdir().unwrap();
    let everything = ["env", "ROLLCALL_LOG=trace", "ROLLCALL_LOG_FORMAT=json"];
    let args = ["--slow-request-seconds", "0"];
    let mut service = Service::launch_node(&dir.path().join("data"), &[APP], &everything, &args).unwrap();
    service.register(APP, &["ada", "bob"]);
    say_it_everywhere(&service);
    service.stop();
    let said = service.errors();
    for line in said.lines() {
        let read = serde_json::from_str::<Value>(line);
        assert!(read.is_ok_and(|line| line["level"].is_string()), "{line}");
    }
    for control in ["a request was slow", "a call was refused", "answered", r#""route":"registerUser""#, APP.key] {
        assert!(said.contains(control), "the control: {control} is not told");
    }
    let found: Vec<_> =
        said.lines().filter(|line| !Scanner::of(&[MARK]).found_in(line.as_bytes()).is_empty()).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn what_is_said_through_any_input_of_any_face_is_in_the_clear_nowhere() {
    let mut service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob"]);
    let (asked, taken) = say_it_everywhere(&service);
    assert!(asked > 150 && taken > 40, "{taken} of {asked} calls were taken");
    let backups = tempfile::tempdir().unwrap();
    copy_dir(service.data(), &backups.path().join("running"));
    let scanner = Scanner::of(&[MARK]);
    service.post(APP, "/user/getToken.json", &[("userId", "told"), ("name", MARK)]).ok();
    let told = service.post(APP, "/user/info.json", &[("userId", "told")]);
    assert!(told.text.contains(MARK), "the control: it was taken and is told: {}", told.text);
    assert!(!scanner.found_in(told.text.as_bytes()).is_empty(), "the control: the scanner finds it where it is told");
    service.stop();
    copy_dir(service.data(), &backups.path().join("stopped"));
    assert_eq!(scanner.found_below(service.data()), []);
    assert_eq!(scanner.found_below(backups.path()), []);
    assert!(scanner.found_in(service.errors().as_bytes()).is_empty(), "{}", service.errors());
}
