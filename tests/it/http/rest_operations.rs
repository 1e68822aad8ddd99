//! Bulk operations over REST: tried beforehand, dealt with in the background whatever happens to the process, taken back.

use rollcall::crash_point::OPERATION_LABELS;
use serde_json::{Value, json};

use crate::nodes;
use crate::support::soundness::{recorded, verified};
use crate::support::{App, Reply, Service};

const APP: App = App::PRODUCTION;

fn ask_as(service: &Service, app: App, method: &str, path: &str, body: &Value, key: Option<&str>) -> Reply {
    let mut headers = vec![("Authorization".to_owned(), format!("Bearer {}:{}", app.key, app.secret))];
    headers.extend(key.map(|key| ("Idempotency-Key".to_owned(), key.to_owned())));
    let body = if body.is_null() { String::new() } else { body.to_string() };
    service.request(method, &format!("/api/v1/{path}"), &headers, body.as_bytes())
}

fn ask(service: &Service, method: &str, path: &str, body: &Value) -> Reply {
    ask_as(service, APP, method, path, body, None)
}

#[track_caller]
fn get(service: &Service, path: &str) -> Value {
    let reply = ask(service, "GET", path, &Value::Null);
    assert_eq!(reply.status, 200, "{path}: {}", reply.text);
    reply.json()
}

#[track_caller]
fn problem(reply: &Reply, status: u16, kind: &str) {
    let json = reply.json();
    let expected = format!("urn:rollcall:problem:{kind}");
    assert_eq!((reply.status, json["type"].as_str()), (status, Some(&*expected)), "{json}");
}

/// Begins an operation; answers its path.
#[track_caller]
fn begun(service: &Service, path: &str, body: &Value) -> String {
    let reply = ask(service, "POST", path, body);
    assert_eq!(reply.status, 202, "{}", reply.text);
    let id = reply.json()["operation_id"].as_str().unwrap().to_owned();
    assert_eq!(reply.header("location"), Some(&*format!("/api/v1/operations/{id}")));
    format!("operations/{id}")
}

fn reaches(service: &Service, operation: &str, state: &str) {
    service.eventually(state, |service| get(service, operation)["state"] == state);
}

/// What became of each user, in pages of two.
#[track_caller]
fn results(service: &Service, operation: &str, member: &str) -> Vec<(String, String)> {
    let (mut all, mut cursor) = (vec![], String::new());
    loop {
        let page = get(service, &format!("{operation}?limit=2{cursor}"));
        for result in page["results"].as_array().unwrap() {
            let text = |member: &str| result[member].as_str().unwrap_or("-").to_owned();
            all.push((text("user_id"), text(member)));
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(user, result)| ((*user).to_owned(), (*result).to_owned())).collect()
}

fn would(reply: &Reply) -> Vec<(String, String)> {
    assert_eq!(reply.status, 200, "{}", reply.text);
    let json = reply.json();
    let text = |result: &Value, member: &str| result[member].as_str().unwrap().to_owned();
    json["results"].as_array().unwrap().iter().map(|each| (text(each, "user_id"), text(each, "would"))).collect()
}

#[test]
fn a_dry_run_tells_what_the_operation_then_does_and_taking_it_back_spares_what_was_changed_since() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob", "eve", "gone", "dan"]);
    let first = ask(&service, "PUT", "users/ada/ban", &json!({"minutes": 5, "reason": "first"})).json();
    ask(&service, "PUT", "users/eve/ban", &json!({"permanent": true}));
    ask(&service, "POST", "users/gone/deactivation", &Value::Null);
    let users = json!(["ada", "bob", "eve", "gone", "new", "dan", "bob"]);
    let mut body = json!({"user_ids": users, "minutes": 60, "reason": "raid", "dry_run": true});
    let tried = would(&ask(&service, "POST", "bans/batch", &body));
    let expected = pairs(&[
        ("ada", "extend"),
        ("bob", "ban"),
        ("eve", "unchanged"),
        ("gone", "refused:deactivated"),
        ("new", "ban"),
        ("dan", "ban"),
    ]);
    assert_eq!(tried, expected);
    assert_eq!(get(&service, "operations"), json!({"operations": [], "next": null, "previous": null}));
    assert_eq!(get(&service, "users/ada/ban")["reason"], "first", "nothing has happened");

    body["dry_run"] = json!(false);
    let operation = begun(&service, "bans/batch", &body);
    reaches(&service, &operation, "done");
    assert_eq!(results(&service, &operation, "result"), expected);
    let told = get(&service, &operation);
    let counts =
        ["act", "done", "total", "refused", "undone", "eta_seconds", "actor"].map(|member| told[member].clone());
    assert_eq!(json!(counts), json!(["ban", 6, 6, 1, null, null, "server:1"]));
    let banned = get(&service, "users/bob/ban");
    assert_eq!((&banned["reason"], &banned["actor"]), (&json!("raid"), &json!("server:1")));
    assert_eq!(banned["ends_at"], told["ends_at"]);

    ask(&service, "PUT", "users/bob/ban", &json!({"minutes": 60, "reason": "raid"}));
    ask(&service, "DELETE", "users/dan/ban", &Value::Null);
    let undo = format!("{operation}/undo");
    assert_eq!(ask(&service, "POST", &undo, &Value::Null).status, 202);
    reaches(&service, &operation, "undone");
    let undone = pairs(&[
        ("ada", "undone"),
        ("bob", "refused:changed-since"),
        ("eve", "unchanged"),
        ("gone", "unchanged"),
        ("new", "undone"),
        ("dan", "refused:changed-since"),
    ]);
    assert_eq!(results(&service, &operation, "undo_result"), undone);
    let restored = get(&service, "users/ada/ban");
    assert_eq!((&restored["ends_at"], &restored["reason"]), (&first["ends_at"], &json!("first")));
    problem(&ask(&service, "GET", "users/new/ban", &Value::Null), 404, "not-banned");
    assert_eq!(get(&service, "users/bob/ban")["state"], "running");
    assert_eq!(ask(&service, "POST", &undo, &Value::Null).status, 202, "to repeat it is harmless");
    assert_eq!(get(&service, &operation)["state"], "undone");
}

