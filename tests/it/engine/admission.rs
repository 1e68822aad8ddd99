//! What is remembered of an admission ends with the state of things, and with the time.

use chrono::TimeDelta;
use rollcall::domain::ban::{Ban, Length, Over, Term};
use rollcall::domain::values::BanMinutes;
use rollcall::engine::admission::Rule;

use super::{Environment, Running, app_id, register, user_id};

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_that_begins_later_stands_against_a_message_from_its_start_to_its_end_whoever_was_admitted_before() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::create(dir.path(), Environment::Production).await;
    for user in ["ada", "bob"] {
        running.execute(register(user)).await.unwrap();
    }
    let engine = running.engine();
    let rule = async || {
        let denied = engine.admission(&app_id(), &[(user_id("ada"), user_id("bob"))]).await.unwrap();
        denied[0].as_ref().map(|denial| denial.rule)
    };
    assert_eq!(rule().await, None);
    let starts_at = Some(engine.now() + TimeDelta::minutes(10));
    let term = Term { starts_at, length: Length::Minutes(BanMinutes::new(5).unwrap()) };
    let ban = Ban { who: vec![user_id("ada")], term, reason: None, note: None, over: Over::Any };
    running.execute(ban).await.unwrap();
    for _ in 0..2 {
        assert_eq!(rule().await, None, "it is to begin");
    }
    // Nobody records the start and the end here: the clock alone tells.
    engine.clock().advance(TimeDelta::minutes(11));
    assert_eq!(rule().await, Some(Rule::SenderBanned));
    engine.clock().advance(TimeDelta::minutes(5));
    assert_eq!(rule().await, None);
    running.stop();
}
