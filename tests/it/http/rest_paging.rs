//! Lists over REST are followed forward and back, and show on both ways the same.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::rest_users::{APP, ask, get, problem};
use crate::support::Service;

/// A page of a list: its rows, and the cursors of the pages beside it.
#[derive(Debug)]
struct Page {
    rows: Vec<Value>,
    next: Option<String>,
    previous: Option<String>,
}

#[track_caller]
fn page(service: &Service, path: &str, member: &str, limit: usize, cursor: Option<&str>) -> Page {
    let join = if path.contains('?') { '&' } else { '?' };
    let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
    let reply = get(service, &format!("{path}{join}limit={limit}{cursor}"));
    assert_eq!(reply.status, 200, "{path}: {}", reply.text);
    let told = reply.json();
    let rows = told[member].as_array().unwrap_or_else(|| panic!("{path} tells no {member}: {told}")).clone();
    assert!(rows.len() <= limit, "{path}: {told}");
    assert!(told.get("previous").is_some(), "{path} can be followed forward only: {told}");
    let cursor = |member: &str| told[member].as_str().map(str::to_owned);
    Page { rows, next: cursor("next"), previous: cursor("previous") }
}

/// All pages of a list. Fails where the way back shows other ones.
#[track_caller]
fn walked(service: &Service, path: &str, member: &str, limit: usize) -> Vec<Vec<Value>> {
    let mut last = page(service, path, member, limit, None);
    assert_eq!(last.previous, None, "{path}: nothing is before the first page");
    let mut forward = vec![last.rows.clone()];
    while let Some(next) = last.next {
        last = page(service, path, member, limit, Some(&next));
        assert!(last.previous.is_some(), "{path}: a page is before the second one");
        forward.push(last.rows.clone());
        assert!(forward.len() < 100, "{path} has no end");
    }
    let mut back = vec![last.rows];
    let mut previous = last.previous;
    while let Some(cursor) = previous {
        let before = page(service, path, member, limit, Some(&cursor));
        assert!(before.next.is_some(), "{path}: a page was behind this one");
        back.push(before.rows);
        previous = before.previous;
        assert!(back.len() < 100, "{path} has no beginning");
    }
    back.reverse();
    // Where only some rows are asked for, others may stand before the first of them or behind the last one.
    let with_rows = |pages: &[Vec<Value>]| pages.iter().filter(|page| !page.is_empty()).cloned().collect::<Vec<_>>();
    assert_eq!(with_rows(&back), with_rows(&forward), "{path}: the way back");
    forward
}

#[track_caller]
fn does(service: &Service, method: &str, path: &str, body: &Value) -> Value {
    let reply = ask(service, method, path, body);
    assert!((200..300).contains(&reply.status), "{method} {path}: {} {}", reply.status, reply.text);
    if reply.text.is_empty() { Value::Null } else { reply.json() }
}

const PEOPLE: [&str; 7] = ["p0", "p1", "p2", "p3", "p4", "p5", "p6"];

