//! A poison event parks its stream in its read model, and nothing else.

use rollcall_projections::store::Error;
use rollcall_projections::{ALL, Arrival, Poison, user_directory};
use rollcall_schemas::ids::Pair;
use rollcall_schemas::stream::Stream;
use rollcall_schemas::{friendship, user};

use crate::rebuilding::{digests, store};
use crate::support::{Log, app, at, now, profile, subject, tag};

/// The second registration of a subject contradicts the directory, and no other read model.
fn contradictory() -> Log {
    let mut log = Log::default();
    log.register(subject(1));
    log.register(subject(1));
    log.register(subject(2));
    log.user(
        subject(1),
        user::Modified { subject: subject(1), name: Some(profile(subject(1), "later")), portrait: None },
    );
    log
}

#[tokio::test]
async fn a_poison_event_parks_its_stream_in_its_read_model_and_nothing_else() {
    let (files, store) = store();
    let log = contradictory();
    now(store.apply(&log.after(0)[..3], ALL)).unwrap();
    drop(store);
    // What is parked survives a restart.
    let store = rollcall_projections::store::ReadStore::open(&files.path().join("read.db")).unwrap();
    now(store.apply(&log.after(3), ALL)).unwrap();

    let parked = store.parked(10).await.unwrap();
    assert_eq!(parked.len(), 1);
    let stream = format!("user-{}", subject(1));
    assert_eq!((parked[0].model.as_str(), parked[0].stream.as_str()), ("user_directory", stream.as_str()));
    assert_eq!((parked[0].position, parked[0].event, parked[0].held_back), (2, log.events[1].id, 1));
    assert!(parked[0].reason.contains("UNIQUE"), "{}", parked[0].reason);
    assert_eq!(store.parked_positions("user_directory", &stream, 10).await.unwrap(), [2, 4]);

    assert!(store.checkpoints().iter().all(|checkpoint| checkpoint.position == 4));
    let app = app("app-one");
    assert!(user_directory::by_tag(&store, &app, tag(subject(2))).await.unwrap().is_some());
    let first = user_directory::by_subject(&store, &app, subject(1)).await.unwrap().unwrap();
    assert_eq!(first.registered_position, Some(1));
    assert_eq!(user_directory::registered_count(&store, &app).await.unwrap(), 2);
}

#[tokio::test]
async fn a_parked_stream_is_retried_in_order_and_stops_at_what_still_fails() {
    let (_files, store) = store();
    let log = contradictory();
    now(store.apply(&log.after(0), ALL)).unwrap();
    let stream = format!("user-{}", subject(1));
    let directory = &user_directory::UserDirectory;

    let wrong = now(store.retry_parked(directory, &stream, &[log.entry(4)]));
    assert!(matches!(wrong, Err(Error::NotTheParked { .. })));
    let retried = now(store.retry_parked(directory, &stream, &[log.entry(2), log.entry(4)])).unwrap();
    assert_eq!((retried.applied, retried.parked), (0, 2));

    assert_eq!(now(store.resolve_parked("user_directory", &stream, "twice")).unwrap(), 2);
    assert_eq!(store.parked(10).await.unwrap(), []);
    let mut log = log;
    log.user(
        subject(1),
        user::Modified { subject: subject(1), name: Some(profile(subject(1), "new")), portrait: None },
    );
    now(store.apply(&log.after(4), ALL)).unwrap();
    let user = user_directory::by_subject(&store, &app("app-one"), subject(1)).await.unwrap().unwrap();
    assert!(user.name.unwrap().ends_with(b"new"));
}

