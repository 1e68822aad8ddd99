//! More than the service can do at once: it says so, and what it has taken on does not suffer.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rollcall::domain::blocklist::Block;
use rollcall::engine::Limits;

use super::failing::{Failing, failing};
use super::{Arc, Environment, Error, EventLog as _, Running, at_once, caller, register, user_id};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_models_that_are_slow_are_not_outrun_and_callers_are_told() {
    let dir = tempfile::tempdir().unwrap();
    Running::create(dir.path(), Environment::Production).await.stop();
    const LAG_MAX: u64 = 300;
    const CALLERS: u64 = 40;
    let mut log = None;
    let limits = Limits { lag_max: LAG_MAX, ..Limits::default() };
    let running = Running::open_limited(dir.path(), limits, |inner| log.insert(Failing::over(inner)).clone()).await;
    let log = log.unwrap();
    // About 200 events a second.
    log.slow_reads_of.store(1, Ordering::Relaxed);
    let (stop, busy, taken) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let callers: Vec<_> = (0..CALLERS)
        .map(|number| {
            let (engine, stop, busy, taken) = (running.engine(), stop.clone(), busy.clone(), taken.clone());
            tokio::spawn(async move {
                let mut round = 0;
                while !stop.load(Ordering::Relaxed) {
                    round += 1;
                    match engine.execute(&caller(), register(&format!("user-{number}-{round}"))).await {
                        Ok(_) => drop(taken.fetch_add(1, Ordering::Relaxed)),
                        Err(Error::Busy) => drop(busy.fetch_add(1, Ordering::Relaxed)),
                        Err(other) => panic!("{other}"),
                    }
                }
            })
        })
        .collect();
    let mut lag_max = 0;
    while busy.load(Ordering::Relaxed) < 100 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        let applied = rollcall::engine::projector::applied(&running.data.read);
        lag_max = lag_max.max(log.head().saturating_sub(applied));
    }
    // What each caller has on its way comes on top: two events.
    assert!(lag_max <= LAG_MAX + 2 * CALLERS, "{lag_max} events behind");
    stop.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    log.slow_reads_of.store(0, Ordering::Relaxed);
    running.engine().all_applied().await.unwrap();
    running.execute(register("later")).await.unwrap();
    assert_eq!(running.events("user.registered").await.len() as u64, taken.load(Ordering::Relaxed) + 1);
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_over_many_streams_gets_through_while_others_keep_failing() {
    let dir = tempfile::tempdir().unwrap();
    let (running, log) = failing(dir.path()).await;
    const TARGETS: usize = 400;
    let owner = "owner";
    running.register(owner).await;
    let target = |number: usize| user_id(&format!("target-{number}"));
    for number in 0..TARGETS {
        let block = Block { owner: user_id("other"), targets: vec![target(number)] };
        running.execute(block).await.unwrap();
    }
    running.stop();
    // Nothing of it is in memory.
    drop(log);
    let mut log = None;
    let running = Running::open_with(dir.path(), |inner| log.insert(Failing::over(inner)).clone()).await;
    let log = log.unwrap();
    log.every.store(2, Ordering::Relaxed);
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let failing: Vec<_> = (0..4)
        .map(|number| {
            let (engine, stop, calls) = (running.engine(), stop.clone(), calls.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    calls.fetch_add(1, Ordering::Relaxed);
                    let _ = engine.execute(&caller(), register(&format!("busy-{number}"))).await;
                }
            })
        })
        .collect();
    let block = || Block { owner: user_id(owner), targets: (0..TARGETS).map(target).collect() };
    let mut attempts = 0;
    loop {
        match running.execute(block()).await {
            Ok(_) => break,
            Err(Error::Unavailable(_)) => attempts += 1,
            Err(other) => panic!("{other}"),
        }
    }
    stop.store(true, Ordering::Relaxed);
    for task in failing {
        task.await.unwrap();
    }
    let read = log.pages_read.load(Ordering::Relaxed);
    // Each stream once, which is two pages: its end, and what follows a snapshot. What failed is read again, and nothing else;
    // so do the others with their two streams.
    let calls = calls.load(Ordering::Relaxed);
    let most = 2 * TARGETS as u64 + 64 + 4 * attempts + 4 * calls;
    assert!(read <= most, "{read} pages were read in {attempts} attempts, beside {calls} calls of others");
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn introductions_that_are_refused_take_no_room_in_the_vault() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::create(dir.path(), Environment::Development).await;
    for number in 0..rollcall::domain::roster::SEATS_MAX {
        running.register(&format!("seated-{number}")).await;
    }
    let vault = rusqlite::Connection::open(dir.path().join("vault.db")).unwrap();
    let keys = || vault.query_row("select count(*) from subject_key", [], |row| row.get::<_, u64>(0)).unwrap();
    let before = keys();
    // More than are made ahead.
    for round in 0..50 {
        let calls = (0..40).map(|number| (caller(), register(&format!("late-{round}-{number}")))).collect();
        for done in at_once(&running.engine(), calls).await {
            assert!(matches!(done, Err(Error::Refused(_))), "{done:?}");
        }
    }
    assert_eq!(keys(), before);
    running.stop();
}
