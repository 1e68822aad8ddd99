//! When a delivery that failed is tried again, and when a receiver that acknowledges nothing is left alone for a while.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::lane::Key;

/// The waits that Standard Webhooks recommends: 75 hours in all.
pub const WAITS: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(5),
    Duration::from_hours(10),
    Duration::from_hours(14),
    Duration::from_hours(20),
    Duration::from_hours(24),
];
/// The longest wait that a receiver may ask for with `Retry-After`.
const RETRY_AFTER_MAX: Duration = Duration::from_hours(24);
/// Once so many subjects have failed in a row, the receiver is taken to be down.
const SUBJECTS_MAX: usize = 3;
/// How long a receiver that is down is left alone, at first and at most. Then one delivery is tried.
const PAUSE: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_mins(1);

/// When what failed is tried again.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    /// The wait after each attempt that failed; when there is none any more, it is given up.
    waits: Vec<Duration>,
}

impl Schedule {
    /// With these waits.
    pub(super) fn new(waits: Vec<Duration>) -> Self {
        Self { waits }
    }

    /// When to try again after so many attempts; `None`: not any more. `chance`: any number, by which the time differs up to
    /// a tenth, so that what failed together does not return together.
    pub(super) fn next(
        &self,
        attempts: u32,
        retry_after: Option<Duration>,
        now: DateTime<Utc>,
        chance: u8,
    ) -> Option<DateTime<Utc>> {
        let index = usize::try_from(attempts.max(1) - 1).unwrap_or(usize::MAX);
        let wait = *self.waits.get(index)?;
        let jittered = wait.mul_f64(0.9 + 0.2 * f64::from(chance) / 255.0);
        let wait = jittered.max(retry_after.unwrap_or_default().min(RETRY_AFTER_MAX));
        Some(now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX))
    }
}

/// Whether a receiver is down: what is sent to it is not acknowledged, whoever it is about.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failing: HashSet<Key>,
    failing_since: Option<DateTime<Utc>>,
    paused_until: Option<DateTime<Utc>>,
    pauses: u32,
}

impl Breaker {
    /// The receiver has acknowledged something.
    pub(super) fn acknowledged(&mut self) {
        *self = Self::default();
    }

    /// It has not acknowledged something about a subject. `asked`: for how long it wants to be left alone.
    pub(super) fn failed(&mut self, key: Key, asked: Option<Duration>, now: DateTime<Utc>) {
        self.failing_since.get_or_insert(now);
        if self.failing.len() < SUBJECTS_MAX {
            self.failing.insert(key);
        }
        // What was on its way when the pause began says nothing new.
        if asked.is_none() && self.paused_until.is_some_and(|until| now < until) {
            return;
        }
        let pause = PAUSE.saturating_mul(1 << self.pauses.min(10)).min(PAUSE_MAX);
        let wait = match asked {
            Some(asked) => asked.min(RETRY_AFTER_MAX),
            None if self.is_down() => pause,
            None => return,
        };
        self.pauses = self.pauses.saturating_add(1);
        self.paused_until = Some(now + TimeDelta::from_std(wait).unwrap_or(TimeDelta::MAX));
    }

    /// Whether the receiver is taken to be down: then one delivery is tried at a time.
    pub(super) fn is_down(&self) -> bool {
        self.failing.len() >= SUBJECTS_MAX || self.paused_until.is_some()
    }

    /// Until when nothing is sent.
    pub(super) fn paused_until(&self) -> Option<DateTime<Utc>> {
        self.paused_until
    }

    /// The clock was put back by so much: nothing lasts longer for that.
    pub(super) fn turn_back(&mut self, by: TimeDelta) {
        for at in [&mut self.failing_since, &mut self.paused_until] {
            *at = at.map(|at| at - by);
        }
    }

    /// Since when nothing was acknowledged although something was sent.
    pub(super) fn failing_since(&self) -> Option<DateTime<Utc>> {
        self.failing_since
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_receiver_is_down_once_nothing_about_several_subjects_is_acknowledged_and_up_with_the_first_answer() {
        let (mut breaker, now) = (Breaker::default(), DateTime::UNIX_EPOCH);
        let key = |number| Key(Uuid::from_u128(number));
        for _ in 0..10 {
            breaker.failed(key(1), None, now);
        }
        assert!(!breaker.is_down(), "one subject alone may be at fault");
        breaker.failed(key(2), None, now);
        breaker.failed(key(3), None, now);
        assert!(breaker.is_down() && breaker.paused_until().unwrap() > now);
        (4..20).for_each(|number| breaker.failed(key(number), None, now));
        assert_eq!(breaker.paused_until(), Some(now + TimeDelta::seconds(1)), "they were on their way");
        assert_eq!(breaker.failing_since(), Some(now));
        let hour = TimeDelta::hours(1);
        breaker.turn_back(hour);
        let since_and_until = (breaker.failing_since().unwrap() + hour, breaker.paused_until().unwrap() + hour);
        assert_eq!(since_and_until, (now, now + TimeDelta::seconds(1)), "as long as before, by the new time");
        breaker.acknowledged();
        assert!(!breaker.is_down() && breaker.paused_until().is_none());
        breaker.failed(key(1), Some(Duration::from_secs(60)), now);
        assert_eq!(breaker.paused_until(), Some(now + TimeDelta::seconds(60)), "it asked for it");
    }

    proptest! {
        #[test]
        fn every_wait_is_within_a_tenth_of_the_schedule_and_never_before_the_receiver_wants_it(
            attempts in 1_u32..12, chance: u8, asked in prop::option::of(0_u64..200_000),
        ) {
            let now = DateTime::UNIX_EPOCH;
            let asked = asked.map(Duration::from_secs);
            let next = Schedule::new(WAITS.to_vec()).next(attempts, asked, now, chance);
            let Some(wait) = WAITS.get(attempts as usize - 1) else {
                prop_assert_eq!(next, None);
                return Ok(());
            };
            let waited = (next.unwrap() - now).to_std().unwrap();
            let asked = asked.unwrap_or_default().min(RETRY_AFTER_MAX);
            prop_assert!(waited >= asked && waited >= wait.mul_f64(0.89));
            prop_assert!(waited <= wait.mul_f64(1.11).max(asked));
        }
    }
}
