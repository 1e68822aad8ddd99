//! What a command reads of the log does not grow with what its users did before.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::Ordering;

use rollcall::domain::State;
use rollcall::domain::ban::Ban;
use rollcall::domain::blocklist::{Block, Unblock};
use rollcall::domain::erasure::{Erase, Request};
use rollcall::domain::token::Invalidate;
use rollcall::domain::values::BanMinutes;
use rollcall::engine::journal;
use rollcall::wiring::{DataDir, LogPlace, Place};
use rollcall_schemas::plain::Scope;
use tokio::runtime::Runtime;

use super::failing::Failing;
use super::*;
use crate::support::Cluster;

/// Compares every state that is recorded in a log with what the events before it make; answers how many there are.
pub(crate) async fn every_snapshot_is_what_the_events_make(log: &dyn EventLog) -> usize {
    let (mut states, mut found) = (HashMap::new(), 0);
    for raw in log.read_all(0, 1_000_000).await.unwrap() {
        let recorded = journal::decode(&raw).unwrap();
        let state = states.entry(recorded.stream.clone()).or_insert_with(|| State::of(&recorded.stream));
        if let Some(snapshot) = journal::snapshot(&raw).unwrap() {
            found += 1;
            let restored = State::restore(&recorded.stream, &snapshot).expect("this version recorded it");
            assert_eq!(restored, *state, "at {} in {}", raw.position, raw.stream);
        }
        journal::evolve(state, &recorded).unwrap();
    }
    found
}

/// An engine with nothing in memory, over a log that counts.
fn started(place: &Place, runtime: &Runtime) -> (Running, Arc<Failing>) {
    let data = DataDir::create(place).unwrap();
    let log = Failing::over(data.log.clone());
    let (vault, read) = (data.vault.clone(), data.read.clone());
    let ports = Ports { log: log.clone(), vault, read, kept_beside: vec![], on_server: None };
    let service = runtime.block_on(start::start(ports, Limits::default())).unwrap();
    (Running { data, service }, log)
}

/// How many events of streams each of a number of commands about this user reads, with nothing in memory before.
fn costs(place: &Place, runtime: &Runtime, who: &str) -> Vec<u64> {
    let reregister = register(who);
    let before = chrono::DateTime::from_timestamp_millis(1_700_000_000_000).unwrap();
    let invalidate = Invalidate { who: vec![user_id(who)], before };
    let ban = Ban::minutes(vec![user_id(who)], BanMinutes::new(5).unwrap());
    let block = Block { owner: user_id(who), targets: vec![user_id("other")] };
    let deactivate = Erase { who: vec![user_id(who)], scope: Scope::Deactivate, request: Request::default() };
    let commands: [&dyn domain::DynCommand; 5] = [&reregister, &invalidate, &ban, &block, &deactivate];
    let mut costs = vec![];
    for command in commands {
        let (running, log) = started(place, runtime);
        log.events_read.store(0, Ordering::Relaxed);
        runtime.block_on(running.engine().execute_any(&caller(), command)).unwrap();
        costs.push(log.events_read.load(Ordering::Relaxed));
        running.stop();
    }
    costs
}

fn a_user_of_many_logins_costs_what_a_new_one_costs(place: &Place) {
    let runtime = crate::eventlog_contract::runtime();
    let (running, _) = started(place, &runtime);
    runtime.block_on(async {
        running.data.vault.put_secret(&app_id(), SecretId(1), "secret").unwrap();
        running.operate(app::Command::Register(Environment::Development, Plan::Pro)).await;
        for who in ["new", "other", "old"] {
            running.register(who).await;
        }
        for _ in 0..150 {
            running.register("old").await;
            running.execute(Block { owner: user_id("old"), targets: vec![user_id("other")] }).await.unwrap();
            running.execute(Unblock { owner: user_id("old"), targets: vec![user_id("other")] }).await.unwrap();
        }
    });
    running.stop();

    let (new, old) = (costs(place, &runtime, "new"), costs(place, &runtime, "old"));
    // Of each of at most three streams with a past, a page instead of an event.
    for (new_one, old_one) in new.iter().zip(&old) {
        assert!(*old_one <= new_one + 3 * 16, "{old:?} events instead of {new:?}");
    }
    let (running, log) = started(place, &runtime);
    assert!(runtime.block_on(every_snapshot_is_what_the_events_make(log.as_ref())) > 20);
    running.stop();
}

fn embedded(dir: &Path) -> Place {
    Place { dir: dir.to_owned(), ..Place::default() }
}

#[test]
fn a_user_of_many_logins_costs_what_a_new_one_costs_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    a_user_of_many_logins_costs_what_a_new_one_costs(&embedded(dir.path()));
}

#[test]
fn a_user_of_many_logins_costs_what_a_new_one_costs_also_in_postgresql() {
    let (dir, cluster) = (tempfile::tempdir().unwrap(), Cluster::start());
    let database = cluster.address(&cluster.database()).parse().unwrap();
    let place = Place { log: LogPlace::of(None, Some(database)).unwrap(), ..embedded(dir.path()) };
    a_user_of_many_logins_costs_what_a_new_one_costs(&place);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn states_recorded_while_many_log_in_at_once_are_what_the_events_make() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::create(dir.path(), Environment::Production).await;
    for _ in 0..10 {
        let calls = (0..60).map(|n| (caller(), register(&format!("user-{}", n % 3)))).collect();
        assert!(at_once(&running.engine(), calls).await.iter().all(Result::is_ok));
    }
    assert!(every_snapshot_is_what_the_events_make(running.data.log.as_ref()).await > 0);
    running.stop();
}