/// An app in which every list has at least five rows; answers the lists with the names of their rows and how many there are.
fn filled(service: &Service) -> Vec<(String, &'static str, usize)> {
    service.register(APP, &["ada", "bob"]);
    service.register(APP, &PEOPLE);
    for (number, who) in PEOPLE.iter().enumerate() {
        for path in ["users/ada/friends", "users/bob/friends", "users/ada/blocklist", "users/ada/allowlist"] {
            does(service, "PUT", &format!("{path}/{who}"), &Value::Null);
        }
        for list in ["blocklist", "allowlist"] {
            does(service, "PUT", &format!("users/{who}/{list}/bob"), &Value::Null);
        }
        does(service, "PUT", &format!("users/ada/remarks/{who}"), &json!({"remark": format!("remark {number}")}));
        does(service, "PATCH", &format!("users/{who}/profile"), &json!({"location": "London"}));
        does(service, "PUT", &format!("users/{who}/mute"), &json!({"minutes": 60}));
        does(service, "PUT", "users/ada/ban", &json!({"minutes": 60 + number, "reason": format!("reason {number}")}));
        let access = json!({"user_id": who, "kind": "access", "due_at": format!("2090-01-0{}T00:00:00Z", number + 1)});
        does(service, "POST", "compliance/requests", &access);
        let (id, gone) = (format!("s{number}"), format!("g{number}"));
        service.register(APP, &[&id, &gone]);
        does(service, "POST", &format!("users/{id}/friends"), &json!({"user_id": "ada"}));
        does(service, "POST", &format!("users/{gone}/deactivation"), &Value::Null);
        // Every other one is to begin, or has ended.
        let later = json!({"starts_at": "2090-01-01T00:00:00Z", "minutes": 5 + number, "reason": "spam"});
        let now = json!({"minutes": 5 + number, "reason": if number % 2 == 0 { "spam" } else { "insults" }});
        does(service, "PUT", &format!("users/{id}/ban"), &later);
        does(service, "PUT", &format!("users/{who}/ban"), &now);
    }
    does(service, "PUT", "users/ada/friend-groups/1", &json!({"label": "Friends"}));
    for who in PEOPLE {
        does(service, "PUT", &format!("users/ada/friend-groups/1/friends/{who}"), &Value::Null);
    }
    let mut operation = String::new();
    for _ in 0..5 {
        let begun = does(service, "POST", "unbans/batch", &json!({"user_ids": PEOPLE[..5]}));
        operation = begun["operation_id"].as_str().unwrap().to_owned();
        service.eventually("the operation ends", |service| {
            get(service, &format!("operations/{operation}")).json()["state"] == "done"
        });
    }
    let records: Vec<_> = (0..6).map(|_| json!({"user_id": "no user id"}).to_string()).collect();
    let headers = [
        ("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret)),
        ("Content-Type".to_owned(), "application/x-ndjson".to_owned()),
    ];
    let import = service.request("POST", "/api/v1/imports?kind=users", &headers, records.join("\n").as_bytes()).json();
    let import = import["operation_id"].as_str().unwrap_or_else(|| panic!("{import}"));
    service.eventually("the import ends", |service| {
        get(service, &format!("imports/{import}")).json()["state"] != "running"
    });
    service.eventually("the erasures have ended", |service| {
        let erasures = get(service, "erasures").json()["erasures"].clone();
        erasures.as_array().unwrap().iter().all(|erasure| erasure["finalised_at"].is_string())
    });
    let all = |path: &str, member, count| (path.to_owned(), member, count);
    vec![
        all("users", "users", 16),
        all("users?prefix=p", "users", 7),
        all("users?registered_after=2020-01-01T00:00:00Z", "users", 16),
        all("users?registered_after=2020-01-01T00:00:00Z&prefix=s", "users", 7),
        all("users?state=deactivated", "users", 7),
        all("deactivated-users", "deactivated_users", 7),
        all("profiles", "profiles", 7),
        all("bans", "bans", 3),
        all("bans?state=scheduled", "bans", 7),
        all("bans?state=ended", "bans", 11),
        all("bans?state=running,scheduled,ended", "bans", 21),
        all("bans?state=ended,running&reason=spam", "bans", 4),
        all("users/ada/bans", "bans", 7),
        all("mutes", "mutes", 7),
        all("users/ada/blocklist", "users", 7),
        all("users/ada/allowlist", "users", 7),
        all("users/bob/blocked-by", "users", 7),
        all("users/bob/allowed-by", "users", 7),
        all("users/ada/friends", "friends", 7),
        all("users/ada/friends?order=newest", "friends", 7),
        all("users/ada/friends?q=p", "friends", 7),
        all("users/ada/friends?q=p&order=newest", "friends", 7),
        all("users/ada/friends/mutual/bob", "users", 7),
        all("users/ada/friend-groups/1", "friends", 7),
        all("users/ada/friend-requests", "friend_requests", 7),
        all("users/ada/friend-requests?direction=received&state=pending", "friend_requests", 7),
        all("users/ada/remarks", "remarks", 7),
        all("operations", "operations", 6),
        (format!("operations/{operation}"), "results", 5),
        (format!("operations/{import}"), "results", 6),
        (format!("imports/{import}"), "results", 6),
        all("erasures", "erasures", 7),
        all("compliance/requests", "requests", 7),
        all("compliance/requests?due_before=2090-01-06T12:00:00Z", "requests", 6),
        all("users/bob/history", "events", 0),
    ]
}

#[test]
fn every_list_is_walked_back_as_it_was_walked_forward() {
    let service = Service::start(&[APP]);
    let lists = filled(&service);
    for (path, member, count) in &lists {
        for limit in [1, 2, 3, 50] {
            let pages = walked(&service, path, member, limit);
            let rows: Vec<_> = pages.concat();
            let distinct: BTreeSet<_> = rows.iter().map(Value::to_string).collect();
            assert_eq!(distinct.len(), rows.len(), "{path}: {rows:?}");
            assert!(*count == 0 || rows.len() == *count, "{path} has {count} rows, not {}: {rows:?}", rows.len());
            assert!(
                pages[..pages.len() - 1].iter().all(|page| page.len() == limit),
                "{path} in parts of {limit}: {pages:?}"
            );
        }
    }
    // Whatever the document says to be followed back is in this list.
    let document: Value = serde_json::from_str(include_str!("../../../schemas/api/openapi.json")).unwrap();
    for (template, methods) in document["paths"].as_object().unwrap() {
        if methods["get"]["responses"]["2XX"]["links"].get("previous").is_some() {
            let of_template = |path: &str| {
                let (path, template) = (path.split('?').next().unwrap(), template.strip_prefix("/api/v1/").unwrap());
                let parts = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
                let (path, template) = (parts(path), parts(template));
                path.len() == template.len()
                    && path.iter().zip(&template).all(|(part, of)| of.starts_with('{') || part == of)
            };
            assert!(lists.iter().any(|(path, ..)| of_template(path)), "{template} is not walked");
        }
    }
}

#[test]
fn somebody_who_pages_forward_and_back_sees_each_row_that_stays_once_while_others_come_and_go() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada"]);
    let block = |who: &str| does(&service, "PUT", &format!("users/ada/blocklist/{who}"), &Value::Null);
    let unblock = |who: &str| does(&service, "DELETE", &format!("users/ada/blocklist/{who}"), &Value::Null);
    // Every other one goes or came while the list is read.
    let stay: Vec<_> = (0..9).map(|number| format!("stay{number}")).collect();
    for (number, who) in stay.iter().enumerate() {
        block(who);
        block(&format!("goes{number}"));
    }
    let path = "users/ada/blocklist";
    let names = |page: &Page| -> Vec<String> {
        let names = page.rows.iter().map(|row| row["user_id"].as_str().unwrap().to_owned());
        names.filter(|name| name.starts_with("stay")).collect()
    };
    let newest_first: Vec<_> = stay.iter().rev().cloned().collect();
    let mut at = page(&service, path, "users", 4, None);
    let (mut seen, mut step) = (names(&at), 0);
    while let Some(next) = at.next {
        unblock(&format!("goes{}", 8 - step * 2));
        unblock(&format!("goes{}", 7 - step * 2));
        block(&format!("came{step}"));
        at = page(&service, path, "users", 4, Some(&next));
        seen.extend(names(&at));
        step += 1;
    }
    assert_eq!(seen, newest_first, "forward");
    let mut seen = names(&at);
    while let Some(previous) = at.previous {
        block(&format!("came{step}"));
        if step % 2 == 0 {
            unblock(&format!("came{step}"));
        }
        at = page(&service, path, "users", 3, Some(&previous));
        seen.splice(0..0, names(&at));
        step += 1;
        assert!(step < 50, "new rows do not keep anybody from the beginning");
    }
    assert_eq!(seen, newest_first, "back");
    // Nothing is left where somebody was: the way back leads on from there.
    let end = page(&service, path, "users", 50, None);
    let middle = page(&service, path, "users", 4, None).next.unwrap();
    for row in &end.rows {
        unblock(row["user_id"].as_str().unwrap());
    }
    block("alone");
    let empty = page(&service, path, "users", 4, Some(&middle));
    assert_eq!((empty.rows.len(), empty.next), (0, None));
    let back = page(&service, path, "users", 4, empty.previous.as_deref());
    assert_eq!((back.rows, back.previous), (vec![json!({"user_id": "alone"})], None));
}

