//! What the service does when it is time, with a clock that is moved.

use std::time::Duration;

use chrono::TimeDelta;
use rollcall::engine::expiry::Rounds;
use rollcall::engine::rotation::Rotations;

use super::{Environment, Error, Running, keyed, register};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idempotency_key_is_remembered_for_a_day_and_is_free_after_the_next_sweep() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::create(dir.path(), Environment::Production).await;
    let (engine, mut rounds) = (running.engine(), Rounds::default());
    engine.execute(&keyed("k", "ada"), register("ada")).await.unwrap();
    let other = async || engine.execute(&keyed("k", "bob"), register("bob")).await;
    for later in [TimeDelta::zero(), TimeDelta::hours(23)] {
        engine.clock().advance(later);
        rounds.round(&engine).await;
        assert!(matches!(other().await, Err(Error::KeyMismatch)));
    }
    engine.clock().advance(TimeDelta::hours(1));
    assert!(matches!(other().await, Err(Error::KeyMismatch)), "nobody has looked");
    rounds.round(&engine).await;
    other().await.unwrap();
    drop(engine);
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_keys_are_rotated_once_whenever_their_time_has_come() {
    const WEEK: Duration = Duration::from_secs(7 * 86_400);
    let dir = tempfile::tempdir().unwrap();
    let running = Running::create(dir.path(), Environment::Production).await;
    running.register("ada").await;
    let (engine, mut rotations) = (running.engine(), Rotations::new(WEEK));
    let first = engine.vault().generation();
    // A whole week, and a little less; the vault has the clock of the machine.
    for (later, rotated) in [(TimeDelta::zero(), 0), (TimeDelta::days(6), 0), (TimeDelta::days(1), 1)] {
        engine.clock().advance(later);
        for _ in 0..2 {
            let next = rotations.look(&engine).await;
            assert!(!next.is_zero() && next <= Duration::from_secs(60), "it is looked again soon, and not at once");
            assert_eq!(engine.vault().generation(), first + rotated);
        }
    }
    engine.clock().advance(TimeDelta::days(7));
    rotations.look(&engine).await;
    assert_eq!(engine.vault().generation(), first + 2);
    drop(engine);
    running.stop();
}
