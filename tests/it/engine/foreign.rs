//! Another node appends while this one's appends are in flight.

use std::time::Duration;

use rollcall::eventlog::{Append, Item, NewEvent, Outcome, RawEvent};
use rollcall_schemas::stream::Stream;
use tokio::sync::Notify;
use uuid::Uuid;

use super::failing::{Failing, failing};
use super::{Arc, Running, register, rename};

/// Holds up the next append: tells when it arrives, and lets it go on.
fn hold(log: &Failing) -> (Arc<Notify>, Arc<Notify>) {
    let (reached, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    log.gates.lock().unwrap().push_back((reached.clone(), release.clone(), false));
    (reached, release)
}

async fn within_reason<T>(of: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), of).await.expect("it never comes to an end")
}

/// Another node appends to the stream, behind whatever there is.
async fn append_as_another_node(running: &Running, last: &RawEvent) {
    let event = NewEvent {
        id: Uuid::new_v4(),
        name: Box::leak(last.name.to_string().into_boxed_str()),
        version: last.version,
        recorded_at: last.recorded_at,
        core: last.core.clone(),
        blobs: last.blobs.clone(),
    };
    let append = Append { stream: last.stream.to_string(), expected: last.revision, events: vec![event] };
    let outcomes = running.data.log.append(vec![Item { appends: vec![append], ..Item::default() }]).await.unwrap();
    assert!(matches!(outcomes[..], [Outcome::Appended { .. }]), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rests_on_an_append_in_flight_is_sent_only_once_that_is_known_to_be_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (running, log) = failing(dir.path()).await;
    let ada = Stream::User(running.register("ada").await.subject).to_string();
    running.execute(rename("ada", "Zero")).await.unwrap();
    let before = running.data.log.read_stream(&ada, 0, 100).await.unwrap();

    let ((first, release_first), (second, release_second)) = (hold(&log), hold(&log));
    release_second.notify_one();
    let rename = |name: &'static str| {
        let engine = running.engine();
        tokio::spawn(async move { engine.execute(&super::caller(), rename("ada", name)).await })
    };
    let one = rename("One");
    within_reason(first.notified()).await;
    append_as_another_node(&running, before.last().unwrap()).await;
    let two = rename("Two");
    // Now its revision is that of the other node's event.
    let is_sent = tokio::time::timeout(Duration::from_millis(300), second.notified()).await;
    assert!(is_sent.is_err(), "a decision on an event that may never be recorded is sent");
    release_first.notify_one();
    for renamed in [one, two] {
        within_reason(renamed).await.unwrap().unwrap();
    }
    let events = running.data.log.read_stream(&ada, 0, 100).await.unwrap();
    assert_eq!(events.len(), before.len() + 3, "the other node's, and both of this one");
    running.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_is_sent_while_another_users_is_in_flight() {
    let dir = tempfile::tempdir().unwrap();
    let (running, log) = failing(dir.path()).await;
    let ((first, release_first), (second, release_second)) = (hold(&log), hold(&log));
    let register = |who: &'static str| {
        let engine = running.engine();
        tokio::spawn(async move { engine.execute(&super::caller(), register(who)).await })
    };
    let ada = register("ada");
    within_reason(first.notified()).await;
    let bob = register("bob");
    within_reason(second.notified()).await;
    release_first.notify_one();
    release_second.notify_one();
    for registered in [ada, bob] {
        within_reason(registered).await.unwrap().unwrap();
    }
    running.stop();
}
