//! After an erasure nobody sees the person, at no moment.

use std::sync::Arc;

use rollcall::audit::as_of::{bans_at, deactivated_at, friends_at};
use rollcall::domain::app;
use rollcall::domain::erasure::Cancel;
use rollcall::domain::user::{Change, Reactivate};
use rollcall::domain::values::Tag;
use rollcall::privacy::KeysToDestroy;
use rollcall_projections::{NumberedPage, erasure_ledger};
use rollcall_schemas::ids::{ErasureId, OperationId, SubjectRef};
use rollcall_schemas::personal::Class;
use rollcall_schemas::plain::Settings;
use serde_json::{Value, json};

use super::{
    Asked, Given, app_id, befriend, block, change, deactivate, forget, impose, is_erased, profile, register, remark,
    rename, user_id,
};

const PAGE: NumberedPage = NumberedPage::first(100);

/// Ada, about whom everything is known, and Bob, who knows her; answers the position after all of it.
async fn ada_and_bob(given: &Given) -> (SubjectRef, SubjectRef, u64) {
    let (ada, bob) = (given.registers("ada", "Ada").await, given.registers("bob", "Bob").await);
    for who in ["ada", "bob"] {
        given.does(profile(who, "email", Some(json!(format!("{who}@example.com"))))).await;
        let tags = Change::Tag(vec![Tag::parse(&format!("friend-of-{who}")).unwrap()]);
        given.does(change(who, tags)).await;
        given.does(impose(who, 600, &format!("{who} shouted"))).await;
    }
    given.does(remark("bob", "ada")).await;
    given.does(block("bob", "ada")).await;
    (ada, bob, given.does(befriend("ada", "bob", true)).await)
}

/// Every personal value of a user's view.
fn personal(shown: &Value) -> Vec<&Value> {
    let ban = shown["ban"].as_object().and_then(|ban| ban.get("reason"));
    let values = [&shown["name"], &shown["portrait"], &shown["tags"]];
    let fields = shown["profile"].as_object().unwrap().values();
    values.into_iter().chain(fields).chain(ban).filter(|value| !value.is_null()).collect()
}

