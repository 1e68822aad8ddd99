//! One userId is one person, whatever becomes of the appends that introduce it.

use std::collections::BTreeSet;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_oneof};
use proptest::test_runner::TestRunner;
use rollcall::engine::journal;
use rollcall::wiring::{KeyOptions, LogPlace, places};
use rollcall_schemas::{Event, user};

use super::failing::{Failing, Fate, another_failing_at, failing, failing_at};
use super::{Arc, Error, EventLog as _, Place, Running, SubjectRef, app_id, at_once, caller, register, user_id};
use crate::support::Cluster;
use crate::support::transit::{TOKEN, Transit};

const USERS: usize = 3;

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        3 => Just(Fate::Kept),
        1 => Just(Fate::Failed),
        1 => Just(Fate::Lost),
        2 => Just(Fate::Unknown),
        2 => Just(Fate::LateBefore),
        2 => Just(Fate::LateAfter),
        1 => Just(Fate::Lied),
    ]
}

/// The subjects that events after a position introduce.
async fn introduced(log: &Failing, after: u64) -> Vec<SubjectRef> {
    log.latest().await.unwrap();
    let events = log.read_all(after, 1_000_000).await.unwrap();
    let subject = |event| match event {
        Event::User(user::Event::Named(e)) => Some(e.subject),
        Event::User(user::Event::Registered(e)) if e.user_id.is_some() => Some(e.subject),
        _ => None,
    };
    events.iter().filter_map(|raw| subject(journal::decode(raw).unwrap().event)).collect()
}

type Node = (Running, Arc<Failing>);

/// Registers users at once in rounds, at every node, while appends end as they do; then each one for certain.
async fn one_person_each(nodes: &[Node], rounds: &[(Vec<usize>, Vec<Fate>)]) {
    static CASE: AtomicU32 = AtomicU32::new(0);
    let case = CASE.fetch_add(1, Ordering::Relaxed);
    let name_of = |user: usize| format!("user-{case}-{user}");
    let (first, log) = &nodes[0];
    let begin = log.latest().await.unwrap();
    for (users, fates) in rounds {
        let mut calling = vec![];
        for (number, (running, log)) in nodes.iter().enumerate() {
            // Another node meets the same in another order.
            let fates = fates.iter().cycle().skip(number).take(fates.len());
            log.fates.lock().unwrap().extend(fates);
            let calls = users.iter().map(|user| (caller(), register(&name_of(*user)))).collect();
            let engine = running.engine();
            calling.push(tokio::spawn(async move { at_once(&engine, calls).await }));
        }
        for calls in calling {
            for done in calls.await.unwrap() {
                let ended = matches!(done, Ok(_) | Err(Error::Unavailable(_) | Error::Ambiguous(_) | Error::Busy));
                assert!(ended, "{done:?}");
            }
        }
    }
    nodes.iter().for_each(|(_, log)| log.fates.lock().unwrap().clear());
    let mut subjects = BTreeSet::new();
    for user in 0..USERS {
        for (running, _) in nodes {
            subjects.insert(running.register(&name_of(user)).await.subject);
        }
    }
    for (_, log) in nodes {
        log.arrive(Fate::LateBefore).await;
        log.arrive(Fate::LateAfter).await;
    }
    let introduced = introduced(log, begin).await;
    assert_eq!((introduced.len(), subjects.len()), (USERS, USERS), "each person is introduced once");
    assert_eq!(introduced.into_iter().collect::<BTreeSet<_>>(), subjects);
    first.engine().all_applied().await.unwrap();
    for user in 0..USERS {
        let found = first.engine().find(&app_id(), &user_id(&name_of(user))).await.unwrap();
        assert!(found.is_some_and(|found| subjects.contains(&found)));
    }
}

/// So many histories, the shortest of those that fail being told.
fn every_user_id_is_one_person(nodes: &[Node], cases: u32) {
    let rounds = vec((vec(0..USERS, 1..6), vec(fate(), 1..4)), 1..6);
    tokio::task::block_in_place(|| {
        let runtime = tokio::runtime::Handle::current();
        let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
        let run = TestRunner::new(config).run(&rounds, |rounds| {
            runtime.block_on(one_person_each(nodes, &rounds));
            Ok(())
        });
        run.unwrap();
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_id_is_one_person_whatever_is_said_of_the_appends_that_introduce_it() {
    let dir = tempfile::tempdir().unwrap();
    let nodes = [failing(dir.path()).await];
    every_user_id_is_one_person(&nodes, 60);
    nodes.into_iter().for_each(|(running, _)| running.stop());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_id_is_one_person_in_a_log_on_postgresql_too() {
    let (cluster, dir) = (Cluster::start(), tempfile::tempdir().unwrap());
    let database = cluster.address(&cluster.database()).parse().unwrap();
    let log = LogPlace::of(None, Some(database)).unwrap();
    let nodes = [failing_at(&Place { dir: dir.path().into(), log, ..Place::default() }).await];
    every_user_id_is_one_person(&nodes, 20);
    nodes.into_iter().for_each(|(running, _)| running.stop());
}

#[cfg(feature = "kurrentdb")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_id_is_one_person_in_a_log_in_kurrentdb_too() {
    let (double, dir) = (crate::kurrentdb::server::Double::start(), tempfile::tempdir().unwrap());
    let log = LogPlace::of(Some(double.url()), None).unwrap();
    let nodes = [failing_at(&Place { dir: dir.path().into(), log, ..Place::default() }).await];
    every_user_id_is_one_person(&nodes, 20);
    nodes.into_iter().for_each(|(running, _)| running.stop());
}

/// Names the databases of log and keys to the process that runs the two nodes.
const DATABASES: &str = "ROLLCALL_TEST_ONE_PERSON";

/// Where a node keeps its root is in the environment alone, so that the nodes run in a process of their own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_id_is_one_person_on_two_nodes_too() {
    let Ok(databases) = std::env::var(DATABASES) else {
        let (cluster, transit) = (Cluster::start_with("max_connections=200"), Transit::start());
        let databases = [cluster.database(), cluster.database()].map(|name| cluster.address(&name)).join(";");
        let name = "engine::uniqueness::a_user_id_is_one_person_on_two_nodes_too";
        let mut again = Command::new(std::env::current_exe().unwrap());
        again.args(["--exact", name]).env(DATABASES, databases);
        let done = again.env("VAULT_ADDR", &transit.address).env("VAULT_TOKEN", TOKEN).output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && said.contains("1 passed"), "{said}");
        return;
    };
    let (log, keys) = databases.split_once(';').unwrap();
    let dir = tempfile::tempdir().unwrap();
    let place = |node: &str| Place {
        dir: dir.path().join(node),
        keys: KeyOptions {
            database: Some(keys.parse().unwrap()),
            cell: places::root_cell("transit:rollcall").unwrap(),
            ..KeyOptions::default()
        },
        log: LogPlace::of(None, Some(log.parse().unwrap())).unwrap(),
    };
    let nodes = [failing_at(&place("one")).await, another_failing_at(&place("two")).await];
    for (running, _) in &nodes {
        running.engine().reload_apps().await.unwrap();
    }
    every_user_id_is_one_person(&nodes, 12);
    nodes.into_iter().for_each(|(running, _)| running.stop());
}
