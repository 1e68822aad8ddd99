//! Requests for friendship: how each ended, and that the old ones leave the read model.

use rollcall_projections::friend_graph::{self, Direction, Request};
use rollcall_projections::store::ReadStore;
use rollcall_projections::{ALL, Seek};
use rollcall_schemas::erasure;
use rollcall_schemas::friendship::{Accepted, Befriended, Cancelled, Ended, Event, Expired, Refused, Requested};
use rollcall_schemas::ids::{ErasureId, FriendRequestId, Pair, SubjectRef};
use rollcall_schemas::plain::{EndCause, RequestState};
use rollcall_schemas::stream::Stream;
use uuid::Uuid;

use crate::rebuilding::{digests, store};
use crate::support::{Log, app, at, now, profile, subject};

/// Most requests that one event deletes.
const DELETED_MAX: usize = 8;
/// Seconds for which a request is shown after it ended.
const ENDED_FOR: i64 = 90 * 24 * 3_600;
const BOTH: [Direction; 2] = [Direction::Sent, Direction::Received];

fn record(log: &mut Log, one: SubjectRef, other: SubjectRef, event: impl Into<Event>) {
    log.record(Stream::Friendship(Pair::of(one, other).unwrap()), event.into());
}

fn ask(log: &mut Log, from: SubjectRef, to: SubjectRef, expires_at: i64) {
    let text = Some(profile(from, "please"));
    record(log, from, to, Requested { from, to, text, expires_at: at(expires_at) });
}

async fn of(store: &ReadStore, who: SubjectRef, direction: Direction, states: &[RequestState]) -> Vec<Request> {
    friend_graph::requests(store, who, (&[direction], states), None, 500).await.unwrap()
}

/// The states of the requests that a user sent, the latest first; they are the same from the other side.
async fn sent(store: &ReadStore, who: SubjectRef) -> Vec<RequestState> {
    let sent = of(store, who, Direction::Sent, &RequestState::ALL).await;
    for request in &sent {
        let received = of(store, request.to, Direction::Received, &RequestState::ALL).await;
        assert!(received.contains(request), "{request:?} is not in {received:?}");
        assert_eq!(friend_graph::request(store, &app("app-one"), request.id).await.unwrap().as_ref(), Some(request));
    }
    sent.into_iter().map(|request| request.state).collect()
}

#[tokio::test]
async fn a_request_is_shown_to_both_sides_with_how_it_ended() {
    let (_files, store) = store();
    let (mut log, me) = (Log::default(), subject(1));
    let others: Vec<_> = (2..8).map(subject).collect();
    others.iter().for_each(|other| ask(&mut log, me, *other, 1_000));
    record(&mut log, me, others[0], Accepted { by: others[0], other: me });
    record(&mut log, me, others[0], Befriended { from: me, to: others[0] });
    record(&mut log, me, others[1], Refused { by: others[1], other: me });
    record(&mut log, me, others[2], Cancelled { by: me, other: others[2] });
    record(&mut log, me, others[3], Expired { from: me, to: others[3], expires_at: at(1_000) });
    record(&mut log, me, others[4], Ended { by: others[4], other: me, cause: EndCause::Deactivated });
    now(store.apply(&log.after(0), ALL)).unwrap();
    use RequestState::{Accepted as Yes, Cancelled as Back, Expired as Late, Pending, Refused as No};
    assert_eq!(sent(&store, me).await, [Pending, Late, Back, No, Yes]);
    for state in RequestState::ALL {
        let found = of(&store, me, Direction::Sent, &[state]).await;
        assert_eq!(found.iter().map(|request| request.state).collect::<Vec<_>>(), [state]);
    }
    let other_app = friend_graph::request(&store, &app("app-two"), FriendRequestId(1)).await.unwrap();
    assert_eq!(other_app, None);
    // One may ask again, be asked, and be friends no longer: what was stays.
    ask(&mut log, others[1], me, 1_000);
    record(&mut log, me, others[0], Ended { by: me, other: others[0], cause: EndCause::Removed });
    now(store.apply(&log.after(store.checkpoint("friend_graph").unwrap()), ALL)).unwrap();
    assert_eq!(sent(&store, me).await, [Pending, Late, Back, No, Yes]);
    assert_eq!(sent(&store, others[1]).await, [Pending]);
    let mut found: Vec<Request> = vec![];
    loop {
        let cursor = found.last().map(|request| request.id);
        let page = friend_graph::requests(&store, me, (&BOTH, &RequestState::ALL), cursor, 2).await.unwrap();
        if page.is_empty() {
            break;
        }
        found.extend(page);
    }
    assert_eq!(found.len(), 6, "both directions, page by page");
    assert!(found.is_sorted_by(|newer, older| newer.id > older.id));
    // Back from the oldest.
    let mut back: Vec<Request> = vec![];
    let mut seek = Seek::UpTo(FriendRequestId(0));
    loop {
        let mut page = friend_graph::requests(&store, me, (&BOTH, &RequestState::ALL), seek, 3).await.unwrap();
        let beside = seek.cut(&mut page, 2, |request| Some(request.id));
        back.splice(0..0, page);
        match beside.previous {
            Some(place) => seek = Seek::UpTo(place),
            None => break,
        }
    }
    assert_eq!(back, found);
}

