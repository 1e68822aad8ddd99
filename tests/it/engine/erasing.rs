//! Forgetting and deactivating, to the end and cut short.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use rollcall::audit::erasure::{self, advance_all};
use rollcall::domain::erasure::{Advance, Erase, Request, Step};
use rollcall::domain::friendship::Befriend;
use rollcall::domain::remarks::Remark;
use rollcall::domain::user::Reactivate;
use rollcall::domain::values::Remark as Text;
use rollcall::domain::{Refusal, app};
use rollcall::engine::{Error, journal};
use rollcall::eventlog::{self, EventLog, RawEvent};
use rollcall::privacy::KeysToDestroy;
use rollcall_projections::erasure_ledger::{self, Erasure};
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::personal::Class;
use rollcall_schemas::plain::{Environment, Scope, Settings};
use rollcall_schemas::stream::Stream;
use tokio_util::sync::CancellationToken;

use super::{Running, app_id, register, rename, user_id};
use crate::support::log_layer::{Layer, Layered};

fn reactivate(who: &str) -> Reactivate {
    Reactivate { who: vec![user_id(who)] }
}

fn erase(who: &str, scope: Scope) -> Erase {
    Erase { who: vec![user_id(who)], scope, request: Request::default() }
}

fn deactivate(who: &str) -> Erase {
    erase(who, Scope::Deactivate)
}

fn forget(who: &str) -> Erase {
    erase(who, Scope::Forget)
}

fn remark(about: &str) -> Remark {
    Remark { owner: user_id("bob"), remarks: vec![(user_id(about), Text::parse("my sister").unwrap())] }
}

/// The sealed name of a user, as the read model stores it.
async fn sealed_name(running: &Running, subject: SubjectRef) -> Vec<u8> {
    running.user(subject).await.unwrap().name.unwrap()
}

fn opened(running: &Running, subject: SubjectRef, sealed: &[u8]) -> Option<String> {
    running.engine().open_text(&app_id(), subject, sealed).unwrap()
}

/// Paths of the values about a subject that are still attached, by event.
async fn attached(running: &Running, subject: SubjectRef) -> Vec<(&'static str, String)> {
    let mut attached = vec![];
    for raw in running.data.log.read_all(0, 100_000).await.unwrap() {
        let mut recorded = journal::decode(&raw).unwrap();
        let name = recorded.name;
        let visited = recorded.event.each_personal::<std::convert::Infallible>(&mut |path, _, of, slot| {
            if of == subject && slot.sealed().is_some_and(|sealed| sealed.ciphertext.is_some()) {
                attached.push((name, path.to_owned()));
            }
            Ok(())
        });
        visited.unwrap();
    }
    attached
}

async fn all_finished(running: &Running) -> bool {
    running.engine().applied_up_to(running.data.log.head()).await.unwrap();
    due(running).await.is_empty()
}

async fn due(running: &Running) -> Vec<Erasure> {
    erasure_ledger::due(&running.data.read, running.engine().now(), None, 100).await.unwrap()
}