#[tokio::test]
async fn an_undecodable_event_parks_its_stream_everywhere_until_it_is_read() {
    let (_files, store) = store();
    let mut log = Log::default();
    let (a, b) = (subject(1), subject(2));
    let pair = Stream::Friendship(Pair::of(a, b).unwrap());
    log.register(a);
    log.register(b);
    let unread = log.record(pair.clone(), friendship::Event::from(friendship::Befriended { from: a, to: b }));
    log.register(subject(3));
    let requested = friendship::Requested { from: b, to: a, text: None, expires_at: at(100) };
    log.record(pair.clone(), friendship::Event::from(requested));

    let mut arrivals = log.after(0);
    let id = log.events[2].id;
    arrivals[2] =
        Arrival::Undecodable(Poison { position: unread, stream: pair.to_string(), id, reason: "unknown".into() });
    now(store.apply(&arrivals, ALL)).unwrap();
    assert_eq!(store.parked(100).await.unwrap().len(), ALL.len());
    for model in ALL {
        let retried = now(store.retry_parked(*model, &pair.to_string(), &[log.entry(unread)])).unwrap();
        assert_eq!((retried.applied, retried.parked), (1, 1));
        // Still held back behind what remains.
        assert_eq!(store.parked_positions(model.name(), &pair.to_string(), 10).await.unwrap(), [5]);
        now(store.retry_parked(*model, &pair.to_string(), &[log.entry(5)])).unwrap();
    }
    assert_eq!(store.parked(100).await.unwrap(), []);

    let (_clean_files, clean) = self::store();
    now(clean.apply(&log.after(0), ALL)).unwrap();
    assert_eq!(digests(&store), digests(&clean));
}

#[tokio::test]
async fn what_is_skipped_stays_skipped_when_a_read_model_is_built_anew_and_until_that_is_taken_back() {
    let (files, store) = store();
    let log = contradictory();
    now(store.apply(&log.after(0), ALL)).unwrap();
    let stream = format!("user-{}", subject(1));
    assert_eq!(store.parked_count().await.unwrap(), 1);
    assert_eq!(now(store.resolve_parked("user_directory", "user-nobody", "no such stream")).unwrap(), 0);
    assert_eq!(now(store.resolve_parked("user_directory", &stream, "registered twice")).unwrap(), 2);
    assert_eq!(store.parked_count().await.unwrap(), 0);
    let live = digests(&store);
    drop(store);

    let store = rollcall_projections::store::ReadStore::open(&files.path().join("read.db")).unwrap();
    let skipped = store.skipped_after((0, ""), 10).await.unwrap();
    let of = |event: &rollcall_projections::store::SkippedEvent| (event.position, event.event, event.reason.clone());
    let reason = || "registered twice".to_owned();
    let expected = [(2, log.events[1].id, reason()), (4, log.events[3].id, reason())];
    assert_eq!(skipped.iter().map(of).collect::<Vec<_>>(), expected);
    let (_scratch_files, scratch) = self::store();
    scratch.skip_as(&store).await.unwrap();
    now(scratch.apply(&log.after(0), ALL)).unwrap();
    assert_eq!(digests(&scratch), live);
    store.create_model(&user_directory::UserDirectory).await.unwrap();
    now(store.apply(&log.after(0), ALL)).unwrap();
    assert_eq!((digests(&store), store.parked_count().await.unwrap()), (live, 0));

    assert_eq!(now(store.stop_skipping("user_directory", &stream)).unwrap(), 2);
    store.create_model(&user_directory::UserDirectory).await.unwrap();
    now(store.apply(&log.after(0), ALL)).unwrap();
    assert_eq!(store.parked_positions("user_directory", &stream, 10).await.unwrap(), [2, 4]);
}

#[tokio::test]
async fn parked_streams_and_skipped_events_are_listed_page_by_page() {
    let (_files, store) = store();
    let mut log = Log::default();
    for number in 0..5 {
        log.register(subject(number));
        log.register(subject(number));
    }
    now(store.apply(&log.after(0), ALL)).unwrap();
    let mut seen = vec![];
    let mut after = (0, String::new());
    loop {
        let page = store.parked_after((after.0, &after.1), 2).await.unwrap();
        let Some(last) = page.last() else { break };
        after = (last.position, last.model.clone());
        seen.extend(page.iter().map(|key| key.position));
    }
    assert_eq!(seen, [2, 4, 6, 8, 10]);
    for key in store.parked(10).await.unwrap() {
        now(store.resolve_parked(&key.model, &key.stream, "registered twice")).unwrap();
    }
    let (first, rest) =
        (store.skipped_after((0, ""), 3).await.unwrap(), store.skipped_after((6, "user_directory"), 3).await);
    assert_eq!(first.iter().map(|event| event.position).collect::<Vec<_>>(), [2, 4, 6]);
    assert_eq!(rest.unwrap().iter().map(|event| event.position).collect::<Vec<_>>(), [8, 10]);
}