#[tokio::test]
async fn a_log_without_events_for_acceptance_and_lapse_shows_how_its_requests_ended() {
    let (_files, store) = store();
    let (mut log, one, two) = (Log::default(), subject(1), subject(2));
    // Recorded at second 1; lapses at second 2, when the next one is recorded.
    ask(&mut log, one, two, 2);
    ask(&mut log, two, one, 1_000);
    record(&mut log, one, two, Befriended { from: one, to: two });
    now(store.apply(&log.after(0), ALL)).unwrap();
    assert_eq!(sent(&store, one).await, [RequestState::Expired]);
    assert_eq!(sent(&store, two).await, [RequestState::Accepted]);
}

#[tokio::test]
async fn a_request_whose_time_is_over_is_due_until_that_is_recorded() {
    let (_files, store) = store();
    let (mut log, one, two) = (Log::default(), subject(1), subject(2));
    ask(&mut log, one, two, 100);
    ask(&mut log, one, subject(3), 200);
    now(store.apply(&log.after(0), ALL)).unwrap();
    assert_eq!(friend_graph::due(&store, at(99), 10).await.unwrap(), []);
    let due = friend_graph::due(&store, at(100), 10).await.unwrap();
    assert_eq!(due.iter().map(|request| request.to).collect::<Vec<_>>(), [two]);
    assert_eq!((due[0].state, due[0].state_at(at(99))), (RequestState::Pending, RequestState::Pending));
    assert_eq!(due[0].state_at(at(100)), RequestState::Expired);
    record(&mut log, one, two, Expired { from: one, to: two, expires_at: at(100) });
    now(store.apply(&log.after(2), ALL)).unwrap();
    assert_eq!(friend_graph::due(&store, at(100), 10).await.unwrap(), []);
    assert_eq!(friend_graph::all_of(&store, one, 10).await.unwrap(), [subject(3)].into());
}

#[tokio::test]
async fn requests_that_ended_long_ago_are_deleted_a_few_at_a_time_by_those_that_come_later() {
    let (_files, store) = store();
    let (mut log, popular) = (Log::default(), subject(500));
    // An event is recorded one second after the one before; these are old from second 50 on.
    let ended_at = 50 - ENDED_FOR;
    for number in 0..20 {
        let from = subject(number);
        ask(&mut log, from, popular, ended_at);
        record(&mut log, from, popular, Expired { from, to: popular, expires_at: at(ended_at) });
    }
    while log.events.len() < 48 {
        log.register(subject(u32::try_from(log.events.len()).unwrap() + 1_000));
    }
    now(store.apply(&log.after(0), ALL)).unwrap();
    for (number, left) in (600..).zip([20, 20 - DELETED_MAX, 20 - 2 * DELETED_MAX, 0, 0]) {
        ask(&mut log, subject(number), subject(number + 100), 1_000);
        now(store.apply(&log.after(store.checkpoint("friend_graph").unwrap()), ALL)).unwrap();
        let shown = of(&store, popular, Direction::Received, &RequestState::ALL).await.len();
        assert_eq!(shown, left, "{number}");
    }
    let (_others, rebuilt) = self::store();
    now(rebuilt.apply(&log.after(0), ALL)).unwrap();
    assert_eq!(digests(&store), digests(&rebuilt));
}

#[tokio::test]
async fn nothing_is_left_of_the_requests_of_somebody_who_is_erased() {
    let (_files, store) = store();
    let (mut log, gone, other) = (Log::default(), subject(1), subject(2));
    ask(&mut log, gone, other, 1_000);
    record(&mut log, gone, other, Refused { by: other, other: gone });
    ask(&mut log, other, gone, 1_000);
    record(&mut log, gone, other, Cancelled { by: other, other: gone });
    ask(&mut log, other, subject(3), 1_000);
    let erasure = ErasureId(Uuid::from_u128(1));
    let ended = erasure::RelationsEnded { erasure, subject: gone, friendships: 0 };
    log.record(Stream::Erasure(erasure), erasure::Event::from(ended));
    now(store.apply(&log.after(0), ALL)).unwrap();
    assert_eq!(sent(&store, gone).await, []);
    assert_eq!(sent(&store, other).await, [RequestState::Pending]);
    assert_eq!(of(&store, gone, Direction::Received, &RequestState::ALL).await, []);
}
