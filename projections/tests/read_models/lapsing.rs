//! Requests for friendship that lapsed leave the read model.

use rollcall_projections::store::ReadStore;
use rollcall_projections::{ALL, friend_graph};
use rollcall_schemas::friendship::{Befriended, Event, Requested};
use rollcall_schemas::ids::{Pair, SubjectRef};
use rollcall_schemas::stream::Stream;

use crate::rebuilding::{digests, store};
use crate::support::{Log, at, now, profile, subject};

/// Most requests that one event deletes.
const DELETED_MAX: usize = 8;

fn ask(log: &mut Log, from: SubjectRef, to: SubjectRef, expires_at: i64) {
    let stream = Stream::Friendship(Pair::of(from, to).unwrap());
    let text = Some(profile(from, "please"));
    log.record(stream, Event::from(Requested { from, to, text, expires_at: at(expires_at) }));
}

async fn related_to(store: &ReadStore, who: SubjectRef) -> usize {
    friend_graph::all_of(store, who, 1_000).await.unwrap().len()
}

#[tokio::test]
async fn requests_that_lapsed_are_deleted_a_few_at_a_time_by_those_that_come_later() {
    let (_files, store) = store();
    let (mut log, popular) = (Log::default(), subject(500));
    // An event is recorded one second after the one before; these lapse at second 100, unanswered.
    (0..20).for_each(|number| ask(&mut log, subject(number), popular, 100));
    ask(&mut log, subject(20), popular, 100_000);
    now(store.apply(&log.after(0), ALL)).unwrap();
    assert_eq!(related_to(&store, popular).await, 21);
    while log.events.len() < 100 {
        log.register(subject(u32::try_from(log.events.len()).unwrap() + 1_000));
    }
    for left in [20 - DELETED_MAX, 20 - 2 * DELETED_MAX, 0, 0] {
        let applied = log.events.len() as u64;
        let number = 600 + u32::try_from(applied).unwrap();
        if left == 0 {
            let (from, to) = (subject(number), subject(number + 1));
            let stream = Stream::Friendship(Pair::of(from, to).unwrap());
            log.record(stream, Event::from(Befriended { from, to }));
        } else {
            ask(&mut log, subject(number), subject(number + 1), 100_000);
        }
        now(store.apply(&log.after(store.checkpoint("friend_graph").unwrap()), ALL)).unwrap();
        assert_eq!(related_to(&store, popular).await, left + 1, "the request that still waits stays");
    }
    let (_others, rebuilt) = self::store();
    now(rebuilt.apply(&log.after(0), ALL)).unwrap();
    assert_eq!(digests(&store), digests(&rebuilt));
}

#[tokio::test]
async fn a_request_lapses_at_the_moment_it_names_and_can_be_made_anew() {
    let (_files, store) = store();
    let (mut log, one, two) = (Log::default(), subject(1), subject(2));
    // Recorded at second 1; lapses at second 2, when the next one is recorded.
    ask(&mut log, one, two, 2);
    ask(&mut log, subject(3), subject(4), 1_000);
    now(store.apply(&log.after(0), ALL)).unwrap();
    assert_eq!(related_to(&store, two).await, 0);
    ask(&mut log, one, two, 1_000);
    now(store.apply(&log.after(2), ALL)).unwrap();
    assert_eq!((related_to(&store, two).await, related_to(&store, one).await), (1, 1));
}
