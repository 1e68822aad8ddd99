//! Which erasures are taken up next: those that are due, without those whose last attempt failed a moment ago.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use rollcall_projections::PAGE_MAX;
use rollcall_projections::erasure_ledger::{self, Erasure};
use rollcall_schemas::ids::ErasureId;

use super::Error;
use crate::engine::Engine;

/// The wait after a first failure; each further one doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(2);
/// The longest wait: an outage that is over holds an erasure up for no longer than this.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// Why an erasure did not go on, and when it is tried again.
struct Stuck {
    failures: u32,
    until: Instant,
    reason: String,
}

/// The erasures that could not go on.
///
/// It is in memory only: after a restart each is tried at once.
#[derive(Default)]
pub struct Backlog(HashMap<ErasureId, Stuck>);

impl Backlog {
    /// The next erasures that are due and not waiting, the longest waiting first, at most `max`.
    pub(super) async fn next(&mut self, engine: &Engine, max: usize) -> Result<Vec<Erasure>, Error> {
        let (now, instant) = (engine.now(), Instant::now());
        let (mut next, mut open, mut after) = (Vec::new(), HashSet::new(), None);
        loop {
            let page = erasure_ledger::due(engine.read(), now, after, PAGE_MAX).await?;
            let Some(last) = page.last() else {
                self.0.retain(|erasure, _| open.contains(erasure));
                return Ok(next);
            };
            after = Some((last.waits_until, last.requested_position));
            open.extend(page.iter().map(|erasure| erasure.erasure));
            let may_go_on = |of: &Erasure| self.may_go_on(of.erasure, instant);
            next.extend(page.into_iter().filter(may_go_on).take(max - next.len()));
            if next.len() == max {
                return Ok(next);
            }
        }
    }

    /// Whether an erasure is tried at a time: it did not fail a moment ago.
    fn may_go_on(&self, erasure: ErasureId, now: Instant) -> bool {
        self.0.get(&erasure).is_none_or(|stuck| stuck.until <= now)
    }

    /// An erasure could not go on.
    pub(super) fn failed(&mut self, erasure: &Erasure, reason: String) {
        let failures = self.wait(erasure.erasure, reason.clone(), Instant::now());
        let (app, id) = (&erasure.app, erasure.erasure.0);
        tracing::warn!(%app, erasure = %id, failures, %reason, "an erasure cannot go on; it is tried again");
    }

    /// Has an erasure wait before it is tried again, each time twice as long; answers how often it has failed.
    fn wait(&mut self, erasure: ErasureId, reason: String, now: Instant) -> u32 {
        let failures = self.0.get(&erasure).map_or(0, |stuck| stuck.failures);
        let wait = FIRST_WAIT.saturating_mul(1 << failures.min(16)).min(WAIT_MAX);
        let failures = failures.saturating_add(1);
        self.0.insert(erasure, Stuck { failures, until: now + wait, reason });
        failures
    }

    /// An erasure has ended.
    pub(super) fn ended(&mut self, erasure: ErasureId) {
        self.0.remove(&erasure);
    }

    /// How many could not go on when they were last tried, and why one of them could not; `None`: there is none.
    #[must_use]
    pub fn stuck(&self) -> Option<(usize, &str)> {
        self.0.values().next().map(|stuck| (self.0.len(), stuck.reason.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_erasure_that_fails_waits_twice_as_long_each_time_up_to_a_minute_and_holds_up_no_other() {
        let (one, other) = (ErasureId(Uuid::from_u128(1)), ErasureId(Uuid::from_u128(2)));
        let (mut backlog, mut now) = (Backlog::default(), Instant::now());
        for seconds in [2, 4, 8, 16, 32, 60, 60, 60] {
            assert!(backlog.may_go_on(one, now));
            backlog.wait(one, "the vault is away".into(), now);
            now += Duration::from_secs(seconds);
            assert!(!backlog.may_go_on(one, now - Duration::from_millis(1)), "{seconds} s");
            assert!(backlog.may_go_on(other, now - Duration::from_millis(1)));
        }
        assert_eq!(backlog.stuck(), Some((1, "the vault is away")));
        backlog.ended(one);
        assert_eq!(backlog.wait(one, String::new(), now), 1, "counted anew");
    }
}
