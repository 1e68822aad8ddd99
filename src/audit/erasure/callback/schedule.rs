//! When a delivery that failed is tried again.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use rollcall_schemas::ids::ErasureId;

/// The wait after a first failure; each further one doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// The longest wait.
const WAIT_MAX: Duration = Duration::from_mins(5);
/// After so many failures in a row the receiver is taken to be down, and nothing is sent to it for a while.
const FAILURES_MAX: u32 = 3;

/// An exponential back-off.
#[derive(Debug, Clone, Copy)]
struct Backoff {
    failures: u32,
    until: Instant,
}

impl Backoff {
    fn after(before: Option<&Self>, now: Instant) -> Self {
        let failures = before.map_or(0, |before| before.failures).saturating_add(1);
        let wait = FIRST_WAIT.saturating_mul(1 << (failures - 1).min(16)).min(WAIT_MAX);
        Self { failures, until: now + wait }
    }
}

/// The schedule of one app: each erasure has a back-off of its own, so that one which is always rejected does not hold up
/// the others; a receiver that answers none has another.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    erasures: HashMap<ErasureId, Backoff>,
    receiver: Option<Backoff>,
    failures_in_a_row: u32,
}

impl Schedule {
    /// Whether anything may be sent to the receiver.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        self.receiver.is_none_or(|backoff| backoff.until <= now)
    }

    /// Whether this erasure may be sent.
    pub(super) fn is_due(&self, erasure: ErasureId, now: Instant) -> bool {
        self.erasures.get(&erasure).is_none_or(|backoff| backoff.until <= now)
    }

    /// How often this erasure has failed.
    pub(super) fn failures(&self, erasure: ErasureId) -> u32 {
        self.erasures.get(&erasure).map_or(0, |backoff| backoff.failures)
    }

    /// The receiver acknowledged it.
    pub(super) fn delivered(&mut self, erasure: ErasureId) {
        self.erasures.remove(&erasure);
        self.receiver = None;
        self.failures_in_a_row = 0;
    }

    /// It did not.
    pub(super) fn failed(&mut self, erasure: ErasureId, now: Instant) {
        let backoff = Backoff::after(self.erasures.get(&erasure), now);
        self.erasures.insert(erasure, backoff);
        self.failures_in_a_row += 1;
        if self.failures_in_a_row >= FAILURES_MAX {
            self.receiver = Some(Backoff::after(self.receiver.as_ref(), now));
            self.failures_in_a_row = 0;
        }
    }

    /// Drops the back-offs of erasures that need no delivery any more.
    pub(super) fn keep(&mut self, is_untold: impl Fn(ErasureId) -> bool) {
        self.erasures.retain(|erasure, _| is_untold(*erasure));
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn erasure(number: u128) -> ErasureId {
        ErasureId(Uuid::from_u128(number))
    }

    #[test]
    fn a_rejected_erasure_waits_longer_each_time_and_the_others_do_not_wait() {
        let (mut schedule, mut now) = (Schedule::default(), Instant::now());
        for failures in 1..10 {
            schedule.failed(erasure(1), now);
            schedule.delivered(erasure(2));
            assert_eq!(schedule.failures(erasure(1)), failures);
            assert!(schedule.is_open(now) && !schedule.is_due(erasure(1), now) && schedule.is_due(erasure(3), now));
            now += FIRST_WAIT.saturating_mul(1 << (failures - 1)).min(WAIT_MAX);
            assert!(schedule.is_due(erasure(1), now));
        }
        schedule.keep(|of| of != erasure(1));
        assert_eq!(schedule.failures(erasure(1)), 0);
    }

    #[test]
    fn a_receiver_that_is_down_is_left_alone_until_its_wait_is_over() {
        let (mut schedule, now) = (Schedule::default(), Instant::now());
        schedule.failed(erasure(1), now);
        schedule.failed(erasure(2), now);
        assert!(schedule.is_open(now));
        schedule.failed(erasure(3), now);
        assert!(!schedule.is_open(now) && schedule.is_open(now + FIRST_WAIT));
        schedule.delivered(erasure(1));
        assert!(schedule.is_open(now));
    }
}
