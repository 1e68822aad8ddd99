//! Users find each other by the uniqueId that the app gave them.

use serde_json::{Value, json};

use super::{APP, Socket, call, refused, token};
use crate::support::Service;

#[test]
fn a_user_is_found_by_its_unique_id_unless_it_is_hidden() {
    let service = Service::start(&[APP]);
    let [ada, bob] = ["ada", "bob"].map(|user| token(&service, APP, user));
    let profile = json!({"uniqueId": "rose-7", "location": "London"}).to_string();
    service.post(APP, "/user/profile/set.json", &[("userId", "ada"), ("userProfile", &profile)]).ok();
    let find =
        |token: &str, unique_id: &str| call(&service, token, "GET", &format!("users/by-unique-id/{unique_id}"), "");
    let found = find(&bob, "rose-7").json();
    assert_eq!((&found["user_id"], found.get("profile")), (&json!("ada"), None), "as strangers see her: {found}");
    refused(&find(&bob, "rose-8"), 404, 24_366);
    refused(&find(&bob, "ada"), 404, 24_366);
    let (mut socket, _) = Socket::connect(&service, &bob);
    for name in ["unique_id", "uniqueId"] {
        let answer = socket.ask("users.find", &json!({name: "rose-7"}));
        assert_eq!(answer["result"], found, "{answer}");
    }
    assert_eq!(socket.ask("users.find", &json!({"uniqueId": ""}))["error"]["code"], json!(34_236));
    assert_eq!(socket.ask("users.find", &json!({"uniqueId": "rose-8"}))["error"]["code"], json!(24_366));

    call(&service, &ada, "PUT", "me/visibility", r#"{"visibility": "all"}"#);
    let shown: Value = find(&bob, "rose-7").json();
    assert_eq!(shown["profile"], json!({"uniqueId": "rose-7", "location": "London"}));
    call(&service, &ada, "PUT", "me/visibility", r#"{"visibility": "hidden"}"#);
    refused(&find(&bob, "rose-7"), 404, 24_366);
    assert_eq!(find(&ada, "rose-7").json()["user_id"], "ada", "but by itself");
}