#[test]
fn a_repeated_call_begins_no_second_operation_and_another_app_sees_none() {
    let service = Service::start(&[APP, App::OTHER]);
    let body = json!({"user_ids": ["ada", "bob"], "permanent": true});
    let ids: Vec<_> = (0..2)
        .map(|_| {
            let reply = ask_as(&service, APP, "POST", "bans/batch", &body, Some("once"));
            assert_eq!(reply.status, 202, "{}", reply.text);
            reply.json()["operation_id"].clone()
        })
        .collect();
    assert_eq!(ids[0], ids[1]);
    let operation = format!("operations/{}", ids[0].as_str().unwrap());
    reaches(&service, &operation, "done");
    for (method, path) in [("GET", operation.clone()), ("POST", format!("{operation}/undo"))] {
        problem(&ask_as(&service, App::OTHER, method, &path, &Value::Null, None), 404, "no-such-operation");
    }
    assert_eq!(ask_as(&service, App::OTHER, "GET", "operations", &Value::Null, None).json()["operations"], json!([]));
    problem(&ask(&service, "GET", "operations/none", &Value::Null), 404, "no-such-operation");
    let second = begun(&service, "bans/batch", &json!({"user_ids": ["eve"], "minutes": 5}));
    let page = get(&service, "operations?limit=1");
    assert_eq!(format!("operations/{}", page["operations"][0]["operation_id"].as_str().unwrap()), second);
    let rest = get(&service, &format!("operations?cursor={}", page["next"].as_str().unwrap()));
    assert_eq!((&rest["operations"][0]["operation_id"], &rest["next"]), (&ids[0], &Value::Null));
}

#[test]
fn bans_are_lifted_and_users_deactivated_in_bulk_and_unknown_ones_are_named() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob", "eve"]);
    for user in ["ada", "bob"] {
        ask(&service, "PUT", &format!("users/{user}/ban"), &json!({"permanent": true}));
    }
    let body = json!({"user_ids": ["ada", "eve", "nobody"]});
    let reply = ask(&service, "POST", "unbans/batch", &body);
    assert_eq!(reply.json()["results"], json!([{"user_id": "nobody", "would": "refused:not-registered"}]));
    let lifted = format!("operations/{}", reply.json()["operation_id"].as_str().unwrap());
    reaches(&service, &lifted, "done");
    assert_eq!(results(&service, &lifted, "result"), pairs(&[("ada", "unban"), ("eve", "unchanged")]));
    problem(&ask(&service, "POST", &format!("{lifted}/undo"), &Value::Null), 409, "operation-has-no-undo");

    let tried = ask(&service, "POST", "deactivations/batch", &json!({"user_ids": ["ada", "nobody"], "dry_run": true}));
    assert_eq!(would(&tried), pairs(&[("ada", "deactivate"), ("nobody", "refused:not-registered")]));
    let gone = begun(&service, "deactivations/batch", &json!({"user_ids": ["ada", "eve"]}));
    reaches(&service, &gone, "done");
    assert_eq!(results(&service, &gone, "result"), pairs(&[("ada", "deactivate"), ("eve", "deactivate")]));
    assert_eq!(ask(&service, "GET", "users/ada", &Value::Null).status, 410);
    let failed = begun(&service, "bans/batch", &json!({"user_ids": ["ada", "eve"], "minutes": 5}));
    reaches(&service, &failed, "failed");
    assert_eq!(get(&service, "users/bob/ban")["state"], "running", "nobody else is touched");
}

