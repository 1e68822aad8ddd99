//! One userId is one person, whatever becomes of the appends that introduce it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU32, Ordering};

use proptest::collection::vec;
use proptest::prelude::{Just, ProptestConfig, Strategy, prop_oneof};
use proptest::test_runner::TestRunner;
use rollcall::engine::journal;
use rollcall_schemas::{Event, user};

use super::failing::{Failing, Fate, failing};
use super::{Error, EventLog as _, Running, SubjectRef, app_id, at_once, caller, register};

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
    let events = log.read_all(after, 1_000_000).await.unwrap();
    let subject = |event| match event {
        Event::User(user::Event::Named(e)) => Some(e.subject),
        Event::User(user::Event::Registered(e)) if e.user_id.is_some() => Some(e.subject),
        _ => None,
    };
    events.iter().filter_map(|raw| subject(journal::decode(raw).unwrap().event)).collect()
}

/// Registers users at once in rounds, while appends end as they do; then each one for certain.
async fn one_person_each(running: &Running, log: &Failing, rounds: &[(Vec<usize>, Vec<Fate>)]) {
    static CASE: AtomicU32 = AtomicU32::new(0);
    let case = CASE.fetch_add(1, Ordering::Relaxed);
    let user_id = |user: usize| format!("user-{case}-{user}");
    let begin = log.head();
    for (users, fates) in rounds {
        log.fates.lock().unwrap().extend(fates);
        let calls = users.iter().map(|user| (caller(), register(&user_id(*user)))).collect();
        for done in at_once(&running.engine(), calls).await {
            assert!(matches!(done, Ok(_) | Err(Error::Unavailable(_) | Error::Ambiguous(_) | Error::Busy)), "{done:?}");
        }
    }
    log.fates.lock().unwrap().clear();
    let mut subjects = BTreeSet::new();
    for user in 0..USERS {
        subjects.insert(running.register(&user_id(user)).await.subject);
    }
    log.arrive(Fate::LateBefore).await;
    log.arrive(Fate::LateAfter).await;
    let introduced = introduced(log, begin).await;
    assert_eq!((introduced.len(), subjects.len()), (USERS, USERS), "each person is introduced once");
    assert_eq!(introduced.into_iter().collect::<BTreeSet<_>>(), subjects);
    running.engine().all_applied().await.unwrap();
    for user in 0..USERS {
        let user_id = rollcall::domain::values::UserId::parse("userId", &user_id(user)).unwrap();
        let found = running.engine().find(&app_id(), &user_id).await.unwrap();
        assert!(found.is_some_and(|found| subjects.contains(&found)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_id_is_one_person_whatever_is_said_of_the_appends_that_introduce_it() {
    let dir = tempfile::tempdir().unwrap();
    let (running, log) = failing(dir.path()).await;
    let rounds = vec((vec(0..USERS, 1..6), vec(fate(), 1..4)), 1..6);
    tokio::task::block_in_place(|| {
        let runtime = tokio::runtime::Handle::current();
        let config = ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() };
        let run = TestRunner::new(config).run(&rounds, |rounds| {
            runtime.block_on(one_person_each(&running, &log, &rounds));
            Ok(())
        });
        run.unwrap();
    });
    running.stop();
}
