//! Friend groups over REST.

use serde_json::{Value, json};

use super::rest_graph::{APP, OTHER, ask, befriend, pages, refused, sorted, told};
use crate::support::{Reply, Service};

/// A service where ada has friends.
fn start(friends: &[&str]) -> Service {
    let service = Service::start(&[APP, OTHER]);
    service.register(APP, &[&["ada"], friends].concat());
    befriend(&service, "ada", friends);
    service
}

#[track_caller]
fn done(reply: &Reply) {
    assert_eq!(reply.status, 204, "{}", reply.text);
    assert!(reply.header("rollcall-position").is_some());
}

/// Status and type of a refusal.
fn problem(reply: &Reply) -> (u16, String) {
    let kind = reply.json()["type"].as_str().unwrap_or_default().to_owned();
    (reply.status, kind.trim_start_matches("urn:rollcall:problem:").to_owned())
}

fn label(service: &Service, owner: &str, number: u32, label: &str) -> Reply {
    ask(service, "PUT", &format!("users/{owner}/friend-groups/{number}"), &json!({"label": label}))
}

fn member(service: &Service, method: &str, number: u32, user: &str) -> Reply {
    ask(service, method, &format!("users/ada/friend-groups/{number}/friends/{user}"), &Value::Null)
}

fn listed(service: &Service) -> Value {
    told(service, "users/ada/friend-groups")["friend_groups"].clone()
}

fn group(number: u32, label: &str, friends: u32) -> Value {
    json!({"group_id": number, "label": label, "friends": friends})
}

fn members(service: &Service, number: u32, limit: usize) -> Vec<String> {
    pages(service, &format!("users/ada/friend-groups/{number}"), "friends", limit)
}

#[test]
fn friends_are_kept_in_many_groups_that_are_listed_and_read_page_by_page() {
    let service = start(&["bob", "eve", "joe"]);
    assert_eq!(told(&service, "users/ada/friend-groups"), json!({"friend_groups": [], "next": null}));
    for (number, name) in [(2, "work"), (1, "family"), (2, "colleagues"), (100, "familie 家族")] {
        done(&label(&service, "ada", number, name));
    }
    for user in ["bob", "eve", "joe", "bob"] {
        done(&member(&service, "PUT", 1, user));
    }
    done(&member(&service, "PUT", 2, "bob"));
    let all = [group(1, "family", 3), group(2, "colleagues", 1), group(100, "familie 家族", 0)];
    assert_eq!(listed(&service), json!(all));
    assert_eq!(told(&service, "users/bob/friend-groups")["friend_groups"], json!([]), "they are ada's alone");
    assert_eq!(sorted(members(&service, 1, 1)), ["bob", "eve", "joe"]);
    assert_eq!(members(&service, 1, 50), members(&service, 1, 2));
    assert_eq!(members(&service, 100, 50), [""; 0]);
    assert_eq!(ask(&service, "PATCH", "users/ada/friends/bob", &json!({"remark": "Bobby"})).status, 200);
    let shown = told(&service, "users/ada/friend-groups/2");
    let bob = &shown["friends"][0];
    assert_eq!(
        (&bob["user_id"], &bob["name"], &bob["remark"]),
        (&json!("bob"), &json!("Name of bob"), &json!("Bobby"))
    );
    assert_eq!((&shown["group_id"], &shown["label"], &shown["next"]), (&json!(2), &json!("colleagues"), &Value::Null));
    // A cursor of another list in the same order.
    let page = told(&service, "users/ada/friend-groups/1?limit=1");
    let next = page["next"].as_str().unwrap();
    let mutual = format!("users/ada/friends/mutual/bob?cursor={next}");
    assert_eq!(refused(&service, &mutual), (422, "invalid-value".into()));
    for _ in 0..2 {
        done(&member(&service, "DELETE", 1, "eve"));
    }
    done(&member(&service, "DELETE", 1, "nobody"));
    assert_eq!(sorted(members(&service, 1, 50)), ["bob", "joe"]);
    // A group that is made again is empty.
    for _ in 0..2 {
        done(&ask(&service, "DELETE", "users/ada/friend-groups/2", &Value::Null));
    }
    done(&label(&service, "ada", 2, "again"));
    assert_eq!(listed(&service), json!([group(1, "family", 2), group(2, "again", 0), group(100, "familie 家族", 0)]));
}