#[test]
fn a_batch_of_nobody_of_too_many_or_without_an_end_is_refused() {
    let service = Service::start(&[APP]);
    let many: Vec<_> = (0..1_001).map(|number| format!("u{number}")).collect();
    for body in [
        json!({"user_ids": [], "minutes": 5}),
        json!({"user_ids": many, "minutes": 5}),
        json!({"user_ids": ["no user id"], "minutes": 5}),
        json!({"user_ids": ["ada"]}),
        json!({"user_ids": ["ada"], "minutes": 0}),
        json!({"user_ids": ["ada"], "minutes": 5, "permanent": true}),
        json!({"user_ids": ["ada"], "minutes": 5, "reason": ""}),
    ] {
        problem(&ask(&service, "POST", "bans/batch", &body), 422, "invalid-value");
    }
    let passed = json!({"user_ids": ["ada"], "ends_at": "2001-01-01T00:00:00Z"});
    problem(&ask(&service, "POST", "bans/batch", &passed), 422, "ban-ends-too-early");
    problem(&ask(&service, "POST", "bans/batch", &json!({"user_ids": "ada", "minutes": 5})), 400, "malformed-json");
    assert_eq!(get(&service, "operations")["operations"], json!([]));
}

#[test]
fn an_operation_whose_process_dies_at_any_point_bans_each_user_once() {
    for label in OPERATION_LABELS {
        let dir = tempfile::tempdir().unwrap();
        let mut service = Service::start_in(&dir.path().join("data"), &[APP]);
        let users: Vec<_> = (0..120).map(|number| format!("u{number}")).collect();
        service.register(APP, &users.iter().map(String::as_str).take(20).collect::<Vec<_>>());
        ask(&service, "PUT", "users/u0/ban", &json!({"minutes": 600}));
        service.stop();
        let times = if *label == "operation.acted" { 70 } else { 2 };
        service.restart_through(&["env", &format!("ROLLCALL_CRASH_AT={label}:{times}")]);
        let body = json!({"user_ids": users, "permanent": true, "reason": "raid"});
        let operation = begun(&service, "bans/batch", &body);
        let (status, _) = service.ended();
        assert!(!status.success(), "{label}");
        let mut service = Service::start_in(service.data(), &[APP]);
        reaches(&service, &operation, "done");
        let told = results(&service, &operation, "result");
        let banned = told.iter().filter(|(_, result)| result == "ban").count();
        assert_eq!((told[0].1.as_str(), banned), ("extend", 119), "{label}");
        assert_eq!(ask(&service, "POST", &format!("{operation}/undo"), &Value::Null).status, 202);
        reaches(&service, &operation, "undone");
        service.stop();
        let counted = ["ban.imposed", "ban.replaced", "ban.lifted"].map(|name| recorded(service.data(), name));
        assert_eq!(counted, [120, 2, 119], "{label}: one is extended and gets its former end back");
        verified(&service);
    }
}

#[test]
fn an_operation_goes_on_on_another_node_when_the_one_that_leads_is_killed() {
    let given = nodes::Given::nothing();
    let (mut one, other) = (given.node("one", &[APP]), given.node("two", &[APP]));
    let users: Vec<_> = (0..400).map(|number| format!("u{number}")).collect();
    let operation = begun(&one, "bans/batch", &json!({"user_ids": users, "permanent": true}));
    one.kill();
    reaches(&other, &operation, "done");
    let told = get(&other, &format!("{operation}?limit=500"));
    let results = told["results"].as_array().unwrap();
    assert_eq!((results.len(), results.iter().filter(|each| each["result"] == "ban").count()), (400, 400));
    let history = get(&other, "users/u399/bans");
    assert_eq!(history["bans"].as_array().unwrap().len(), 1, "{history}");
}

