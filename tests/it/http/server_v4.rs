//! The second generation of the platform's Server API: what the documentation shows, and what SDKs read.

use serde_json::{Value, json};

use crate::support::shape::shape;
use crate::support::{App, Reply, Service};

const APP: App = App::PRODUCTION;

/// Every path, as the table of routes has them.
fn paths() -> Vec<&'static str> {
    let table = include_str!("../../../src/http/server_v4/mod.rs");
    let rows = table.lines().filter(|line| line.contains(" => ") && line.trim_start().starts_with('"'));
    let paths: Vec<_> = rows.flat_map(|row| row.split('"')).filter(|text| text.starts_with("/v4/")).collect();
    assert_eq!(paths.len(), 31, "{paths:?}");
    paths
}

fn send(service: &Service, app: App, path: &str, body: &[u8], agent: Option<&str>) -> Reply {
    let mut headers = app.headers();
    headers.push(("Content-Type".into(), "application/json".into()));
    headers.extend(agent.map(|agent| ("User-Agent".to_owned(), agent.to_owned())));
    service.request("POST", path, &headers, body)
}

fn call(service: &Service, path: &str, body: &Value) -> Reply {
    send(service, APP, &format!("/v4/{path}"), body.to_string().as_bytes(), None)
}

/// Fails unless it is done; answers the result.
#[track_caller]
fn done(service: &Service, path: &str, body: &Value) -> Value {
    let reply = call(service, path, body);
    assert_eq!((reply.status, reply.code()), (200, 0), "{path} {body}: {}", reply.text);
    reply.json()["result"].clone()
}

/// Everything any endpoint reads.
fn everything(who: &str) -> Value {
    json!({
        "userId": who, "userIds": [who], "targetId": "b", "targetIds": ["b"], "targetUserIds": ["b"],
        "blockedUserIds": ["b"], "name": "N", "avatarUrl": "https://e.com/a", "expiresAt": 1_600_000_000_000_i64,
        "durationMinutes": 1, "muteState": 1, "channelTypes": ["PERSON"], "channelType": "PERSON", "tags": ["t"],
        "userProfile": {}, "permissionType": 1, "action": 2, "page": 1, "pageSize": 10, "order": 0, "offset": 0,
    })
}

