//! A log that fails: callers are told, nothing is lost, nothing is invented.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rollcall::domain::DynCommand;
use rollcall::domain::blocklist::{Block, Unblock};
use rollcall::domain::friendship::{Befriend, Unfriend};
use rollcall::engine::journal;
use rollcall::privacy::KeysToDestroy;
use rollcall_schemas::Event;
use rollcall_schemas::ids::{ErasureId, OperationId};
use rollcall_schemas::personal::Class;
use rollcall_schemas::{blocklist, friendship};
use tokio::sync::Notify;
use uuid::Uuid;

use super::failing::{Failing, failing};
use super::loads::every_snapshot_is_what_the_events_make;
use super::{Arc, Engine, Environment, Error, EventLog, Running, SubjectRef, at_once, caller, register, user_id};

fn block(owner: &str, target: &str) -> Block {
    Block { owner: user_id(owner), targets: vec![user_id(target)] }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn when_the_log_fails_callers_are_told_and_the_next_command_is_as_if_it_had_not() {
    let dir = tempfile::tempdir().unwrap();
    let (running, log) = failing(dir.path()).await;
    let ada = running.register("ada").await.subject;
    running.register("bob").await;
    let head = log.head();
    log.next.store(2, Ordering::Relaxed);
    for command in [&register("new") as &dyn DynCommand, &block("ada", "bob")] {
        assert!(matches!(running.engine().execute_any(&caller(), command).await, Err(Error::Unavailable(_))));
    }
    assert_eq!(log.head(), head);
    // Decided on what the log holds: not registered yet, not blocked yet.
    let subject = running.register("new").await.subject;
    running.execute(block("ada", "bob")).await.unwrap();
    assert_eq!(running.events("user.registered").await.last().unwrap().stream, format!("user-{subject}").into());
    assert_eq!(running.events("blocklist.blocked").await.len(), 1);
    assert_ne!(subject, ada);
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_loaded_before_a_failure_does_not_hide_what_was_acknowledged_since() {
    let dir = tempfile::tempdir().unwrap();
    let (running, _) = failing(dir.path()).await;
    let ada = running.register("ada").await.subject;
    running.execute(block("ada", "new")).await.unwrap();
    let named = running.events("user.named").await.remove(0).stream;
    running.stop();

    let mut log = None;
    let running = Running::open_with(dir.path(), |inner| log.insert(Failing::over(inner)).clone()).await;
    let log = log.unwrap();
    let rename = || super::rename("new", "New");
    let (reached, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    *log.held.lock().unwrap() = Some((named.to_string(), reached.clone(), release.clone()));
    let late = tokio::spawn({
        let engine = running.engine();
        async move { engine.execute(&caller(), rename()).await }
    });
    // The late command has loaded the user as it was; now it is registered, and then an append fails.
    reached.notified().await;
    assert_eq!(format!("user-{}", running.register("new").await.subject), *named);
    log.next.store(1, Ordering::Relaxed);
    assert!(matches!(running.execute(register("ada")).await, Err(Error::Unavailable(_))));
    assert_eq!(running.register("ada").await.subject, ada);
    release.notify_one();
    late.await.unwrap().expect("the user is registered");
    running.execute(rename()).await.expect("the user is registered");
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_state_loaded_after_a_failure_is_not_overtaken_by_what_was_on_its_way() {
    let dir = tempfile::tempdir().unwrap();
    let (running, log) = failing(dir.path()).await;
    let ada = running.register("ada").await.subject;
    running.execute(block("ada", "new")).await.unwrap();
    let execute = |command: Arc<dyn DynCommand>| {
        let engine = running.engine();
        tokio::spawn(async move { engine.execute_any(&caller(), command.as_ref()).await })
    };
    let gate = |fails| {
        let (reached, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        log.gates.lock().unwrap().push_back((reached.clone(), release.clone(), fails));
        (reached, release)
    };
    let (one, two) = (gate(true), gate(false));
    let fails = execute(Arc::new(register("ada")));
    one.0.notified().await;
    let registers = execute(Arc::new(register("new")));
    two.0.notified().await;
    // Both are on their way; the first one fails, and somebody asks about what the second one does.
    one.1.notify_one();
    let rename = || super::rename("new", "New");
    let early = execute(Arc::new(rename()));
    tokio::time::sleep(Duration::from_millis(100)).await;
    two.1.notify_one();
    assert!(matches!(fails.await.unwrap(), Err(Error::Unavailable(_))));
    registers.await.unwrap().unwrap();
    // It came before the user was there, or after.
    assert!(matches!(early.await.unwrap(), Ok(_) | Err(Error::Refused(_))));
    running.execute(rename()).await.expect("the user is registered");
    assert_eq!(running.register("ada").await.subject, ada);
    running.stop();
}

/// What one task may toggle, and what it knows of it.
struct Pair {
    owner: String,
    target: String,
    /// With whom the target is friends, or not: one who blocks others.
    friend: String,
    listed: bool,
    friends: bool,
    recorded: u32,
    failed: u32,
}

/// Toggles its pair, and keeps account of what was acknowledged.
async fn toggle(engine: Arc<Engine>, mut pair: Pair, rounds: u32) -> Pair {
    for round in 0..rounds {
        let (who, target, friend) = (user_id(&pair.owner), user_id(&pair.target), user_id(&pair.friend));
        let list = round % 3 != 2;
        let command: Arc<dyn DynCommand> = match (list, pair.listed, pair.friends) {
            (true, false, _) => Arc::new(Block { owner: who, targets: vec![target] }),
            (true, true, _) => Arc::new(Unblock { owner: who, targets: vec![target] }),
            (false, _, false) => Arc::new(Befriend { who: target, target: friend, direct: true, text: None }),
            (false, _, true) => Arc::new(Unfriend { who: target, targets: vec![friend] }),
        };
        match engine.execute_any(&caller(), command.as_ref()).await {
            Ok(_) if list => {
                pair.listed = !pair.listed;
                pair.recorded += 1;
            }
            Ok(_) => {
                pair.friends = !pair.friends;
                pair.recorded += 1;
            }
            // Nothing was recorded: what the task knows still holds.
            Err(Error::Unavailable(_) | Error::Busy) => pair.failed += 1,
            Err(other) => {
                panic!("{command:?} of a pair that is listed: {}, friends: {}: {other}", pair.listed, pair.friends)
            }
        }
    }
    pair
}

fn both(one: SubjectRef, other: SubjectRef) -> [SubjectRef; 2] {
    [one.min(other), one.max(other)]
}

/// What the log says: who blocks whom, who is a friend of whom, and how many events say so.
async fn folded(log: &dyn EventLog) -> (BTreeSet<(SubjectRef, SubjectRef)>, BTreeSet<[SubjectRef; 2]>, u32) {
    let (mut blocked, mut friends, mut events) = (BTreeSet::new(), BTreeSet::new(), 0);
    for raw in log.read_all(0, 1_000_000).await.unwrap() {
        match journal::decode(&raw).unwrap().event {
            Event::Blocklist(blocklist::Event::Blocked(e)) => {
                for target in e.targets {
                    assert!(blocked.insert((e.subject, target)), "blocked twice at {}", raw.position);
                }
            }
            Event::Blocklist(blocklist::Event::Unblocked(e)) => {
                for target in e.targets {
                    assert!(blocked.remove(&(e.subject, target)), "unblocked twice at {}", raw.position);
                }
            }
            Event::Friendship(friendship::Event::Befriended(e)) => {
                assert!(friends.insert(both(e.from, e.to)), "befriended twice at {}", raw.position);
            }
            Event::Friendship(friendship::Event::Ended(e)) => {
                assert!(friends.remove(&both(e.by, e.other)), "ended twice at {}", raw.position);
            }
            _ => continue,
        }
        events += 1;
    }
    (blocked, friends, events)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_keeps_failing_loses_nothing_acknowledged_and_keeps_nothing_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (running, log) = failing(dir.path()).await;
    let mut subjects = std::collections::HashMap::new();
    for user_id in (0..3).map(|n| format!("owner-{n}")).chain((0..18).map(|n| format!("target-{n}"))) {
        let subject = running.register(&user_id).await.subject;
        subjects.insert(user_id, subject);
    }
    let mut pairs: Vec<_> = (0..18)
        .map(|n| {
            let (owner, target) = (format!("owner-{}", n % 3), format!("target-{n}"));
            let friend = format!("owner-{}", (n + 1) % 3);
            Pair { owner, target, friend, listed: false, friends: false, recorded: 0, failed: 0 }
        })
        .collect();
    // Failing often, seldom, not at all: what came before must not spoil what comes after.
    for every in [3, 7, 0, 2, 0] {
        log.every.store(every, Ordering::Relaxed);
        let before: u32 = pairs.iter().map(|pair| pair.failed).sum();
        let tasks: Vec<_> = pairs.drain(..).map(|pair| tokio::spawn(toggle(running.engine(), pair, 24))).collect();
        for task in tasks {
            pairs.push(task.await.unwrap());
        }
        let failed = pairs.iter().map(|pair| pair.failed).sum::<u32>() - before;
        assert_eq!(failed > 0, every > 0, "{failed} failed while every {every}. append failed");
        let (blocked, friends, events) = folded(log.as_ref()).await;
        for pair in &pairs {
            let (owner, target) = (subjects[&pair.owner], subjects[&pair.target]);
            assert_eq!(blocked.contains(&(owner, target)), pair.listed, "{} blocks {}", pair.owner, pair.target);
            let both = friends.contains(&both(target, subjects[&pair.friend]));
            assert_eq!(both, pair.friends, "{} and {}", pair.friend, pair.target);
        }
        assert_eq!(events, pairs.iter().map(|pair| pair.recorded).sum::<u32>(), "every: {every}");
    }
    assert!(every_snapshot_is_what_the_events_make(log.as_ref()).await > 0, "no state was recorded");
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_user_id_keeps_one_subject_while_registrations_of_it_fail() {
    let dir = tempfile::tempdir().unwrap();
    let (running, log) = failing(dir.path()).await;
    log.every.store(2, Ordering::Relaxed);
    let mut acknowledged = 0;
    for round in 0..12 {
        let user_id = format!("user-{}", round % 4);
        let calls = (0..10).map(|_| (caller(), register(&user_id))).collect();
        for done in at_once(&running.engine(), calls).await {
            match done {
                Ok(_) => acknowledged += 1,
                Err(Error::Unavailable(_) | Error::Busy) => {}
                Err(other) => panic!("{other}"),
            }
        }
    }
    log.every.store(0, Ordering::Relaxed);
    for number in 0..4 {
        running.register(&format!("user-{number}")).await;
        acknowledged += 1;
    }
    let registered = running.events("user.registered").await;
    assert_eq!(registered.len(), 4);
    assert_eq!(registered.len() + running.events("user.reregistered").await.len(), acknowledged);
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_cannot_be_sealed_fails_alone() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::create(dir.path(), Environment::Production).await;
    let lost = running.register("lost").await.subject;
    for number in 0..8 {
        running.register(&format!("user-{number}")).await;
    }
    // Behind the engine's back: the only way to make a seal fail while the state allows the command.
    let keys_to_destroy = KeysToDestroy {
        erasure: ErasureId(Uuid::new_v4()),
        app: super::app_id(),
        subject: lost,
        classes: Class::ALL.to_vec(),
        operation: OperationId(String::new()),
    };
    running.data.vault.destroy(&[keys_to_destroy]).unwrap();
    let rename = |who: &str| super::rename(who, "New");
    for _ in 0..5 {
        let mut calls: Vec<_> = (0..8).map(|number| (caller(), rename(&format!("user-{number}")))).collect();
        calls.insert(4, (caller(), rename("lost")));
        let done = at_once(&running.engine(), calls).await;
        for (number, done) in done.iter().enumerate() {
            assert_eq!(done.is_ok(), number != 4, "call {number}: {done:?}");
        }
    }
    assert_eq!(running.events("user.modified").await.len(), 40);
    running.stop();
}
