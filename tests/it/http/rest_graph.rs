//! Mutual friends, suggestions, paths and the search among friends over REST.

use serde_json::{Value, json};

use crate::support::{App, Reply, Service};

pub(super) const APP: App = App::PRODUCTION;
pub(super) const OTHER: App = App::DEVELOPMENT;

pub(super) fn ask(service: &Service, method: &str, path: &str, body: &Value) -> Reply {
    let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    let body = if body.is_null() { String::new() } else { body.to_string() };
    service.request(method, &format!("/api/v1/{path}"), &headers, body.as_bytes())
}

#[track_caller]
pub(super) fn told(service: &Service, path: &str) -> Value {
    let reply = ask(service, "GET", path, &Value::Null);
    assert_eq!(reply.status, 200, "{path}: {}", reply.text);
    reply.json()
}

#[track_caller]
pub(super) fn refused(service: &Service, path: &str) -> (u16, String) {
    let reply = ask(service, "GET", path, &Value::Null);
    let problem = reply.json();
    let kind = problem["type"].as_str().unwrap_or_else(|| panic!("no problem: {}", reply.text));
    (reply.status, kind.trim_start_matches("urn:rollcall:problem:").to_owned())
}

/// Makes one user the friend of each of the others.
#[track_caller]
pub(super) fn befriend(service: &Service, who: &str, others: &[&str]) {
    for other in others {
        let reply = ask(service, "PUT", &format!("users/{who}/friends/{other}"), &Value::Null);
        assert_eq!(reply.status, 201, "{}", reply.text);
    }
}

