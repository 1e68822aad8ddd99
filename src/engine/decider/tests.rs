//! Which states are recorded.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use rollcall_schemas::blocklist;
use uuid::Uuid;

use super::*;

fn subject(number: u128) -> SubjectRef {
    SubjectRef(Uuid::from_u128(number))
}

/// The blocklist of a user with so many entries, and a thousand events since its state was recorded.
fn list(number: u128, entries: usize) -> Loaded {
    let subject = subject(number);
    let mut loaded = Loaded { revision: 1_000, since_snapshot: 1_000, ..Loaded::empty(Stream::Blocklist(subject)) };
    let targets = (0..entries).map(|n| self::subject(1_000 + n as u128)).collect();
    let blocked: blocklist::Event = blocklist::Blocked { subject, targets }.into();
    loaded.state.evolve(&blocked.into(), chrono::DateTime::UNIX_EPOCH).unwrap();
    loaded
}

#[test]
fn no_state_is_recorded_that_a_command_in_flight_made() {
    let (mut cache, in_flight) = (Cache::new(), InFlight::default());
    let stream = Stream::Blocklist(subject(1));
    cache.install(list(1, 3));
    let mut left = snapshots::ENTRIES_MAX;
    let dependencies = in_flight.begin(beliefs_of(&stream).collect(), vec![]);
    assert_eq!(cache.due_snapshot(&stream, &in_flight, &mut left), None);
    in_flight.succeed(&dependencies);
    assert_eq!(cache.due_snapshot(&stream, &in_flight, &mut left), Some(list(1, 3).state));
    assert_eq!(cache.due_snapshot(&stream, &in_flight, &mut left), None, "it is recorded already");
}

#[test]
fn a_command_records_no_more_entries_than_a_full_list_has() {
    let (mut cache, in_flight) = (Cache::new(), InFlight::default());
    let sizes = [domain::LIST_MAX - 10, 11, 10, 0];
    for (number, entries) in (1..).zip(sizes) {
        cache.install(list(number, entries));
    }
    let mut recorded = || {
        let mut left = snapshots::ENTRIES_MAX;
        let streams = (1..).take(sizes.len()).map(|number| Stream::Blocklist(subject(number)));
        streams.map(|stream| cache.due_snapshot(&stream, &in_flight, &mut left).is_some()).collect::<Vec<_>>()
    };
    assert_eq!(recorded(), [true, false, true, true]);
    assert_eq!(recorded(), [false, true, false, false], "what was left out is recorded next");
}
