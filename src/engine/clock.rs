//! The one place that asks for the time.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, TimeDelta, Utc};

/// How far the machine's clock may go back without being followed, in milliseconds.
const BACK_MAX: i64 = 5_000;

/// A clock that does not go back when the machine's clock is adjusted by a few seconds, in milliseconds. A larger step
/// back is followed at once: the clock had been wrong before, and graces and bans must not end by a wrong time for longer
/// than the machine shows it. What needs an order takes positions of the log, not times.
#[derive(Debug, Default)]
pub struct Clock {
    latest: AtomicI64,
    /// How far it is ahead of the machine's clock, in milliseconds.
    ahead: AtomicI64,
}

impl Clock {
    /// The time now, or the latest time that was told if the machine's clock went back a little.
    #[allow(clippy::disallowed_methods)] // This is the place.
    pub fn now(&self) -> DateTime<Utc> {
        let now = Utc::now().timestamp_millis() + self.ahead.load(Ordering::Relaxed);
        DateTime::from_timestamp_millis(self.at(now)).unwrap_or_default()
    }

    /// Shows times that are so much later from now on: with it, what takes days can be tried in a moment.
    pub fn advance(&self, by: TimeDelta) {
        self.ahead.fetch_add(by.num_milliseconds(), Ordering::Relaxed);
    }

    /// The time to tell when the machine's clock shows `now`.
    fn at(&self, now: i64) -> i64 {
        let follow = |latest: i64| if now < latest && latest - now <= BACK_MAX { latest } else { now };
        let told = self.latest.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |latest| Some(follow(latest)));
        follow(told.unwrap_or(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_step_back_is_not_told_and_a_wrong_time_is_not_kept() {
        let clock = Clock::default();
        let year = 365 * 86_400_000;
        for (machine, told) in [
            (1_000_000, 1_000_000),
            (997_000, 1_000_000),
            (1_000_500, 1_000_500),
            (1_000_000 + year, 1_000_000 + year),
            (1_001_000, 1_001_000),
            (1_000_000, 1_001_000),
        ] {
            assert_eq!(clock.at(machine), told, "the machine shows {machine}");
        }
    }
}
