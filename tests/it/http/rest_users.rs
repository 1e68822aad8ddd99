//! Users over REST: many in one call, changes, profiles, settings, lists, bans.

use serde_json::{Value, json};

use crate::support::{App, Reply, Service, rollcall};

pub(super) const APP: App = App::PRODUCTION;

pub(super) fn ask(service: &Service, method: &str, path: &str, body: &Value) -> Reply {
    keyed(service, method, path, body, None)
}

pub(super) fn keyed(service: &Service, method: &str, path: &str, body: &Value, key: Option<&str>) -> Reply {
    let mut headers = vec![("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    headers.extend(key.map(|key| ("Idempotency-Key".to_owned(), key.to_owned())));
    let body = if body.is_null() { String::new() } else { body.to_string() };
    service.request(method, &format!("/api/v1/{path}"), &headers, body.as_bytes())
}

pub(super) fn get(service: &Service, path: &str) -> Reply {
    ask(service, "GET", path, &Value::Null)
}

#[track_caller]
pub(super) fn done(reply: &Reply) {
    assert_eq!(reply.status, 204, "{}", reply.text);
}

#[track_caller]
pub(super) fn problem(reply: &Reply, status: u16, kind: &str) {
    let json = reply.json();
    let expected = format!("urn:rollcall:problem:{kind}");
    assert_eq!((reply.status, json["type"].as_str()), (status, Some(&*expected)), "{json}");
}

/// All entries of a list, in pages of two.
#[track_caller]
pub(super) fn walked(service: &Service, path: &str, list: &str) -> Vec<Value> {
    let (mut all, mut cursor) = (vec![], String::new());
    loop {
        let page = get(service, &format!("{path}{}limit=2{cursor}", if path.contains('?') { '&' } else { '?' })).json();
        let entries = page[list].as_array().unwrap_or_else(|| panic!("{path}: {page}"));
        assert!(entries.len() <= 2, "{page}");
        all.extend(entries.iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

fn user_ids(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["user_id"].as_str().unwrap()).collect()
}

#[test]
fn many_users_are_registered_each_by_itself_and_once_however_often_it_is_asked() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    let users = json!({"users": [
        {"user_id": "ada", "name": "Ada"},
        {"user_id": "bob", "name": "Bob", "portrait_uri": "https://example.com/bob"},
        {"user_id": "no user id", "name": "X"},
        {"user_id": "eve", "name": ""},
    ]});
    let reply = keyed(&service, "POST", "users/batch", &users, Some("once"));
    assert_eq!(reply.status, 200, "{}", reply.text);
    let results = reply.json()["results"].clone();
    let statuses: Vec<_> =
        results.as_array().unwrap().iter().map(|result| result["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [200, 201, 422, 422]);
    assert!(results[1]["token"].is_string() && results[2]["problem"]["type"].is_string(), "{results}");
    let again = keyed(&service, "POST", "users/batch", &users, Some("once")).json();
    assert_eq!(again["results"], results, "the same tokens");

    let found = ask(&service, "POST", "users/query", &json!({"user_ids": ["bob", "eve", "ada"]})).json();
    assert_eq!((&found["users"][0]["name"], &found["users"][1]["name"]), (&json!("Bob"), &json!("Ada")));
    assert_eq!(found["missing"], json!(["eve"]));
    let subject = found["users"][0]["subject"].as_str().unwrap();
    let stranger = "00000000-0000-0000-0000-000000000001";
    let found = ask(&service, "POST", "users/query", &json!({"subjects": [stranger, subject]})).json();
    assert_eq!((&found["users"][0]["id"], &found["missing"]), (&json!("bob"), &json!([stranger])));
    let many: Vec<_> = (0..1_001).map(|number| format!("u{number}")).collect();
    problem(&ask(&service, "POST", "users/query", &json!({"user_ids": many})), 422, "invalid-value");
    problem(&ask(&service, "POST", "users/batch", &json!({"users": [{"user_id": "x"}]})), 400, "malformed-json");
}

#[test]
fn a_user_is_patched_and_what_is_absent_stays() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    let patched = ask(&service, "PATCH", "users/ada", &json!({"portrait_uri": "https://example.com/ada"}));
    assert_eq!(patched.status, 200, "{}", patched.text);
    assert!(patched.header("rollcall-position").is_some());
    let (name, portrait) = (&patched.json()["name"], &patched.json()["portrait_uri"]);
    assert_eq!((name, portrait), (&json!("Name of ada"), &json!("https://example.com/ada")));
    problem(&ask(&service, "PATCH", "users/ada", &json!({"name": null})), 422, "invalid-value");
    problem(&ask(&service, "PATCH", "users/ada", &json!({"nome": "x"})), 400, "malformed-json");
    problem(&ask(&service, "PATCH", "users/bob", &json!({"name": "Bob"})), 404, "not-registered");

    let profile = json!({"email": "ada@example.com", "gender": 2});
    assert_eq!(ask(&service, "PATCH", "users/ada/profile", &profile).json()["profile"], profile);
    let cleared = ask(&service, "PATCH", "users/ada/profile", &json!({"gender": null})).json();
    assert_eq!(cleared["profile"], json!({"email": "ada@example.com"}));
    problem(&ask(&service, "PATCH", "users/ada/profile", &json!({"email": 7})), 422, "invalid-value");
    problem(&ask(&service, "PATCH", "users/ada/profile", &json!({"ext_shoe": "42"})), 422, "undeclared-field");

    done(&ask(&service, "PUT", "users/ada/tags", &json!({"tags": ["vip", "vip", "chess"]})));
    assert_eq!(get(&service, "users/ada/tags").json(), json!({"tags": ["vip", "chess"]}));
    done(&ask(&service, "PUT", "users/ada/tags", &json!({"tags": []})));
    assert_eq!(get(&service, "users/ada/tags").json(), json!({"tags": []}));
    done(&ask(&service, "PUT", "users/ada/mute", &Value::Null));
    let muted = [("type", "PERSON")];
    assert!(service.post(APP, "/user/chat/fb/querylist.json", &muted).text.contains("\"ada\""));
    done(&ask(&service, "DELETE", "users/ada/mute", &Value::Null));
    assert!(!service.post(APP, "/user/chat/fb/querylist.json", &muted).text.contains("\"ada\""));
    done(&ask(&service, "PUT", "users/ada/push-quiet-hours", &json!({"start": "22:00:00", "minutes": 480})));
    let quiet = service.post(APP, "/user/blockPushPeriod/get.json", &[("userId", "ada")]).json();
    assert_eq!((&quiet["data"]["startTime"], &quiet["data"]["period"]), (&json!("22:00:00"), &json!(480)));
    done(&ask(&service, "DELETE", "users/ada/push-quiet-hours", &Value::Null));
    done(&ask(&service, "PUT", "users/ada/remarks/bob", &json!({"remark": "Bobby"})));
    assert!(service.post(APP, "/user/remarks/get.json", &[("userId", "ada")]).text.contains("Bobby"));
    done(&ask(&service, "DELETE", "users/ada/remarks/bob", &Value::Null));
    assert!(!service.post(APP, "/user/remarks/get.json", &[("userId", "ada")]).text.contains("Bobby"));
    done(&ask(&service, "PUT", "users/ada/friend-permission", &json!({"permission": "nobody"})));
    problem(&ask(&service, "PUT", "users/ada/friend-permission", &json!({"permission": "x"})), 400, "malformed-json");
}

#[test]
fn a_ban_is_imposed_listed_replaced_and_lifted() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob", "eve"]);
    problem(&get(&service, "users/ada/ban"), 404, "not-banned");
    for (user, minutes) in [("ada", 10), ("bob", 20), ("eve", 20)] {
        let body = json!({"minutes": minutes, "reason": format!("spam of {user}")});
        let banned = ask(&service, "PUT", &format!("users/{user}/ban"), &body);
        assert_eq!(
            (banned.status, &banned.json()["reason"]),
            (200, &json!(format!("spam of {user}"))),
            "{}",
            banned.text
        );
    }
    let listed = walked(&service, "bans", "bans");
    let mut ids = user_ids(&listed);
    assert_eq!(ids.pop(), Some("ada"), "the one that ends first comes last");
    ids.sort_unstable();
    assert_eq!(ids, ["bob", "eve"]);
    let before = get(&service, "users/ada/ban").json();
    let after = ask(&service, "PUT", "users/ada/ban", &json!({"minutes": 43_200})).json();
    assert!(after["ends_at"].as_str() > before["ends_at"].as_str(), "{before} {after}");
    done(&ask(&service, "DELETE", "users/ada/ban", &Value::Null));
    problem(&get(&service, "users/ada/ban"), 404, "not-banned");
    for body in [json!({"minutes": 0}), json!({"minutes": 43_201}), json!({"minutes": 1, "reason": ""})] {
        problem(&ask(&service, "PUT", "users/ada/ban", &body), 422, "invalid-value");
    }
    problem(&get(&service, "bans?state=over"), 422, "invalid-value");
    problem(&get(&service, "users/nobody/ban"), 404, "not-registered");
}

#[test]
fn a_moderator_sees_who_blocks_and_who_allows_a_user() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob", "eve", "dan"]);
    for (list, by) in [("blocklist", "blocked-by"), ("allowlist", "allowed-by")] {
        let path = format!("users/ada/{by}");
        assert_eq!(walked(&service, &path, "users"), [Value::Null; 0]);
        for owner in ["bob", "eve", "dan"] {
            done(&ask(&service, "PUT", &format!("users/{owner}/{list}/ada"), &Value::Null));
        }
        let sorted = || {
            let entries = walked(&service, &path, "users");
            let mut ids: Vec<_> = user_ids(&entries).into_iter().map(str::to_owned).collect();
            ids.sort_unstable();
            ids
        };
        assert_eq!(sorted(), ["bob", "dan", "eve"]);
        done(&ask(&service, "DELETE", &format!("users/eve/{list}/ada"), &Value::Null));
        assert_eq!(sorted(), ["bob", "dan"]);
        problem(&get(&service, &format!("users/nobody/{by}")), 404, "not-registered");
        problem(&get(&service, &format!("{path}?cursor=x")), 422, "invalid-value");
    }
    assert_eq!(ask(&service, "POST", "users/dan/deactivation", &Value::Null).status, 202);
    assert_eq!(user_ids(&walked(&service, "users/ada/blocked-by", "users")), ["bob"], "whoever is gone blocks nobody");
}

#[test]
fn lists_are_kept_walked_and_checked_in_both_directions() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob", "eve"]);
    for list in ["blocklist", "allowlist"] {
        let at = |rest: &str| format!("users/ada/{list}{rest}");
        assert_eq!(walked(&service, &at(""), "users"), [Value::Null; 0]);
        done(&ask(&service, "PUT", &at("/bob"), &Value::Null));
        done(&ask(&service, "POST", &at("/batch"), &json!({"user_ids": ["eve", "bob", "mallory"]})));
        let entries = walked(&service, &at(""), "users");
        let mut ids = user_ids(&entries);
        ids.sort_unstable();
        assert_eq!(ids, ["bob", "eve", "mallory"], "{list}");
        assert_eq!(get(&service, &at("/bob")).json(), json!({"user_id": "bob", "listed": true}));
        done(&ask(&service, "DELETE", &at("/bob"), &Value::Null));
        assert_eq!(get(&service, &at("/bob")).json()["listed"], false);
        assert_eq!(get(&service, &at("/never-used")).json()["listed"], false);
        done(&ask(&service, "POST", &at("/batch"), &json!({"user_ids": ["mallory"], "remove": true})));
        assert_eq!(user_ids(&walked(&service, &at(""), "users")), ["eve"]);
        problem(&ask(&service, "POST", &at("/batch"), &json!({"user_ids": []})), 422, "invalid-value");
    }
    let pairs = json!({"pairs": [["ada", "eve"], ["eve", "ada"], ["never-used", "ada"], ["bob", "eve"]]});
    let results = ask(&service, "POST", "blocks/check", &pairs).json()["results"].clone();
    let each = |index: usize| (results[index]["blocked"].as_bool(), results[index]["reverse"].as_bool());
    let expected = [(true, false), (false, true), (false, false), (false, false)];
    assert_eq!([0, 1, 2, 3].map(each), expected.map(|(blocked, reverse)| (Some(blocked), Some(reverse))), "{results}");
    let checked = |pairs: &[[&str; 2]]| ask(&service, "POST", "blocks/check", &json!({"pairs": pairs}));
    assert_eq!(checked(&[]).json(), json!({"results": []}));
    let thousand: Vec<_> = (0..1_000).map(|n| if n % 3 == 0 { ["ada", "eve"] } else { ["x", "ada"] }).collect();
    let results = checked(&thousand).json()["results"].as_array().unwrap().clone();
    assert_eq!(results.len(), 1_000);
    for (n, result) in results.iter().enumerate() {
        assert_eq!((&result["blocked"], &result["reverse"]), (&json!(n % 3 == 0), &json!(false)), "{n}: {result}");
    }
    problem(&checked(&[["ada", "eve"]; 1_001]), 422, "invalid-value");
    problem(&checked(&[["a,b", "eve"]]), 422, "invalid-value");
    assert_eq!(get(&service, "users/ada/allowlist-setting").json(), json!({"enabled": false}));
    done(&ask(&service, "PUT", "users/ada/allowlist-setting", &json!({"enabled": true})));
    assert_eq!(get(&service, "users/ada/allowlist-setting").json(), json!({"enabled": true}));
}

#[test]
fn a_token_is_issued_introspected_and_ended() {
    let service = Service::start(&[APP, App::OTHER]);
    service.register(APP, &["ada"]);
    let issued = ask(&service, "POST", "users/ada/tokens", &json!({"expires_in_seconds": 600}));
    assert_eq!(issued.status, 201, "{}", issued.text);
    assert!(issued.json()["token_id"].is_string() && issued.json()["expires_at"].is_string(), "{}", issued.text);
    let shown = json!({"token": issued.json()["token"]});
    let told = ask(&service, "POST", "tokens/introspect", &shown).json();
    assert_eq!((&told["active"], &told["sub"]), (&json!(true), &json!("ada")), "{told}");
    assert_eq!(told["exp"].as_i64().unwrap() - told["iat"].as_i64().unwrap(), 600);
    let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", App::OTHER.key, App::OTHER.secret))];
    let of_other = service.request("POST", "/api/v1/tokens/introspect", &headers, shown.to_string().as_bytes());
    assert_eq!(of_other.json(), json!({"active": false}), "another app's token is none");
    assert_eq!(ask(&service, "POST", "tokens/introspect", &json!({"token": "x"})).json(), json!({"active": false}));

    done(&ask(&service, "DELETE", "users/ada/tokens?issued_before=2026-01-01T00:00:00Z", &Value::Null));
    assert_eq!(ask(&service, "POST", "tokens/introspect", &shown).json()["active"], true);
    done(&ask(&service, "DELETE", "users/ada/tokens", &Value::Null));
    assert_eq!(ask(&service, "POST", "tokens/introspect", &shown).json(), json!({"active": false}));
    problem(&ask(&service, "DELETE", "users/ada/tokens?issued_before=x", &Value::Null), 422, "invalid-value");
    problem(&ask(&service, "POST", "users/ada/tokens", &json!({"expires_in_seconds": 0})), 422, "invalid-value");
    problem(&ask(&service, "POST", "users/bob/tokens", &Value::Null), 404, "not-registered");
}

#[test]
fn the_deactivated_are_listed_and_let_in_again_by_the_apps_own_rule() {
    let mut service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob", "eve"]);
    for user in ["ada", "bob", "eve"] {
        assert_eq!(ask(&service, "POST", &format!("users/{user}/deactivation"), &Value::Null).status, 202);
    }
    let listed = walked(&service, "deactivated-users", "deactivated_users");
    assert_eq!(user_ids(&listed), ["eve", "bob", "ada"]);
    assert!(listed[0]["operation"].is_string() && listed[0]["deactivated_at"].is_string(), "{listed:?}");
    let by = (&listed[0]["actor"], &listed[0]["legal_basis"], &listed[0]["requester"]);
    assert_eq!(by, (&json!("server:1"), &json!("account_closed"), &json!("controller")), "{listed:?}");
    let erasure = json!({"user_id": "kim", "scope": "deactivate", "legal_basis": "objection", "requester": "subject"});
    service.register(APP, &["kim"]);
    assert_eq!(ask(&service, "POST", "erasures", &erasure).status, 202);
    let listed = walked(&service, "deactivated-users", "deactivated_users");
    let of_kim = &listed[0];
    assert_eq!((&of_kim["user_id"], &of_kim["legal_basis"]), (&json!("kim"), &json!("objection")), "{of_kim}");
    assert_eq!(of_kim["requester"], "subject");
    problem(&ask(&service, "POST", "users/ada/reactivation", &Value::Null), 409, "reactivation-too-early");
    let app = get(&service, "app").json();
    assert_eq!((&app["app"], &app["settings"]["reactivation_wait_seconds"]), (&json!(APP.key), &json!(3_600)));
    let changed = ask(&service, "PATCH", "app", &json!({"reactivation_wait_seconds": 0}));
    assert_eq!(changed.json()["settings"]["reactivation_wait_seconds"], 0, "{}", changed.text);
    problem(&ask(&service, "PATCH", "app", &json!({"record_reads": true})), 403, "scope-missing");
    problem(&ask(&service, "PATCH", "app", &json!({"friend_permission": null})), 422, "invalid-value");
    service.eventually("she is let in once her erasure has ended", |service| {
        let reactivated = ask(service, "POST", "users/ada/reactivation", &Value::Null);
        assert!(matches!(reactivated.status, 200 | 503), "{}", reactivated.text);
        reactivated.status == 200
    });
    assert_eq!(get(&service, "users/ada").json()["name"], Value::Null, "nothing comes back");
    assert_eq!(user_ids(&walked(&service, "deactivated-users", "deactivated_users")), ["kim", "eve", "bob"]);

    service.stop();
    let keys = ["server", "operator"].iter().flat_map(|scope| ["--scope", scope]);
    let args: Vec<_> = ["apps", "add-key", APP.key].into_iter().chain(keys).collect();
    let added = rollcall(&args, service.data());
    let key = String::from_utf8(added.stdout).unwrap().trim().to_owned();
    service.restart();
    let headers = [("Authorization".to_owned(), format!("Bearer {key}"))];
    let changed = service.request("PATCH", "/api/v1/app", &headers, br#"{"record_reads":true}"#);
    assert_eq!((changed.status, &changed.json()["settings"]["record_reads"]), (200, &json!(true)), "{}", changed.text);
}