#[test]
fn a_cursor_leads_back_in_the_list_alone_that_told_it() {
    let service = Service::start(&[APP]);
    service.register(APP, &["ada", "bob", "eve"]);
    does(&service, "PUT", "users/ada/blocklist/bob", &Value::Null);
    let second = page(&service, "users", "users", 2, page(&service, "users", "users", 2, None).next.as_deref());
    let previous = second.previous.unwrap();
    assert!(previous.starts_with('.'), "{previous}");
    for path in
        ["users/ada/blocked-by", "bans", "users/ada/remarks", "compliance/requests?due_before=2090-01-01T00:00:00Z"]
    {
        let join = if path.contains('?') { '&' } else { '?' };
        problem(&get(&service, &format!("{path}{join}cursor={previous}")), 422, "invalid-value");
    }
    // These are followed forward only.
    for path in ["users/ada/tokens", "users/ada/friends/suggestions", "events"] {
        assert_eq!(get(&service, path).json().get("previous"), None, "{path}");
        problem(&get(&service, &format!("{path}?cursor={previous}")), 422, "invalid-value");
    }
    for bad in [".", "..", ".x", &format!(".{previous}"), &format!("{previous}.")] {
        problem(&get(&service, &format!("users?cursor={bad}")), 422, "invalid-value");
    }
    // Of bans a cursor names the state as well.
    does(&service, "PUT", "users/ada/ban", &json!({"permanent": true}));
    does(&service, "PUT", "users/bob/ban", &json!({"permanent": true}));
    let second = page(&service, "bans", "bans", 1, page(&service, "bans", "bans", 1, None).next.as_deref());
    let previous = second.previous.unwrap();
    problem(&get(&service, &format!("bans?state=ended&cursor={previous}")), 422, "invalid-value");
    assert_eq!(page(&service, "bans?state=running,ended", "bans", 1, Some(&previous)).rows.len(), 1);
}

#[test]
fn the_way_back_ends_where_the_question_begins() {
    let service = Service::start(&[APP]);
    service.register(APP, &["old1", "old2"]);
    let since = get(&service, "users/old2").json()["registered_at"].as_str().unwrap().to_owned();
    // Times are told in milliseconds.
    std::thread::sleep(std::time::Duration::from_millis(5));
    service.register(APP, &["new1", "new2", "new3"]);
    for path in [format!("users?registered_after={since}"), format!("users?registered_after={since}&name=a")] {
        let pages = walked(&service, &path, "users", 1);
        let ids: Vec<_> = pages.concat().iter().map(|user| user["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(ids, ["new1", "new2", "new3"], "{path}");
    }
}
