//! Positions and times.

use chrono::{DateTime, Duration};
use rollcall::audit::as_of::{Error, Past, When, Who, resolve};
use rollcall::eventlog::EventLog as _;
use rollcall::eventlog::embedded::Embedded;
use rollcall_projections::store::ReadStore;
use rollcall_schemas::ids::SubjectRef;

use super::{Given, app_id, register, rename, user_id};

/// Waits until the clock of the engine shows another millisecond: each event has a time of its own.
async fn tick(given: &Given) {
    let now = given.engine().now();
    while given.engine().now() == now {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_between_two_events_means_the_earlier() {
    let dir = tempfile::tempdir().unwrap();
    let given = Given::nobody(dir.path()).await;
    given.does(register("ada", "Ada")).await;
    for n in 0..20 {
        tick(&given).await;
        given.does(rename("ada", &format!("Ada {n}"))).await;
    }
    let events = given.log().read_all(0, 1_000).await.unwrap();
    assert_eq!(events.len() as u64, given.head());
    for (event, next) in events.iter().zip(events.iter().skip(1).map(Some).chain([None])) {
        let mut times = vec![event.recorded_at];
        times.extend(next.map(|next| next.recorded_at - Duration::microseconds(1)));
        for at in times.into_iter().filter(|at| *at >= event.recorded_at) {
            let moment = resolve(given.log().as_ref(), When::Time(at)).await.unwrap();
            let expected = events.iter().filter(|event| event.recorded_at <= at).count() as u64;
            assert_eq!((moment.position, moment.at), (expected, at));
            assert!(expected >= event.position);
        }
    }
    let (first, last) = (events.first().unwrap().recorded_at, events.last().unwrap().recorded_at);
    let before = resolve(given.log().as_ref(), When::Time(first - Duration::milliseconds(1))).await.unwrap();
    let after = resolve(given.log().as_ref(), When::Time(last + Duration::days(1))).await.unwrap();
    assert_eq!((before.position, after.position), (0, given.head()));
    given.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_position_above_the_head_is_refused_and_told_the_head() {
    let dir = tempfile::tempdir().unwrap();
    let given = Given::nobody(dir.path()).await;
    let head = given.does(register("ada", "Ada")).await;
    let past = given.past().await;
    for asked in [head + 1, u64::MAX] {
        let refused = past.resolve(When::Position(asked)).await.unwrap_err();
        assert!(matches!(refused, Error::AboveHead { head: told, .. } if told == head), "{refused}");
        assert!(refused.to_string().contains(&head.to_string()));
    }
    assert_eq!(past.resolve(When::Position(head)).await.unwrap().position, head);
    assert_eq!(past.resolve(When::Position(0)).await.unwrap().position, 0);
    assert_eq!("17".parse(), Ok(When::Position(17)));
    assert!("yesterday".parse::<When>().is_err());
    given.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_user_is_refused_without_repeating_the_id() {
    let dir = tempfile::tempdir().unwrap();
    let given = Given::nobody(dir.path()).await;
    let ada = given.registers("ada", "Ada").await;
    let past = given.past().await;
    let stranger = Who::Subject(SubjectRef(uuid::Uuid::from_u128(7)));
    for who in [Who::UserId(user_id("mallory")), stranger] {
        let refused = past.subject(&app_id(), &who).await.unwrap_err();
        assert!(matches!(refused, Error::UnknownUser) && !refused.to_string().contains("mallory"), "{refused}");
    }
    let elsewhere = past.subject(&"other".parse().unwrap(), &Who::Subject(ada)).await;
    assert!(matches!(elsewhere, Err(Error::UnknownUser)), "a user of another app is not shown");
    given.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_past_of_a_stopped_directory_is_read_after_its_read_models_were_lost() {
    let dir = tempfile::tempdir().unwrap();
    let given = Given::nobody(dir.path()).await;
    let ada = given.registers("ada", "Ada").await;
    let lost = std::sync::Arc::new(ReadStore::open(&dir.path().join("other.db")).unwrap());
    let past = Past::of_stopped(&given.data.log, &given.data.vault, &lost, &|_, _| ()).await.unwrap();
    assert_eq!(past.subject(&app_id(), &Who::UserId(user_id("ada"))).await.unwrap(), ada);
    given.stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_means_the_position_before_the_first_later_event_also_where_clocks_of_nodes_differ() {
    let dir = tempfile::tempdir().unwrap();
    let log = Embedded::open(&dir.path().join("log.db")).unwrap();
    // Two nodes in turn, one of which is up to five seconds behind; many events within the window, and gaps.
    let seconds = |position: u64| i64::try_from(position / 40 * 3 + position / 400 * 60).unwrap();
    let behind =
        |position: u64| if position.is_multiple_of(2) { i64::try_from(position * 7 % 5_000).unwrap() } else { 0 };
    let at = |position| {
        let ms = seconds(position) * 1_000 - behind(position);
        DateTime::from_timestamp_millis(1_700_000_000_000 + ms).unwrap()
    };
    for position in 1..=2_000 {
        let mut event = crate::eventlog_contract::event(position, None);
        event.recorded_at = at(position);
        log.append(vec![crate::eventlog_contract::append("stream", position - 1, vec![event])]).await.unwrap();
    }
    for asked in (1..=2_000).step_by(13) {
        for asked in [at(asked), at(asked) - Duration::milliseconds(1), at(asked) + Duration::milliseconds(700)] {
            let expected = (1..=2_000).find(|position| at(*position) > asked).map_or(2_000, |later| later - 1);
            let moment = resolve(&log, When::Time(asked)).await.unwrap();
            assert_eq!((moment.position, moment.at), (expected, asked));
        }
    }
    for (asked, expected) in [(DateTime::<chrono::Utc>::MIN_UTC, 0), (DateTime::<chrono::Utc>::MAX_UTC, 2_000)] {
        assert_eq!(resolve(&log, When::Time(asked)).await.unwrap().position, expected);
    }
}
