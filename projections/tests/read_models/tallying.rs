//! The erasures of a time, counted and timed by the database.

use chrono::TimeDelta;
use rollcall_projections::erasure_ledger::{self, Durations, ErasureLedger, Quantiles, Step, Tally};
use rollcall_schemas::erasure;
use rollcall_schemas::ids::ErasureId;
use rollcall_schemas::personal::Class;
use rollcall_schemas::plain::{LegalBasis, Scope};
use rollcall_schemas::stream::Stream;
use uuid::Uuid;

use crate::rebuilding::store;
use crate::support::{Log, app, at, now, requested, scrubbed, subject};

const ERASURES: u32 = 100;

fn erasure(number: u32) -> ErasureId {
    ErasureId(Uuid::from_u128(u128::from(number)))
}

/// A hundred requests, one each second from second 1; then the last is scrubbed first, and so on, at last the first.
/// Two of another app follow.
fn log() -> Log {
    let mut log = Log::default();
    for number in 1..=ERASURES {
        let scope = if number <= 10 { Scope::Forget } else { Scope::Deactivate };
        log.record(Stream::Erasure(erasure(number)), requested(erasure(number), subject(number), scope, "op"));
    }
    for number in (1..=ERASURES).rev() {
        let scrubbed = scrubbed(erasure(number), subject(number), vec![Class::Profile]);
        log.record(Stream::Erasure(erasure(number)), scrubbed);
    }
    let cancelled = erasure::Event::from(erasure::Cancelled { erasure: erasure(1), subject: subject(1) });
    log.record(Stream::Erasure(erasure(1)), cancelled);
    log.app = app("app-two");
    for number in [201, 202] {
        let requested = requested(erasure(number), subject(number), Scope::Forget, "op");
        log.record(Stream::Erasure(erasure(number)), requested);
    }
    log
}

#[tokio::test]
async fn a_quantile_is_a_duration_that_one_erasure_took() {
    let (_files, store) = store();
    now(store.apply(&log().after(0), &[&ErasureLedger])).unwrap();
    let (one, two) = (app("app-one"), app("app-two"));
    let seconds = |[p50, p95, p99]: [i64; 3]| {
        let [p50, p95, p99] = [p50, p95, p99].map(TimeDelta::seconds);
        Quantiles { p50, p95, p99 }
    };
    let of = async |app, from, to| erasure_ledger::durations(&store, app, (at(from), at(to))).await.unwrap();
    // Erasure n took 201 - 2n seconds: all odd numbers from 1 to 199.
    let all = of(&one, 0, 1_000).await;
    assert_eq!(all, Durations { to_scrubbed: seconds([99, 189, 197]), ..Durations::default() });
    assert_eq!(of(&one, 100, 101).await.to_scrubbed, seconds([1, 1, 1]), "requested within that one second");
    assert_eq!(of(&one, 99, 101).await.to_scrubbed, seconds([1, 3, 3]));
    assert_eq!(of(&one, 101, 1_000).await, Durations::default(), "none was requested");
    assert_eq!(of(&two, 0, 1_000).await, Durations::default(), "none of this app is scrubbed");
}

#[tokio::test]
async fn erasures_are_counted_by_what_they_have_in_common_within_their_app_and_time() {
    let (_files, store) = store();
    now(store.apply(&log().after(0), &[&ErasureLedger])).unwrap();
    let (one, two) = (app("app-one"), app("app-two"));
    let mut tallied = erasure_ledger::tally(&store, &one, (at(1), at(21)), at(1_000)).await.unwrap();
    tallied.sort_by_key(|alike| alike.erasures);
    let alike = |scope, step, erasures| Tally {
        scope,
        step,
        basis: LegalBasis::AccountClosed,
        held: false,
        erasures,
        due: 0,
        notified: 0,
        stuck: if step == Step::Cancelled { 0 } else { erasures },
    };
    let expected = [
        alike(Scope::Forget, Step::Cancelled, 1),
        alike(Scope::Forget, Step::Scrubbed, 9),
        alike(Scope::Deactivate, Step::Scrubbed, 10),
    ];
    assert_eq!(tallied, expected);
    let due = erasure_ledger::tally(&store, &two, (at(0), at(1_000)), at(9_000_000)).await.unwrap();
    assert_eq!(due, [Tally { due: 2, ..alike(Scope::Forget, Step::Requested, 2) }]);
}

#[tokio::test]
async fn what_was_requested_since_a_time_is_counted_however_much_it_is() {
    const MANY: u32 = 1_500;
    let (_files, store) = store();
    let mut log = Log::default();
    for number in 1..=MANY {
        log.record(Stream::Erasure(erasure(number)), requested(erasure(number), subject(number), Scope::Forget, "op"));
    }
    now(store.apply(&log.after(0), &[&ErasureLedger])).unwrap();
    let since = async |app, time| erasure_ledger::requested_since(&store, app, at(time)).await.unwrap();
    let one = app("app-one");
    assert_eq!(since(&one, 0).await, Some((MANY, at(1))));
    assert_eq!(since(&one, 1_400).await, Some((100, at(1_401))));
    assert_eq!(since(&one, i64::from(MANY)).await, None);
    assert_eq!(since(&app("app-two"), 0).await, None);
}
