//! What happened to a user, and what changed.

use rollcall::audit::as_of::{Range, diff, history};
use rollcall::engine::Caller;
use rollcall_projections::Seek;
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::{SecretId, SubjectRef};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Given, app_id, befriend, block, deactivate, impose, is_erased, register, rename};

async fn told(given: &Given, of: SubjectRef, after: u64, limit: u32, reveal: bool) -> Vec<Value> {
    let range = Range { seek: Seek::After(Some(after)), until: given.head(), limit };
    let events = history(given.past().await, &app_id(), of, range, reveal).await.unwrap();
    events.iter().map(|event| serde_json::to_value(event).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_event_of_a_history_names_its_actor_and_the_request_it_came_from() {
    let dir = tempfile::tempdir().unwrap();
    let given = Given::nobody(dir.path()).await;
    let ada = given.registers("ada", "Ada").await;
    let before = given.head();
    let correlation = Uuid::from_u128(7);
    let caller = Caller { correlation, ..Caller::internal(app_id(), Actor::Server(SecretId(3))) };
    given.engine().execute_any(&caller, rename("ada", "Augusta").as_ref()).await.unwrap();
    given.does(register("bob", "Bob")).await;
    given.does(block("bob", "ada")).await;
    let events = told(&given, ada, before, 10, false).await;
    let [renamed, blocked] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&renamed["event"], &renamed["actor"]), (&json!("user.modified"), &json!({"server": 3})));
    assert_eq!(renamed["correlation"], json!(correlation));
    assert_eq!(renamed["personal"]["name"]["present"], json!(true), "{renamed}");
    assert_eq!(blocked["event"], json!("blocklist.blocked"), "what others do about a user is in its history");
    assert_eq!(blocked["plain"]["targets"], json!([ada]));
    let revealed = told(&given, ada, before, 1, true).await;
    assert_eq!(revealed[0]["personal"]["name"]["value"], json!("Augusta"));
    given.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_is_whole_and_in_order_whatever_its_pages_are() {
    let dir = tempfile::tempdir().unwrap();
    let given = Given::nobody(dir.path()).await;
    let ada = given.registers("ada", "Ada").await;
    for n in 0..7 {
        given.does(rename("ada", &format!("Ada {n}"))).await;
    }
    let whole = told(&given, ada, 0, 1_000, false).await;
    assert!(whole.is_sorted_by_key(|event| event["position"].as_u64()));
    let mut paged = vec![];
    loop {
        let after = paged.last().map_or(0, |event: &Value| event["position"].as_u64().unwrap());
        let page = told(&given, ada, after, 2, false).await;
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    assert_eq!(paged, whole);
    given.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_erasure_a_history_goes_on_and_tells_no_value_of_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let given = Given::nobody(dir.path()).await;
    let ada = given.registers("ada", "Ada").await;
    given.does(impose("ada", 10, "ada shouted")).await;
    given.erases(deactivate("ada")).await;
    let events = told(&given, ada, 0, 1_000, true).await;
    let names: Vec<_> = events.iter().filter_map(|event| event["event"].as_str()).collect();
    for name in ["user.registered", "ban.imposed", "user.deactivated", "erasure.begun", "erasure.scrubbed"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    let text = serde_json::to_string(&events).unwrap();
    assert!(!text.contains("Ada") && !text.contains("shouted"), "{text}");
    let registered = events.iter().find(|event| event["event"] == json!("user.registered")).unwrap();
    assert!(is_erased(&registered["personal"]["name"]), "{registered}");
    assert_eq!(registered["personal"]["user_id"]["value"], json!("ada"), "a deactivation keeps the userId");
    given.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_diff_tells_what_changed_between_two_moments_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let given = Given::nobody(dir.path()).await;
    let ada = given.registers("ada", "Ada").await;
    let bob = given.registers("bob", "Bob").await;
    let from = given.moment(given.head()).await;
    given.does(rename("ada", "Augusta")).await;
    given.does(befriend("ada", "bob", true)).await;
    let to = given.moment(given.head()).await;
    let between = async |from, to| {
        let diff = diff(given.past().await, &app_id(), ada, from, to).await.unwrap();
        serde_json::to_value(diff.changes).unwrap()
    };
    let forth = json!([
        {"field": format!("friends.{bob}"), "before": null, "after": "bob"},
        {"field": "name", "before": "Ada", "after": "Augusta"},
    ]);
    assert_eq!(between(from, to).await, forth);
    let back = json!([
        {"field": format!("friends.{bob}"), "before": "bob", "after": null},
        {"field": "name", "before": "Augusta", "after": "Ada"},
    ]);
    assert_eq!(between(to, from).await, back);
    assert_eq!(between(to, to).await, json!([]));
    given.stop();
}
