//! The calls about webhooks, and the shapes of the platform.

use super::*;

#[test]
fn a_webhook_is_registered_changed_listed_and_removed_and_its_secret_told_once() {
    let (started, receiver) = (Started::new(), Receiver::start());
    let url = receiver.url();
    let (webhook, registered) = started.webhook(&url, &["rollcall.user.*"], "standard");
    assert!(registered["secret"].as_str().unwrap().starts_with("whsec_"));
    assert!(registered["public_key"].as_str().unwrap().starts_with("whpk_"));
    let mut expected = registered.clone();
    expected.as_object_mut().unwrap().remove("secret");
    let shown = started.show(&webhook);
    for member in ["webhook_id", "url", "types", "format", "description", "enabled", "public_key", "registered_at"] {
        assert_eq!(shown[member], expected[member], "{member}");
    }
    assert!(shown.get("secret").is_none());

    let patch = json!({"description": "mail", "types": ["rollcall.user.banned.v1"]});
    let changed = started.call("PATCH", &format!("webhooks/{webhook}"), &patch).json();
    assert_eq!((&changed["description"], &changed["types"]), (&json!("mail"), &json!(["rollcall.user.banned.v1"])));
    assert_eq!(changed["url"], url.as_str());
    let cleared = started.call("PATCH", &format!("webhooks/{webhook}"), &json!({"description": null})).json();
    assert_eq!((&cleared["description"], &cleared["types"]), (&Value::Null, &json!(["rollcall.user.banned.v1"])));

    for _ in 1..20 {
        started.webhook(&url, &["*"], "standard");
    }
    let full = started.call("POST", "webhooks", &json!({"url": url, "types": ["*"]}));
    assert_eq!((full.status, &full.json()["type"]), (409, &json!("urn:rollcall:problem:webhooks-full")));
    let first = started.call("GET", "webhooks?limit=12", &Value::Null).json();
    let next = first["next"].as_str().unwrap();
    let second = started.call("GET", &format!("webhooks?limit=12&cursor={next}"), &Value::Null).json();
    let count = |page: &Value| page["webhooks"].as_array().unwrap().len();
    assert_eq!((count(&first), count(&second), &second["next"]), (12, 8, &Value::Null));

    assert_eq!(started.call("DELETE", &format!("webhooks/{webhook}"), &Value::Null).status, 204);
    for (method, path) in
        [("GET", ""), ("DELETE", ""), ("GET", "/deliveries"), ("POST", "/test"), ("POST", "/secret/rotate")]
    {
        let gone = started.call(method, &format!("webhooks/{webhook}{path}"), &Value::Null);
        assert_eq!(
            (gone.status, &gone.json()["type"]),
            (404, &json!("urn:rollcall:problem:no-such-webhook")),
            "{path}"
        );
    }
}

#[test]
fn what_is_wrong_with_a_webhook_is_told_by_its_place() {
    let started = Started::new();
    let url = "https://example.org/hook";
    let cases = [
        (json!({"url": url, "types": []}), 422, "#/types"),
        (json!({"url": url, "types": ["rollcall.users.*"]}), 422, "#/types"),
        (json!({"url": url, "types": ["*.banned"]}), 422, "#/types"),
        (json!({"url": url, "types": vec!["*"; 51]}), 422, "#/types"),
        (json!({"url": "x", "types": ["*"]}), 422, "#/url"),
        (json!({"url": url, "types": ["*"], "description": "x".repeat(201)}), 422, "#/description"),
    ];
    for (body, status, pointer) in cases {
        let refused = started.call("POST", "webhooks", &body);
        assert_eq!((refused.status, &refused.json()["errors"][0]["pointer"]), (status, &json!(pointer)), "{body}");
    }
    for body in
        [json!({"url": url}), json!({"url": url, "types": ["*"], "format": "v2"}), json!({"url": url, "types": "*"})]
    {
        assert_eq!(started.call("POST", "webhooks", &body).status, 400, "{body}");
    }
    let (webhook, _) = started.webhook(url, &["*"], "standard");
    for (path, body) in [
        ("replay", json!({"from": 0, "to": 1})),
        ("replay", json!({"from": 2, "to": 1})),
        ("secret/rotate", json!({"overlap_seconds": u32::MAX})),
    ] {
        assert_eq!(started.call("POST", &format!("webhooks/{webhook}/{path}"), &body).status, 422, "{path} {body}");
    }
    let bad = started.call("GET", &format!("webhooks/{webhook}/deliveries?state=lost"), &Value::Null);
    assert_eq!(bad.status, 422);
    assert_eq!(started.call("GET", "webhooks/nobody", &Value::Null).status, 404);
}

#[test]
fn a_webhook_can_be_tried_out_and_tells_how_far_it_is() {
    let (started, receiver) = (Started::new(), Receiver::start());
    let (webhook, _) = started.webhook(&receiver.url(), &["rollcall.user.*"], "standard");
    let test = || started.call("POST", &format!("webhooks/{webhook}/test"), &Value::Null).json();
    let tested = test();
    assert_eq!((&tested["delivered"], &tested["status"]), (&json!(true), &json!(200)), "{tested}");
    assert_eq!(receiver.received()[0].kind(), "rollcall.webhook.test.v1");
    receiver.now(|_| Does::Answer(503, ""));
    let tested = test();
    assert_eq!((&tested["delivered"], &tested["status"]), (&json!(false), &json!(503)), "{tested}");
    started.register(&["ada", "bob"]);
    started.service.eventually("it is behind", |_| started.show(&webhook)["waiting"].as_u64() > Some(0));
    let metrics = started.service.request("GET", "/metrics", &[], b"").text;
    let series =
        [format!("rollcall_webhook_lag_events{{webhook=\"{webhook}\"}} "), "rollcall_webhook_lag_seconds{".into()];
    assert!(series.iter().all(|series| metrics.contains(series.as_str())), "{metrics}");
}