/// Ada, about whom much is known, and Bob, who knows her.
async fn ada_and_bob(dir: &std::path::Path) -> (Running, SubjectRef, SubjectRef) {
    let running = Running::create(dir, Environment::Production).await;
    let (ada, bob) = (running.register("ada").await.subject, running.register("bob").await.subject);
    running.execute(rename("ada", "Ada")).await.unwrap();
    running.execute(rename("bob", "Bob")).await.unwrap();
    running.execute(remark("ada")).await.unwrap();
    let (who, target) = (user_id("ada"), user_id("bob"));
    running.execute(Befriend { who, target, direct: true, text: None }).await.unwrap();
    (running, ada, bob)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deactivated_user_keeps_the_user_id_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (running, ada, bob) = ada_and_bob(dir.path()).await;
    let (of_ada, of_bob) = (sealed_name(&running, ada).await, sealed_name(&running, bob).await);
    assert_eq!(opened(&running, ada, &of_ada).as_deref(), Some("Ada"));
    running.execute(deactivate("ada")).await.unwrap();
    assert_eq!(running.erase().await, 1);
    assert!(all_finished(&running).await);
    assert_eq!(running.erase().await, 0);
    assert_eq!(opened(&running, ada, &of_ada), None);
    assert_eq!(opened(&running, bob, &of_bob).as_deref(), Some("Bob"));
    assert_eq!(attached(&running, ada).await, [("user.registered", "user_id".to_owned())]);
    assert_eq!(running.events("friendship.ended").await.len(), 1);
    assert_eq!(running.events("erasure.finalised").await.len(), 1);
    let refused = running.execute(register("ada")).await;
    assert!(matches!(refused, Err(Error::Refused(Refusal::Deactivated))));
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forgotten_user_id_is_somebody_else_from_then_on() {
    let dir = tempfile::tempdir().unwrap();
    let (running, ada, bob) = ada_and_bob(dir.path()).await;
    let of_ada = sealed_name(&running, ada).await;
    let mut before = vec![ada];
    for _ in 0..10 {
        running.execute(forget("ada")).await.unwrap();
        // At once: the read models may not know of it yet.
        let next = running.register("ada").await.subject;
        assert!(!before.contains(&next), "a forgotten subject came back");
        before.push(next);
    }
    while !all_finished(&running).await {
        running.erase().await;
    }
    let last = before.pop().unwrap();
    for subject in before {
        assert_eq!(attached(&running, subject).await, []);
        assert_eq!(running.user(subject).await, None);
    }
    assert_eq!(opened(&running, ada, &of_ada), None);
    let (of_last, of_bob) = (sealed_name(&running, last).await, sealed_name(&running, bob).await);
    assert_eq!(opened(&running, last, &of_last).as_deref(), Some("Somebody"));
    assert_eq!(opened(&running, bob, &of_bob).as_deref(), Some("Bob"));
    let running = running.reopen(dir.path()).await;
    assert_eq!(running.register("ada").await.subject, last);
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_cut_short_anywhere_is_finished_by_the_next_run() {
    for cut_after in ["the request", "the end of relations", "the destruction"] {
        let dir = tempfile::tempdir().unwrap();
        let (running, ada, bob) = ada_and_bob(dir.path()).await;
        let of_ada = sealed_name(&running, ada).await;
        running.execute(deactivate("ada")).await.unwrap();
        if cut_after != "the request" {
            running.engine().applied_up_to(running.data.log.head()).await.unwrap();
            let erasure = due(&running).await.remove(0);
            let step =
                Advance { erasure: erasure.erasure, subject: ada, step: Step::EndRelations(1), friends: vec![bob] };
            running.execute(step).await.unwrap();
        }
        if cut_after == "the destruction" {
            let Erasure { erasure, app, operation, .. } = due(&running).await.remove(0);
            let classes = vec![Class::Profile, Class::Moderation];
            let keys_to_destroy = KeysToDestroy { erasure, app, subject: ada, classes, operation };
            assert_eq!(running.data.vault.destroy(&[keys_to_destroy]).unwrap()[0].keys.len(), 2);
        }
        let running = running.reopen(dir.path()).await;
        assert_eq!(opened(&running, ada, &of_ada).is_none(), cut_after == "the destruction", "after {cut_after}");
        assert!(!all_finished(&running).await);
        assert_eq!(running.erase().await, 1, "after {cut_after}");
        assert!(all_finished(&running).await);
        assert_eq!(opened(&running, ada, &of_ada), None);
        assert_eq!(attached(&running, ada).await, [("user.registered", "user_id".to_owned())], "after {cut_after}");
        for (name, count) in [("erasure.relations_ended", 1), ("erasure.scrubbed", 1), ("friendship.ended", 1)] {
            assert_eq!(running.events(name).await.len(), count, "{name} after {cut_after}");
        }
        running.stop();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reactivated_user_has_new_keys_and_none_of_the_old_data() {
    let dir = tempfile::tempdir().unwrap();
    let (running, ada, _) = ada_and_bob(dir.path()).await;
    let of_ada = sealed_name(&running, ada).await;
    running.execute(deactivate("ada")).await.unwrap();
    assert!(running.execute(reactivate("ada")).await.is_err(), "its erasure is not through");
    running.erase().await;
    let early = running.execute(reactivate("ada")).await;
    assert!(matches!(early, Err(Error::Refused(Refusal::ReactivationTooEarly { .. }))), "{early:?}");
    running
        .operate(app::Command::Configure(Settings { reactivation_wait_seconds: 0, ..Settings::default() }, None))
        .await;
    let mut old = HashMap::from([("epoch 0", of_ada)]);
    for (epoch, what) in [(1, "epoch 1"), (2, "epoch 2")] {
        running.execute(reactivate("ada")).await.unwrap();
        let again = running.register("ada").await;
        assert_eq!((again.subject, again.epoch), (ada, epoch));
        running.execute(rename("ada", what)).await.unwrap();
        let sealed = sealed_name(&running, ada).await;
        assert_eq!(opened(&running, ada, &sealed).as_deref(), Some(what));
        assert!(old.iter().all(|(_, sealed)| opened(&running, ada, sealed).is_none()));
        old.insert(what, sealed);
        running.execute(deactivate("ada")).await.unwrap();
        running.erase().await;
        assert!(old.iter().all(|(_, sealed)| opened(&running, ada, sealed).is_none()), "after {what}");
    }
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_others_say_about_an_erased_user_is_refused_and_not_called_an_outage() {
    let dir = tempfile::tempdir().unwrap();
    let (running, ..) = ada_and_bob(dir.path()).await;
    running.execute(deactivate("ada")).await.unwrap();
    running.erase().await;
    let said = tokio::time::timeout(Duration::from_secs(20), running.execute(remark("ada"))).await.unwrap();
    assert!(matches!(said, Err(Error::Refused(_))), "{said:?}");
    running.stop();
}

/// Has a log that cannot read the events about one user at a time, as where a block of the disk is damaged.
#[derive(Default)]
struct Damaged {
    unreadable: Mutex<HashSet<String>>,
}

#[async_trait]
impl Layer for Damaged {
    async fn read_at(&self, log: &dyn EventLog, positions: &[u64]) -> Result<Vec<RawEvent>, eventlog::Error> {
        let events = log.read_at(positions).await?;
        let unreadable = self.unreadable.lock().unwrap();
        match events.iter().find(|event| unreadable.contains(&*event.stream)) {
            None => Ok(events),
            Some(event) => Err(eventlog::Error::Corrupt { position: event.position, reason: "a torn row".into() }),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn erasures_that_cannot_go_on_hold_up_no_other_and_end_once_they_can() {
    // More than are taken up together.
    const STUCK: usize = 251;
    let dir = tempfile::tempdir().unwrap();
    Running::create(dir.path(), Environment::Production).await.stop();
    let mut damaged = None;
    let running =
        Running::open_with(dir.path(), |log| damaged.insert(Layered::over(log, Damaged::default())).clone()).await;
    let damaged = damaged.unwrap();
    running
        .operate(app::Command::Configure(Settings { erasures_per_minute_max: 0, ..Settings::default() }, None))
        .await;
    let engine = running.engine();
    let names: Vec<String> = (0..STUCK).map(|number| format!("stuck{number}")).collect();
    let registered = join_all(names.iter().map(|name| running.register(name))).await;
    let stream = |subject| Stream::User(subject).to_string();
    *damaged.unreadable.lock().unwrap() = registered.iter().map(|token| stream(token.subject)).collect();
    for some in names.chunks(100) {
        let who = some.iter().map(|name| user_id(name)).collect();
        running.execute(Erase { who, scope: Scope::Deactivate, request: Request::default() }).await.unwrap();
    }
    running.register("ada").await;
    running.execute(deactivate("ada")).await.unwrap();

    let keeper = running.data.keeper().await.unwrap();
    let stuck = advance_all(&engine, &keeper).await.unwrap_err();
    assert!(matches!(stuck, erasure::Error::Stuck { count: STUCK, .. }), "{stuck}");
    assert!(stuck.to_string().contains("a torn row"), "{stuck}");
    assert_eq!(running.events("erasure.finalised").await.len(), 1, "the newest one has ended");
    assert_eq!(running.events("erasure.scrubbed").await.len(), 1);
    let oldest = due(&running).await.remove(0);
    let later = engine.now() + chrono::TimeDelta::minutes(6);
    assert_eq!((oldest.stuck_since(engine.now()), oldest.stuck_since(later)), (None, Some(oldest.step_at)));

    damaged.unreadable.lock().unwrap().clear();
    assert_eq!(advance_all(&engine, &keeper).await.unwrap(), STUCK);
    assert_eq!(running.events("erasure.finalised").await.len(), STUCK + 1);
    for name in ["erasure.begun", "erasure.relations_ended", "erasure.scrubbed", "erasure.report_issued"] {
        assert_eq!(running.events(name).await.len(), STUCK + 1, "{name}");
    }
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_does_not_wait_for_the_erasures_that_are_left() {
    let dir = tempfile::tempdir().unwrap();
    let (running, ..) = ada_and_bob(dir.path()).await;
    running.execute(deactivate("ada")).await.unwrap();
    let stop = CancellationToken::new();
    stop.cancel();
    let keeper = running.data.keeper().await.unwrap();
    erasure::run(running.engine(), keeper, stop).await;
    assert_eq!(running.events("erasure.finalised").await.len(), 0);
    assert_eq!(running.erase().await, 1, "the next run takes it up");
    running.stop();
}