/// The userIds of a list, page by page.
pub(super) fn pages(service: &Service, path: &str, member: &str, limit: usize) -> Vec<String> {
    let (mut all, mut cursor) = (vec![], String::new());
    let join = if path.contains('?') { '&' } else { '?' };
    loop {
        let page = told(service, &format!("{path}{join}limit={limit}{cursor}"));
        let rows = page[member].as_array().unwrap_or_else(|| panic!("no {member}: {page}"));
        assert!(rows.len() <= limit);
        all.extend(rows.iter().map(|row| row["user_id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}

pub(super) fn sorted(mut users: Vec<String>) -> Vec<String> {
    users.sort();
    users
}

#[test]
fn mutual_friends_are_those_of_both_as_the_first_one_sees_them() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob", "eve", "joe", "kim", "lea", "max"]);
    befriend(&service, "ada", &["eve", "joe", "kim", "max"]);
    befriend(&service, "bob", &["eve", "joe", "kim", "lea"]);
    let remark = json!({"remark": "the quiet one"});
    assert_eq!(ask(&service, "PATCH", "users/ada/friends/eve", &remark).status, 200);
    let path = "users/ada/friends/mutual/bob";
    let all = pages(&service, path, "users", 50);
    assert_eq!(sorted(all.clone()), ["eve", "joe", "kim"]);
    assert_eq!(pages(&service, path, "users", 1), all, "page by page they are the same, in the same order");
    assert_eq!(pages(&service, "users/bob/friends/mutual/ada", "users", 2), all);
    let shown = told(&service, path);
    let eve = shown["users"].as_array().unwrap().iter().find(|user| user["user_id"] == "eve").unwrap();
    assert_eq!((&eve["remark"], &eve["name"]), (&json!("the quiet one"), &json!("Name of eve")));
    assert_eq!(told(&service, "users/ada/friends/eve")["remark"], "the quiet one");
    let of_bob = told(&service, "users/bob/friends/mutual/ada");
    assert!(of_bob["users"].as_array().unwrap().iter().all(|user| user["remark"].is_null()), "that is ada's word");
    assert_eq!(pages(&service, "users/lea/friends/mutual/max", "users", 50), [""; 0]);
    assert_eq!(refused(&service, "users/ada/friends/mutual/nobody"), (404, "not-registered".into()));
    assert_eq!(refused(&service, "users/nobody/friends/mutual/ada"), (404, "not-registered".into()));
    assert_eq!(refused(&service, &format!("{path}?cursor=AAAA")), (422, "invalid-value".into()));
    let ban = refused(&service, &format!("{path}?limit=501"));
    assert_eq!(ban, (422, "invalid-value".into()));
    // Who is deactivated is nobody's friend any more, and gone as one of the two.
    service.post(APP, "/user/deactivate.json", &[("userId", "joe")]).ok();
    assert_eq!(sorted(pages(&service, path, "users", 1)), ["eve", "kim"]);
    assert_eq!(refused(&service, "users/ada/friends/mutual/joe"), (410, "deactivated".into()));
}

#[test]
fn friends_of_friends_are_suggested_with_the_number_of_mutual_friends() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob", "eve", "joe", "kim", "lea", "max"]);
    befriend(&service, "ada", &["bob", "eve", "joe"]);
    befriend(&service, "kim", &["bob", "eve", "joe"]);
    befriend(&service, "lea", &["eve", "joe"]);
    befriend(&service, "max", &["joe"]);
    let path = "users/ada/friends/suggestions";
    let suggested = told(&service, path);
    let row =
        |user: &str, mutual: u32| json!({"user_id": user, "name": format!("Name of {user}"), "mutual_friends": mutual});
    assert_eq!(suggested, json!({"suggestions": [row("kim", 3), row("lea", 2), row("max", 1)], "next": null}));
    assert_eq!(pages(&service, path, "suggestions", 1), ["kim", "lea", "max"]);
    for (banned, left) in [("kim", vec!["lea", "max"]), ("max", vec!["lea"])] {
        service.post(APP, "/user/block.json", &[("userId", banned), ("minute", "60")]).ok();
        assert_eq!(pages(&service, path, "suggestions", 2), left);
    }
    service.register(APP, &["new"]);
    assert_eq!(told(&service, "users/new/friends/suggestions"), json!({"suggestions": [], "next": null}));
    assert_eq!(refused(&service, "users/nobody/friends/suggestions"), (404, "not-registered".into()));
    let of_another_list = told(&service, "users/ada/friends?limit=1")["next"].as_str().unwrap().to_owned();
    assert_eq!(refused(&service, &format!("{path}?cursor={of_another_list}")), (422, "invalid-value".into()));
}

#[test]
fn a_path_is_the_shortest_one_of_at_most_four_friendships() {
    let service = Service::start(&[APP, OTHER]);
    service.register(APP, &["a", "b", "c", "d", "e", "f", "x", "alone"]);
    for (one, other) in [("a", "b"), ("b", "c"), ("c", "d"), ("d", "e"), ("e", "f"), ("a", "x"), ("x", "c")] {
        befriend(&service, one, &[other]);
    }
    let path = |from: &str, to: &str| told(&service, &format!("friends/path?from={from}&to={to}"))["path"].clone();
    assert_eq!(path("a", "a"), json!(["a"]));
    assert_eq!(path("a", "b"), json!(["a", "b"]));
    assert_eq!(path("d", "b"), json!(["d", "c", "b"]));
    assert_eq!(path("b", "e"), json!(["b", "c", "d", "e"]));
    assert_eq!(path("f", "b"), json!(["f", "e", "d", "c", "b"]));
    assert_eq!(refused(&service, "friends/path?from=a&to=f"), (404, "no-path".into()), "five friendships");
    assert_eq!(refused(&service, "friends/path?from=a&to=alone"), (404, "no-path".into()));
    assert_eq!(refused(&service, "friends/path?from=a&to=nobody"), (404, "not-registered".into()));
    assert_eq!(refused(&service, "friends/path?from=a"), (422, "invalid-value".into()));
    assert_eq!(path("a", "c").as_array().unwrap().len(), 3);
    service.post(APP, "/user/deactivate.json", &[("userId", "x")]).ok();
    assert_eq!(told(&service, "friends/path?from=a&to=c")["path"], json!(["a", "b", "c"]));
    service.post(APP, "/user/deactivate.json", &[("userId", "b")]).ok();
    assert_eq!(refused(&service, "friends/path?from=a&to=c"), (404, "no-path".into()));
    assert_eq!(refused(&service, "friends/path?from=a&to=b"), (410, "deactivated".into()));
    // Another app has none of these users.
    let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", OTHER.key, OTHER.secret))];
    let foreign = service.request("GET", "/api/v1/friends/path?from=c&to=d", &headers, b"");
    assert_eq!(foreign.status, 404, "{}", foreign.text);
    assert!(foreign.text.contains("not-registered"), "{}", foreign.text);
}

#[test]
fn friends_are_searched_by_remark_name_and_the_beginning_of_the_user_id() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob", "bobby", "eve", "joe", "kim"]);
    befriend(&service, "ada", &["bob", "eve", "bobby", "joe", "kim"]);
    assert_eq!(ask(&service, "PATCH", "users/ada/friends/eve", &json!({"remark": "Like a BOB"})).status, 200);
    let profile = json!({"name": "Bobolink"}).to_string();
    service.post(APP, "/user/profile/set.json", &[("userId", "joe"), ("userProfile", &profile)]).ok();
    let found = |query: &str, limit| pages(&service, &format!("users/ada/friends?{query}"), "friends", limit);
    for limit in [50, 1, 3] {
        assert_eq!(found("q=bob", limit), ["bob", "eve", "bobby", "joe"], "{limit}");
        assert_eq!(found("q=BoB&order=newest", limit), ["joe", "bobby", "eve", "bob"], "{limit}");
    }
    assert_eq!(found("q=a%20bob", 50), ["eve"]);
    assert_eq!(found("q=olink", 50), ["joe"]);
    assert_eq!(found("q=zzz", 50), [""; 0]);
    assert_eq!(found("order=newest", 2), ["kim", "joe", "bobby", "eve", "bob"]);
    let page = told(&service, "users/ada/friends?q=bob&limit=1");
    assert_eq!((&page["total"], page["friends"].as_array().unwrap().len()), (&json!(5), 1));
    for bad in ["q=", &format!("q={}", "a".repeat(65)), "order=sideways"] {
        assert_eq!(refused(&service, &format!("users/ada/friends?{bad}")), (422, "invalid-value".into()), "{bad}");
    }
}