#[test]
fn receivers_that_were_built_for_the_platform_are_told_in_its_shapes() {
    let started = Started::new();
    let (v1, v4) = (Receiver::start(), Receiver::start());
    started.webhook(&v1.url(), &["*"], "v1");
    started.webhook(&v4.url(), &["*"], "v4");
    started.register(&["ada", "bob", "eve", "joe", "kim"]);
    started.service.post(APP, "/friend/add.json", &[("userId", "ada"), ("targetId", "bob"), ("optType", "2")]).ok();
    let headers = [("Authorization".to_owned(), format!("Bearer {}:{}", APP.key, APP.secret))];
    let as_server = |method: &str, path: &str, body: &Value| {
        let body = if body.is_null() { vec![] } else { body.to_string().into_bytes() };
        let answer = started.service.request(method, &format!("/api/v1/users/{path}"), &headers, &body);
        assert!(answer.status < 300, "{}", answer.text);
        answer
    };
    as_server("PUT", "bob/friend-permission", &json!({"permission": "approval"}));
    let asked = as_server("POST", "eve/friends", &json!({"user_id": "bob"})).json();
    let request = asked["request_id"].as_str().unwrap().to_owned();
    as_server("POST", &format!("bob/friend-requests/{request}/refuse"), &Value::Null);
    // Whoever is made a friend by the server is told as added by it, be there a request or not.
    let again = as_server("POST", "eve/friends", &json!({"user_id": "bob"})).json();
    let request = again["request_id"].as_str().unwrap().to_owned();
    as_server("POST", &format!("bob/friend-requests/{request}/accept"), &Value::Null);
    as_server("POST", "joe/friends", &json!({"user_id": "bob"}));
    started.service.post(APP, "/friend/add.json", &[("userId", "bob"), ("targetId", "joe"), ("optType", "1")]).ok();
    // Only a user itself accepts.
    let asked = as_server("POST", "kim/friends", &json!({"user_id": "bob"})).json();
    let token = started.service.post(APP, "/user/getToken.json", &[("userId", "bob"), ("name", "Bob")]).ok();
    let bearer = format!("Bearer {}", token.json()["token"].as_str().unwrap());
    let accept = format!("/client/v1/friend-requests/{}/accept", asked["request_id"].as_str().unwrap());
    let accepted = started.service.request("POST", &accept, &[("Authorization".to_owned(), bearer)], b"");
    assert!(accepted.status < 300, "{}", accepted.text);
    let profile = r#"{"name":"Ada L","email":"ada@example.org"}"#;
    started.service.post(APP, "/user/profile/set.json", &[("userId", "ada"), ("userProfile", profile)]).ok();
    started.service.post(APP, "/user/profile/clean.json", &[("userId", "ada")]).ok();
    let told = |receiver: &Receiver| receiver.acknowledged().iter().map(Received::json).collect::<Vec<_>>();
    started.service.eventually("v1 is told", |_| v1.acknowledged().len() == 11);
    started.service.eventually("v4 is told", |_| v4.acknowledged().len() == 11);
    let find = |told: Vec<Value>, member: &str, value: Value| {
        let found = told.iter().find(|one| one[member] == value).cloned();
        found.unwrap_or_else(|| panic!("{member} {value} in {told:?}"))
    };
    // Deliveries about others may come in between: in order are those about one user.
    let acts = told(&v1);
    for (kind, user, other) in [(5, "ada", "bob"), (1, "eve", "bob"), (3, "bob", "eve"), (2, "bob", "kim")] {
        let is_told = |one: &&Value| one["eventType"] == kind && one["userId"] == user && one["toUserId"] == other;
        let found = acts.iter().find(is_told);
        let act = found.unwrap_or_else(|| panic!("it is not told that {user} acted, {kind}: {acts:?}"));
        assert!(kind != 5 || act["source"] == "Server", "{act}");
    }
    let set = find(told(&v1), "type", json!(1));
    assert_eq!((&set["userId"], &set["userProfile"]["email"]), (&json!("ada"), &json!("ada@example.org")));
    assert_eq!(find(told(&v1), "type", json!(0))["userProfile"], Value::Null);

    let friendships = told(&v4).into_iter().filter(|one| one["type"] == "user:friendship");
    let mut kinds: Vec<_> = friendships.filter_map(|one| one["data"][0]["operationType"].as_i64()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, [1, 1, 1, 1, 2, 3, 5, 5, 5]);
    let updates: Vec<Value> = told(&v4).into_iter().filter(|one| one["type"] == "user:profile_update").collect();
    assert_eq!(updates.len(), 2);
    assert!(updates.iter().all(|one| one["data"][0]["operatorId"] == "ada"), "{updates:?}");
}
