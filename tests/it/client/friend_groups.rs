//! The groups in which a user keeps friends, over REST and the socket.

use serde_json::{Value, json};

use super::erased::{export, texts_of_export};
use super::{APP, Socket, call, refused, token};
use crate::support::Service;

fn befriend(service: &Service, who: &str, others: &[&str]) {
    for other in others {
        service.post(APP, "/friend/add.json", &[("userId", who), ("targetId", other), ("optType", "2")]).ok();
    }
}

#[test]
fn a_user_keeps_friends_in_groups_by_rest() {
    let service = Service::start(&[APP]);
    let ada = token(&service, APP, "ada");
    service.register(APP, &["bob", "eve", "kim"]);
    befriend(&service, "ada", &["bob", "eve"]);
    let ask = |method: &str, path: &str| call(&service, &ada, method, path, "");
    let label = |group: &str, label: &str| {
        call(&service, &ada, "PUT", &format!("friend-groups/{group}"), &json!({"label": label}).to_string())
    };
    assert_eq!(ask("GET", "friend-groups").json(), json!({"friend_groups": [], "next": null}));
    for name in ["work", "family"] {
        let done = label("7", name);
        assert_eq!((done.status, done.header("rollcall-position").is_some()), (204, true), "{}", done.text);
    }
    for friend in ["bob", "eve", "bob"] {
        assert_eq!(ask("PUT", &format!("friend-groups/7/friends/{friend}")).status, 204);
    }
    let listed = ask("GET", "friend-groups").json();
    assert_eq!(listed["friend_groups"], json!([{"group_id": 7, "label": "family", "friends": 2}]));
    let first = ask("GET", "friend-groups/7?limit=1").json();
    let next = first["next"].as_str().unwrap();
    let second = ask("GET", &format!("friend-groups/7?limit=1&cursor={next}")).json();
    let of = |page: &Value| page["friends"][0]["user_id"].as_str().unwrap().to_owned();
    let mut both = [of(&first), of(&second)];
    both.sort();
    assert_eq!((both, &second["next"]), (["bob".to_owned(), "eve".to_owned()], &Value::Null));
    assert_eq!((&first["group_id"], &first["label"]), (&json!(7), &json!("family")));
    // Numbers of the platform; it has none for groups.
    refused(&ask("PUT", "friend-groups/7/friends/kim"), 409, 25_469);
    refused(&ask("PUT", "friend-groups/7/friends/nobody"), 409, 25_469);
    for (method, path) in [("GET", "friend-groups/8"), ("PUT", "friend-groups/8/friends/bob")] {
        let unknown = ask(method, path);
        assert_eq!(unknown.status, 404, "{path}");
        assert_eq!(unknown.json()["type"], "urn:rollcall:problem:no-such-friend-group");
    }
    refused(&label("101", "x"), 422, 33_003);
    refused(&label("seven", "x"), 400, 33_003);
    refused(&label("7", ""), 422, 33_003);
    refused(&label("7", &"x".repeat(65)), 422, 25_406);
    refused(&ask("GET", "friend-groups/7?limit=101"), 422, 34_232);
    refused(&ask("GET", "friend-groups/7?cursor=nonsense"), 422, 25_432);
    for _ in 0..2 {
        assert_eq!(ask("DELETE", "friend-groups/7/friends/bob").status, 204);
    }
    assert_eq!(of(&ask("GET", "friend-groups/7").json()), "eve");
    assert_eq!(ask("DELETE", "friends/eve").status, 204);
    assert_eq!(ask("GET", "friend-groups/7").json()["friends"], json!([]));
    for _ in 0..2 {
        assert_eq!(ask("DELETE", "friend-groups/7").status, 204);
    }
    assert_eq!(ask("GET", "friend-groups").json()["friend_groups"], json!([]));
}

#[test]
fn the_other_devices_of_a_user_are_told_of_its_groups_and_who_is_in_them_is_not() {
    let service = Service::start(&[APP]);
    let [ada, bob] = ["ada", "bob"].map(|user| token(&service, APP, user));
    befriend(&service, "ada", &["bob"]);
    let since = call(&service, &ada, "GET", "changes?since=0", "").json()["position"].clone();
    let (mut web, _) = Socket::connect(&service, &ada);
    let (mut phone, _) = Socket::connect_with(&service, &json!({"token": ada, "platform": "ios"}));
    let (mut his, _) = Socket::connect(&service, &bob);
    let friend = json!({"group_id": 1, "user_id": "bob"});
    for (method, params) in [
        ("friend_groups.set", json!({"group_id": 1, "label": "family"})),
        ("friend_groups.add_friend", friend.clone()),
        ("friend_groups.remove_friend", friend.clone()),
        ("friend_groups.remove", json!({"group_id": 1})),
    ] {
        let answer = web.ask(method, &params);
        assert_eq!(answer["result"], json!({}), "{method}: {answer}");
    }
    let missing = web.ask("friend_groups.get", &json!({"group_id": 1}));
    assert_eq!(missing["error"]["data"]["type"], "urn:rollcall:problem:no-such-friend-group");
    let told = [("labelled", None), ("friend_added", Some("bob")), ("friend_removed", Some("bob")), ("removed", None)];
    for (change, user) in told {
        let (method, params) = phone.told();
        assert_eq!(
            (method.as_str(), &params["change"], &params["group_id"]),
            ("friend_groups.changed", &json!(change), &json!(1))
        );
        assert_eq!(params.get("user_id").and_then(Value::as_str), user, "{params}");
    }
    let missed = call(&service, &ada, "GET", &format!("changes?since={since}"), "").json();
    let changes: Vec<_> =
        missed["changes"].as_array().unwrap().iter().map(|one| one["params"]["change"].clone()).collect();
    assert_eq!(changes, told.map(|(change, _)| json!(change)));
    // The next thing that bob hears of is about bob.
    his.ask("me.update", &json!({"name": "Bob"}));
    assert_eq!(his.told().0, "me.updated");
    let of_bob = call(&service, &bob, "GET", "changes?since=0", "").text;
    assert!(!of_bob.contains("friend_groups"), "{of_bob}");
}

#[test]
fn an_export_tells_a_user_its_groups_and_not_in_which_groups_of_others_it_is() {
    let service = Service::start(&[APP]);
    let [ada, bob] = ["ada", "bob"].map(|user| token(&service, APP, user));
    befriend(&service, "ada", &["bob"]);
    let label = json!({"label": "the slow ones"}).to_string();
    assert_eq!(call(&service, &ada, "PUT", "friend-groups/3", &label).status, 204);
    assert_eq!(call(&service, &ada, "PUT", "friend-groups/3/friends/bob", "").status, 204);
    let mut files = export(&service, &ada);
    let groups = files("user.json")["friend_groups"].clone();
    assert_eq!((&groups[0]["group_id"], &groups[0]["label"]), (&json!(3), &json!("the slow ones")), "{groups}");
    assert_eq!(groups[0]["friends"][0]["user_id"], json!("bob"));
    let mut files = export(&service, &bob);
    assert_eq!(files("user.json")["friend_groups"], json!([]));
    let withheld = files("manifest.json")["withheld"].to_string();
    assert!(withheld.contains("friend_groups.added") && withheld.contains("groups of friends"), "{withheld}");
    let history = texts_of_export(&service, &bob)("history.jsonl");
    assert!(!history.contains("friend_groups") && !history.contains("slow"), "{history}");
    let history = texts_of_export(&service, &ada)("history.jsonl");
    assert!(history.contains("friend_groups.labelled") && history.contains("the slow ones"), "{history}");
}