#[test]
fn the_documented_examples_are_answered_in_the_documented_shape() {
    let mut service = Service::start(&[APP]);
    service.stop();
    for field in ["--friend-field", "--user-field"] {
        assert!(service.command(&["apps", "set", APP.key, field, "ext_k"]).status.success());
    }
    service.restart();
    let issued = json!({"userId": "u1", "name": "Ann", "avatarUrl": "https://e.com/a.png"});
    let users =
        "users:[{userId:string,version:number,userProfile:{gender:number,name:string},userExtProfile:{ext_k:string}}]";
    let friends = "friends:[{userId:string,name:string,alias:string,friendExtProfile:{ext_k:string},extraProfile:string,addedAt:number}]";
    for (path, body, result) in [
        ("auth/access-token/issue", issued, "{userId:string,accessToken:string}"),
        ("auth/access-token/issue", json!({"userId": "id2", "name": "n"}), "{userId:string,accessToken:string}"),
        ("auth/access-token/expire", json!({"userIds": ["u1"], "expiresAt": 1_615_340_288_000_i64}), ""),
        ("user/get", json!({"userId": "u1"}), "{name:string,avatarUrl:string,createdAt:string}"),
        ("user/update", json!({"userId": "u1", "name": "Anna"}), ""),
        ("user/connection-status/get", json!({"userId": "u1"}), "{status:string}"),
        ("user/ban", json!({"userIds": ["u1"], "durationMinutes": 60}), ""),
        ("user/ban/list", json!({}), "{bannedUsers:[{userId:string,banExpiresAt:string}]}"),
        ("user/ban/list", json!({"page": 1, "pageSize": 50}), "{bannedUsers:[{userId:string,banExpiresAt:string}]}"),
        ("user/unban", json!({"userIds": ["u1"]}), ""),
        ("channel-type/mute/set", json!({"userIds": ["u1"], "muteState": 1, "channelTypes": [1]}), ""),
        ("channel-type/mute/set", json!({"userIds": ["u1"], "muteState": 1, "channelType": ["PERSON"]}), ""),
        ("channel-type/mute/list", json!({"channelType": "PERSON"}), "{totalCount:number,mutedUserIds:[string]}"),
        ("user/tag/batch/set", json!({"userIds": ["u1"], "tags": ["bj", "\u{7537}"]}), ""),
        ("user/tag/batch/get", json!({"userIds": ["u1"]}), "{users:[{userId:string,tags:[string]}]}"),
        ("user/blocklist/add", json!({"userId": "u1", "targetUserIds": ["uid20", "uid19"]}), ""),
        (
            "user/blocklist/get",
            json!({"userId": "u1", "pageSize": 1}),
            "{pageToken:string,next:string,blockedUserIds:[string]}",
        ),
        ("user/blocklist/get", json!({"userId": "u1", "order": 0}), "{blockedUserIds:[string]}"),
        ("user/blocklist/remove", json!({"userId": "u1", "blockedUserIds": ["uid20"]}), ""),
        (
            "user/profile/set",
            json!({"userId": "u1", "userProfile": {"name": "A", "gender": 1}, "userExtProfile": {"ext_k": "v"}}),
            "",
        ),
        ("user/profile/batch/get", json!({"userIds": ["u1", "id2"]}), &format!("{{{users}}}")),
        ("user/profile/list", json!({"page": 1, "pageSize": 20, "order": 0}), &format!("{{{users}}}")),
        ("user/profile/delete", json!({"userIds": ["u1"]}), ""),
        ("friend/add", json!({"userId": "u1", "targetId": "id2", "action": 2, "extra": "Hello"}), ""),
        (
            "friend/profile/set",
            json!({"userId": "u1", "targetId": "id2", "alias": "a", "friendExtProfile": {"ext_k": "v"}}),
            "",
        ),
        (
            "friend/list",
            json!({"userId": "u1", "pageToken": "", "pageSize": "50", "order": "0"}),
            &format!("{{pageToken:string,totalCount:number,{friends}}}"),
        ),
        (
            "friend/relationship/get",
            json!({"userId": "u1", "targetIds": ["id2"]}),
            "{friendships:[{userId:string,result:number}]}",
        ),
        ("friend/permission/set", json!({"userIds": ["u1"], "permissionType": 2}), ""),
        ("friend/permission/get", json!({"userIds": ["u1"]}), "{permissions:[{userId:string,permissionType:number}]}"),
        ("friend/delete", json!({"userId": "u1", "targetIds": ["id2"]}), ""),
        ("friend/remove", json!({"userId": "u1", "targetIds": ["id2"]}), ""),
        ("friend/remove-all", json!({"userId": "u1"}), ""),
        ("user/soft-delete", json!({"userIds": ["u1"]}), "{operationId:string}"),
        ("user/soft-deleted/list", json!({"page": 1, "pageSize": 50}), "{userIds:[string]}"),
        ("user/restore", json!({"userIds": ["id2"]}), "{operationId:string}"),
    ] {
        let reply = call(&service, path, &body);
        let expected =
            if result.is_empty() { "{code:number}".into() } else { format!("{{code:number,result:{result}}}") };
        assert_eq!((reply.status, reply.code()), (200, 0), "{path}: {}", reply.text);
        assert_eq!(shape(&reply.text), expected, "{path}: {}", reply.text);
        assert!(result.is_empty() == (reply.text == r#"{"code":0}"#), "{path}: {}", reply.text);
        assert!(reply.header("content-type").unwrap().starts_with("application/json"), "{path}");
    }
}

#[test]
fn an_official_sdk_is_told_the_members_it_declares_and_no_other() {
    let service = Service::start(&[APP]);
    done(&service, "user/blocklist/add", &json!({"userId": "u1", "targetUserIds": ["u2", "u3"]}));
    done(&service, "friend/add", &json!({"userId": "u4", "targetId": "u5", "action": 2}));
    let members = |path: &str, body: &Value, agent: &str| {
        let reply = send(&service, APP, &format!("/v4/{path}"), body.to_string().as_bytes(), Some(agent));
        shape(&reply.text)
    };
    let (list, friends) = (json!({"userId": "u1", "pageSize": 1}), json!({"userId": "u4"}));
    for agent in ["nexconn-sdk-java/0.1.1", "nexconn-sdk-python/0.1.2"] {
        let blocked = members("user/blocklist/get", &list, agent);
        assert_eq!(blocked, "{code:number,result:{pageToken:string,blockedUserIds:[string]}}");
        assert!(!members("friend/list", &friends, agent).contains("extraProfile"));
    }
    assert!(members("user/blocklist/get", &list, "curl/8").contains("next"));
    assert!(members("friend/list", &friends, "curl/8").contains("extraProfile:string"));
}

#[test]
fn an_alias_that_is_left_out_is_taken_away() {
    let service = Service::start(&[APP]);
    done(&service, "friend/add", &json!({"userId": "u1", "targetId": "u2", "action": 2}));
    let alias = || done(&service, "friend/list", &json!({"userId": "u1"}))["friends"][0]["alias"].clone();
    done(&service, "friend/profile/set", &json!({"userId": "u1", "targetId": "u2", "alias": "Two"}));
    assert_eq!(alias(), "Two");
    done(&service, "friend/profile/set", &json!({"userId": "u1", "targetId": "u2"}));
    assert_eq!(alias(), "");
}

#[test]
fn whatever_is_sent_is_answered_in_json_and_never_with_a_fault_of_the_service() {
    let service = Service::start(&[APP]);
    service.register(APP, &["a", "b"]);
    let deep = [vec![b'['; 5_000], vec![b']'; 5_000]].concat();
    let bodies: [&[u8]; 10] = [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"{",
        b"userId=a",
        &[0xff, 0xfe, 0],
        &deep,
        br#"{"userId":{},"userIds":"a"}"#,
        br#"{"userId":"a","userIds":[1],"page":-1,"pageSize":1e99,"userProfile":[],"tags":{}}"#,
    ];
    for path in paths() {
        for body in bodies {
            let reply = send(&service, APP, path, body, None);
            assert!(matches!(reply.status, 200 | 400 | 403), "{path}: {} {}", reply.status, reply.text);
            assert!(reply.code() != 200, "{path}: {}", reply.text);
        }
        let mut unsigned = APP.headers();
        unsigned.pop();
        service.request("POST", path, &unsigned, b"{}").refused(401, 1004);
        service.request("GET", path, &APP.headers(), b"").refused(405, 405);
    }
    for path in ["/v4/", "/v4/user", "/v4/user/get.json", "/v4/user/get/"] {
        send(&service, APP, path, b"{}", None).refused(404, 404);
    }
    assert_eq!(send(&service, APP, "//v4//user/get", br#"{"userId":"a"}"#, None).code(), 0);
    let many: Vec<_> = (0..21).map(|n| format!("u{n}")).collect();
    call(&service, "user/ban", &json!({"userIds": many, "durationMinutes": 5})).refused(400, 1005);
    call(&service, "user/ban", &json!({"userIds": ["a"], "durationMinutes": 0})).refused(400, 1003);
    call(&service, "user/profile/set", &json!({"userId": "a", "userProfile": {"wrong": "x"}})).refused(400, 1002);
    let bad = call(&service, "user/profile/set", &json!({"userId": "a", "userProfile": {"wrong": "x"}})).json();
    assert_eq!(bad["profileKey"], "wrong");
    assert!(!service.errors().contains("panicked"), "{}", service.errors());
}

#[test]
fn every_answer_that_tells_of_somebody_is_recorded() {
    let mut service = Service::start(&[APP]);
    service.register(APP, &["canary-ada", "canary-eve"]);
    done(&service, "friend/add", &json!({"userId": "canary-ada", "targetId": "canary-eve", "action": 2}));
    done(&service, "user/blocklist/add", &json!({"userId": "canary-ada", "targetUserIds": ["canary-eve"]}));
    done(&service, "user/ban", &json!({"userIds": ["canary-eve"], "durationMinutes": 60}));
    done(
        &service,
        "channel-type/mute/set",
        &json!({"userIds": ["canary-eve"], "muteState": 1, "channelTypes": ["PERSON"]}),
    );
    done(&service, "user/tag/batch/set", &json!({"userIds": ["canary-ada"], "tags": ["canary-tag"]}));
    let profile = json!({"userId": "canary-eve", "userProfile": {"email": "canary-mail"}});
    done(&service, "user/profile/set", &profile);
    service.stop();
    assert!(service.command(&["apps", "set", APP.key, "--record-reads", "true"]).status.success());
    service.restart();
    let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    let recorded = |user: &str| {
        let path = format!("/api/v1/users/{user}/history?limit=500");
        service.request("GET", &path, &headers, b"").text.matches("access.read").count()
    };
    let mut telling = vec![];
    let asks = |path: &&str| path.ends_with("/get") || path.ends_with("/list");
    for path in paths().into_iter().filter(asks) {
        let before = recorded("canary-ada") + recorded("canary-eve");
        let asked = everything("canary-ada").to_string();
        let reply = send(&service, APP, path, asked.as_bytes(), None);
        if ["canary-eve", "canary-tag", "canary-mail", "Name of"].iter().any(|canary| reply.text.contains(canary)) {
            telling.push(path);
            assert!(recorded("canary-ada") + recorded("canary-eve") > before, "{path} tells and records nothing");
        }
    }
    assert_eq!(telling.len(), 7, "{telling:?}");
}