#[test]
fn what_is_no_group_or_no_friend_is_refused_by_name() {
    let service = start(&["bob"]);
    service.register(APP, &["kim"]);
    let no_such_group = (404, "no-such-friend-group".to_owned());
    assert_eq!(problem(&member(&service, "PUT", 1, "bob")), no_such_group);
    done(&label(&service, "ada", 1, "family"));
    for stranger in ["kim", "nobody", "ada"] {
        assert_eq!(problem(&member(&service, "PUT", 1, stranger)), (409, "not-friends".into()), "{stranger}");
    }
    for number in ["0", "101", "007", "+7", "family", "-1"] {
        let path = format!("users/ada/friend-groups/{number}");
        for (method, path, body) in [
            ("GET", path.clone(), Value::Null),
            ("PUT", path.clone(), json!({"label": "x"})),
            ("DELETE", path.clone(), Value::Null),
            ("PUT", format!("{path}/friends/bob"), Value::Null),
            ("DELETE", format!("{path}/friends/bob"), Value::Null),
        ] {
            let reply = ask(&service, method, &path, &body);
            assert_eq!(problem(&reply), (422, "invalid-value".into()), "{method} {path}");
        }
    }
    for bad in ["", &"x".repeat(65), "a\u{0}b"] {
        let reply = label(&service, "ada", 1, bad);
        assert_eq!((problem(&reply).0, &reply.json()["errors"][0]["pointer"]), (422, &json!("#/label")), "{bad:?}");
    }
    assert_eq!(ask(&service, "PUT", "users/ada/friend-groups/1", &json!({"name": "x"})).status, 400);
    done(&label(&service, "ada", 1, &"ß".repeat(64)));
    assert_eq!(refused(&service, "users/ada/friend-groups/3"), no_such_group);
    assert_eq!(refused(&service, "users/ada/friend-groups/1?cursor=AAAA"), (422, "invalid-value".into()));
    assert_eq!(refused(&service, "users/ada/friend-groups/1?limit=501"), (422, "invalid-value".into()));
    for path in ["users/nobody/friend-groups", "users/nobody/friend-groups/1"] {
        assert_eq!(refused(&service, path), (404, "not-registered".into()));
    }
    assert_eq!(problem(&label(&service, "nobody", 1, "x")), (404, "not-registered".into()));
    // Another app knows none of these users.
    let foreign = [("Authorization".to_owned(), format!("Bearer {}:{}", OTHER.key, OTHER.secret))];
    for path in ["/api/v1/users/ada/friend-groups", "/api/v1/users/ada/friend-groups/1"] {
        let reply = service.request("GET", path, &foreign, b"");
        assert_eq!(problem(&reply), (404, "not-registered".into()), "{path}");
    }
    let reply = service.request("PUT", "/api/v1/users/ada/friend-groups/1/friends/bob", &foreign, b"");
    assert_eq!(problem(&reply), no_such_group);
}

#[test]
fn a_friend_is_in_a_group_until_the_friendship_ends_and_a_block_ends_none() {
    let service = start(&["bob", "eve", "joe"]);
    for number in [1, 2] {
        done(&label(&service, "ada", number, "friends"));
    }
    for user in ["bob", "eve", "joe"] {
        done(&member(&service, "PUT", 1, user));
    }
    done(&member(&service, "PUT", 2, "bob"));
    done(&ask(&service, "PUT", "users/ada/blocklist/bob", &Value::Null));
    done(&ask(&service, "PUT", "users/bob/blocklist/ada", &Value::Null));
    assert_eq!(members(&service, 2, 50), ["bob"], "a friend all the same");
    // Whoever ends it: who becomes a friend again is in no group.
    done(&ask(&service, "DELETE", "users/bob/friends/ada", &Value::Null));
    befriend(&service, "ada", &["bob"]);
    assert_eq!(
        (sorted(members(&service, 1, 50)), members(&service, 2, 50)),
        (vec!["eve".into(), "joe".into()], vec![])
    );
    done(&member(&service, "PUT", 2, "bob"));
    assert_eq!(members(&service, 2, 50), ["bob"]);
    let erased = |user: &str| ask(&service, "POST", "erasures", &json!({"user_id": user, "scope": "forget"}));
    assert!(erased("eve").status < 300);
    service.eventually("her friendships have ended", |service| listed(service)[0] == group(1, "friends", 1));
    assert_eq!(members(&service, 1, 50), ["joe"]);
    done(&ask(&service, "DELETE", "users/ada/friends", &Value::Null));
    assert_eq!(listed(&service), json!([group(1, "friends", 0), group(2, "friends", 0)]), "the groups stay");
}

#[test]
fn groups_are_shown_of_the_past_and_nothing_of_them_is_left_once_their_user_is_erased() {
    let service = start(&["bob"]);
    let position = |service: &Service| {
        let user = told(service, "users/ada/as-of");
        user["position"].as_u64().unwrap()
    };
    let before = position(&service);
    done(&label(&service, "ada", 1, "family"));
    done(&member(&service, "PUT", 1, "bob"));
    let after = position(&service);
    let bob = told(&service, "users/bob/as-of")["subject"].clone();
    let of = |at: u64| told(&service, &format!("users/ada/as-of?at={at}"))["friend_groups"].clone();
    assert_eq!(of(before), json!([]));
    let friends = json!([{"subject": bob, "user_id": "bob"}]);
    assert_eq!(of(after), json!([{"group_id": 1, "label": "family", "friends": friends}]));
    let diff = told(&service, &format!("users/ada/diff?from={before}&to={after}"));
    let changes = diff["changes"].as_array().unwrap();
    let after_of = |field: &str| changes.iter().find(|change| change["field"] == field).map(|c| c["after"].clone());
    assert_eq!(after_of("friend_groups.1"), Some(json!("family")));
    assert_eq!(after_of(&format!("friend_groups.1.{}", bob.as_str().unwrap())), Some(json!("bob")));
    // What somebody is called by others is not told to it.
    let of_bob = told(&service, "users/bob/as-of");
    assert!(!of_bob.to_string().contains("family"), "{of_bob}");

    assert_eq!(ask(&service, "PATCH", "app", &json!({"reactivation_wait_seconds": 0})).status, 200);
    service.post(APP, "/user/deactivate.json", &[("userId", "ada")]).ok();
    assert_eq!(refused(&service, "users/ada/friend-groups"), (410, "deactivated".into()));
    assert_eq!(problem(&label(&service, "ada", 1, "x")), (410, "deactivated".into()));
    service.eventually("she is let in once her erasure has ended", |service| {
        ask(service, "POST", "users/ada/reactivation", &Value::Null).status == 200
    });
    service.register(APP, &["ada"]);
    assert_eq!(listed(&service), json!([]));
    assert_eq!(problem(&member(&service, "PUT", 1, "bob")), (404, "no-such-friend-group".into()));
    let now = told(&service, &format!("users/ada/as-of?at={after}"));
    assert!(!now.to_string().contains("family"), "{now}");
}