fn reactivate(who: &str) -> Asked {
    Arc::new(Reactivate { who: vec![user_id(who)] })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deactivated_user_is_erased_at_every_moment_and_a_bystander_is_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let given = Given::nobody(dir.path()).await;
    let (ada, bob, full) = ada_and_bob(&given).await;
    let (ada_before, bob_before) = (given.shown(ada, full).await, given.shown(bob, full).await);
    assert_eq!(personal(&ada_before).len(), 5);
    assert!(!personal(&ada_before).into_iter().any(is_erased));
    given.erases(deactivate("ada")).await;
    let ledger = erasure_ledger::of(given.engine().read(), ada, 10).await.unwrap().remove(0);
    let erased = json!({"erased": {"erasure_id": ledger.erasure, "at": ledger.scrubbed_at.unwrap()}});
    let ada_after = given.shown(ada, full).await;
    assert_eq!(personal(&ada_after), vec![&erased; 5]);
    // What is not personal of her, and her userId, are as they were.
    for plain in ["subject", "status", "user_id", "registered_at", "friends", "muted", "position", "at"] {
        assert_eq!(ada_after[plain], ada_before[plain], "{plain}");
    }
    assert_eq!(given.shown(bob, full).await, bob_before);
    for position in 0..=given.head() {
        let shown = given.shown(ada, position).await;
        assert!(personal(&shown).into_iter().all(|value| *value == erased), "position {position}: {shown}");
        assert_eq!(shown["name"].is_null(), matches!(shown["status"].as_str(), Some("unknown")), "{shown}");
        assert!(!personal(&given.shown(bob, position).await).into_iter().any(is_erased), "position {position}");
    }
    let moment = given.moment(full).await;
    let bans = bans_at(given.past().await, &app_id(), moment, PAGE, &|_, _| ()).await.unwrap();
    let bans = serde_json::to_value(bans).unwrap();
    let of =
        |who: SubjectRef| bans["bans"].as_array().unwrap().iter().find(|ban| ban["subject"] == json!(who)).unwrap();
    assert_eq!((&of(ada)["reason"], &of(bob)["reason"]), (&erased, &json!("bob shouted")));
    let now = given.moment(given.head()).await;
    let gone = deactivated_at(given.past().await, &app_id(), now, PAGE, &|_, _| ()).await.unwrap().view.deactivated;
    assert_eq!(gone.iter().map(|user| user.user_id.present().unwrap().as_str()).collect::<Vec<_>>(), ["ada"]);
    let before = deactivated_at(given.past().await, &app_id(), moment, PAGE, &|_, _| ()).await.unwrap();
    assert!(before.view.deactivated.is_empty());
    given.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_user_has_no_name_left_in_any_list_and_is_found_by_reference_alone() {
    let dir = tempfile::tempdir().unwrap();
    let given = Given::nobody(dir.path()).await;
    let (ada, bob, full) = ada_and_bob(&given).await;
    given.erases(forget("ada")).await;
    let next = given.registers("ada", "Another").await;
    assert_eq!(given.subject("ada").await, next, "the userId names the new person");
    let moment = given.moment(full).await;
    let friends = friends_at(given.past().await, &app_id(), bob, moment).await.unwrap();
    let friends = serde_json::to_value(friends.view.friends).unwrap();
    assert_eq!(friends[0]["subject"], json!(ada));
    assert!(is_erased(&friends[0]["user_id"]), "{friends}");
    let of_bob = given.shown(bob, full).await;
    assert!(is_erased(&of_bob["blocklist"][0]["user_id"]));
    for position in [full, given.head()] {
        let shown = given.shown(ada, position).await;
        assert!(is_erased(&shown["user_id"]) && is_erased(&shown["name"]), "{shown}");
        assert_eq!(shown["status"], json!(if position == full { "registered" } else { "forgotten" }));
    }
    assert_eq!(given.shown(next, full).await["status"], json!("unknown"));
    let bans = bans_at(given.past().await, &app_id(), moment, PAGE, &|_, _| ()).await.unwrap().view.bans;
    assert_eq!(bans.len(), 2);
    let text = serde_json::to_string(&bans).unwrap();
    assert!(!text.contains("ada shouted") && !text.contains("\"ada\""), "{text}");
    given.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_life_of_a_user_names_the_erasure_that_ended_it() {
    let dir = tempfile::tempdir().unwrap();
    let given = Given::nobody(dir.path()).await;
    given.reactivate_at_once().await;
    let ada = given.registers("ada", "First").await;
    let first = given.head();
    let mut lives = vec![first];
    for name in ["Second", "Third"] {
        given.erases(deactivate("ada")).await;
        given.does(reactivate("ada")).await;
        lives.push(given.does(register("ada", name)).await);
    }
    let mut ledger = erasure_ledger::of(given.engine().read(), ada, 10).await.unwrap();
    ledger.reverse();
    for (life, erasure) in lives.iter().zip(&ledger) {
        let shown = given.shown(ada, *life).await;
        assert_eq!(shown["name"]["erased"]["erasure_id"], json!(erasure.erasure), "{shown}");
    }
    assert_eq!(given.shown(ada, lives[2]).await["name"], json!("Third"));
    assert_eq!(given.shown(ada, lives[2]).await["epoch"], json!(2));
    given.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_asked_to_be_erased_is_hidden_before_its_keys_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let given = Given::nobody(dir.path()).await;
    let (ada, _, full) = ada_and_bob(&given).await;
    given.does(deactivate("ada")).await;
    let shown = given.shown(ada, full).await;
    assert!(personal(&shown).into_iter().all(is_erased), "{shown}");
    given.does(rename("bob", "Robert")).await;
    given.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_that_waits_hides_the_person_and_hides_nothing_once_called_off() {
    let dir = tempfile::tempdir().unwrap();
    let given = Given::nobody(dir.path()).await;
    let (ada, bob, full) = ada_and_bob(&given).await;
    let (before, bob_before) = (given.shown(ada, full).await, given.shown(bob, full).await);
    given
        .operate(app::Command::Configure(Settings { erasure_grace_seconds: 3_600, ..Settings::default() }, None))
        .await;
    let waits = given.does(deactivate("ada")).await;
    given.engine().applied_up_to(waits).await.unwrap();
    let ledger = erasure_ledger::of(given.engine().read(), ada, 10).await.unwrap().remove(0);
    let restricted = json!({"restricted": {"erasure_id": ledger.erasure, "at": ledger.requested_at}});
    for position in [full, waits] {
        let shown = given.shown(ada, position).await;
        assert!(personal(&shown).into_iter().all(|value| *value == restricted), "{shown}");
        assert_eq!(shown["user_id"], json!("ada"));
    }
    assert_eq!(given.shown(ada, waits).await["status"], json!("restricted"));
    assert_eq!(given.shown(bob, full).await, bob_before);
    given.does(Arc::new(Cancel { erasure: ledger.erasure })).await;
    assert_eq!(given.shown(ada, full).await, before);
    given.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_nobody_recorded_shows_as_erased_without_a_number() {
    let dir = tempfile::tempdir().unwrap();
    let given = Given::nobody(dir.path()).await;
    let ada = given.registers("ada", "Ada").await;
    let keys_to_destroy = KeysToDestroy {
        erasure: ErasureId(uuid::Uuid::from_u128(1)),
        app: app_id(),
        subject: ada,
        classes: Class::ALL.to_vec(),
        operation: OperationId(String::new()),
    };
    given.data.vault.destroy(&[keys_to_destroy]).unwrap();
    let shown = given.shown(ada, given.head()).await;
    assert_eq!((&shown["name"], &shown["user_id"]), (&json!({"erased": {}}), &json!({"erased": {}})));
    given.stop();
}