#[test]
fn a_dry_run_of_a_change_of_a_list_tells_of_each_user_what_the_change_then_does() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob", "eve", "gone"]);
    ask(&service, "POST", "users/gone/deactivation", &Value::Null);
    for (list, add, remove) in [("blocklist", "block", "unblock"), ("allowlist", "allow", "disallow")] {
        let batch = format!("users/ada/{list}/batch");
        let listed = |service: &Service| get(service, &format!("users/ada/{list}"))["users"].clone();
        assert_eq!(ask(&service, "PUT", &format!("users/ada/{list}/bob"), &Value::Null).status, 204);
        let before = listed(&service);
        let mut body = json!({"user_ids": ["eve", "bob", "gone", "never", "ada", "eve"], "dry_run": true});
        let expected = [("eve", add), ("bob", "unchanged"), ("gone", add), ("never", add), ("ada", "unchanged")];
        let tried = ask(&service, "POST", &batch, &body);
        assert_eq!(would(&tried), pairs(&expected));
        assert_eq!(tried.json().get("operation_id"), None);
        assert_eq!((listed(&service), get(&service, "operations")["operations"].clone()), (before, json!([])));
        body["dry_run"] = json!(false);
        assert_eq!(ask(&service, "POST", &batch, &body).status, 204);
        let on_it: Vec<_> = ["eve", "bob", "never"].map(|user| json!({"user_id": user})).into();
        let told = listed(&service);
        assert!(on_it.iter().all(|user| told.as_array().unwrap().contains(user)), "{told}");

        let mut body = json!({"user_ids": ["eve", "other", "ada"], "remove": true, "dry_run": true});
        let expected = [("eve", remove), ("other", "unchanged"), ("ada", "unchanged")];
        assert_eq!(would(&ask(&service, "POST", &batch, &body)), pairs(&expected));
        body["dry_run"] = json!(false);
        assert_eq!(ask(&service, "POST", &batch, &body).status, 204);
        assert!(!listed(&service).as_array().unwrap().contains(&json!({"user_id": "eve"})));

        // What the change is refused for, the dry run is too.
        let ids = json!({"user_ids": ["bob"], "dry_run": true});
        problem(&ask(&service, "POST", &format!("users/gone/{list}/batch"), &ids), 410, "deactivated");
        problem(&ask(&service, "POST", &batch, &json!({"user_ids": [], "dry_run": true})), 422, "invalid-value");
        problem(&ask(&service, "POST", &batch, &json!({"user_ids": ["b,b"], "dry_run": true})), 422, "invalid-value");
        problem(&ask(&service, "POST", &batch, &json!({"user_ids": ["bob"], "dry_run": 1})), 400, "malformed-json");
        // A userId that nobody has used may have a list, and nothing can be taken from it.
        let of_nobody = format!("users/fresh/{list}/batch");
        assert_eq!(would(&ask(&service, "POST", &of_nobody, &ids)), pairs(&[("bob", add)]));
        let taken = json!({"user_ids": ["bob"], "remove": true, "dry_run": true});
        assert_eq!(would(&ask(&service, "POST", &of_nobody, &taken)), pairs(&[("bob", "unchanged")]));
    }
}

#[test]
fn a_dry_run_tells_that_a_list_has_no_room() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    let users = |from: u32, to: u32| (from..to).map(|number| format!("u{number}")).collect::<Vec<_>>();
    for from in [0, 1_000, 2_000] {
        let added = json!({"user_ids": users(from, (from + 1_000).min(2_999))});
        assert_eq!(ask(&service, "POST", "users/ada/blocklist/batch", &added).status, 204);
    }
    let tried = |ids: &[&str]| {
        let body = json!({"user_ids": ids, "dry_run": true});
        would(&ask(&service, "POST", "users/ada/blocklist/batch", &body))
    };
    assert_eq!(tried(&["u1", "new1"]), pairs(&[("u1", "unchanged"), ("new1", "block")]));
    let full = [("u1", "unchanged"), ("new1", "refused:list-full"), ("new2", "refused:list-full")];
    assert_eq!(tried(&["u1", "new1", "new2"]), pairs(&full));
    let refused = ask(&service, "POST", "users/ada/blocklist/batch", &json!({"user_ids": ["u1", "new1", "new2"]}));
    problem(&refused, 409, "list-full");
}
