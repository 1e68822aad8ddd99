//! The bulk brake: how many erasures an app may request within a minute. An erasure cannot be undone, so a stolen key
//! must not erase everybody before somebody notices.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, Duration, Utc};
use rollcall_projections::erasure_ledger;
use rollcall_schemas::ids::AppId;

use super::{Caller, Engine, Error};

const WINDOW: Duration = Duration::seconds(60);

/// Erasures requested within the last minute, by app. It is kept in memory: a restart begins a new minute.
#[derive(Default)]
pub(super) struct Brake(Mutex<HashMap<AppId, Requested>>);

/// How many erasures were requested when.
type Requested = VecDeque<(DateTime<Utc>, u32)>;

impl Brake {
    /// Counts so many erasures, unless they would be more than `max` within a minute; 0: no limit. Answers in how many
    /// seconds to ask again.
    pub(super) fn take(&self, app: &AppId, erasures: u32, max: u32, now: DateTime<Utc>) -> Result<(), u32> {
        if max == 0 {
            return Ok(());
        }
        let mut apps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = apps.entry(app.clone()).or_default();
        while taken.front().is_some_and(|(at, _)| *at + WINDOW <= now) {
            taken.pop_front();
        }
        check(taken.make_contiguous(), erasures, max, now)?;
        taken.push_back((now, erasures));
        Ok(())
    }
}

/// Whether so many erasures may be requested after those that were, oldest first; if not, in how many seconds to ask
/// again.
pub(super) fn check(
    requested: &[(DateTime<Utc>, u32)],
    erasures: u32,
    max: u32,
    now: DateTime<Utc>,
) -> Result<(), u32> {
    let within = requested.iter().filter(|(at, _)| *at + WINDOW > now);
    let counted: u32 = within.clone().map(|(_, count)| count).sum();
    // One call may ask for more than the limit only where nothing was asked before it.
    if max == 0 || counted == 0 || counted.saturating_add(erasures) <= max {
        return Ok(());
    }
    let oldest = within.map(|(at, _)| *at).next().unwrap_or(now);
    let wait = (oldest + WINDOW - now).num_seconds().clamp(1, WINDOW.num_seconds());
    Err(u32::try_from(wait).unwrap_or(60))
}

impl Engine {
    /// Counts so many erasures that a caller requests, unless they are too many within a minute.
    pub(super) async fn brake(&self, caller: &Caller, erasures: usize) -> Result<(), Error> {
        if erasures == 0 {
            return Ok(());
        }
        let max = self.apps.get(caller.app.as_str()).map_or(0, |app| app.settings.erasures_per_minute_max);
        if caller.overrides_brake {
            return Ok(());
        }
        let erasures = u32::try_from(erasures).unwrap_or(u32::MAX);
        let (now, braked) = (self.clock.now(), |seconds| Error::Braked { seconds });
        if self.nodes.are_there && max > 0 {
            // What other nodes were asked; this one's memory knows what is on its way here.
            self.all_applied().await?;
            let requested = erasure_ledger::requested_since(&self.read, &caller.app, now - WINDOW).await?;
            let requested = requested.map(|(count, first)| (first, count));
            check(requested.as_slice(), erasures, max, now).map_err(braked)?;
        }
        self.brake.take(&caller.app, erasures, max, now).map_err(braked)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_minute_holds_so_many_erasures_of_an_app_and_no_more() {
        let (brake, now) = (Brake::default(), DateTime::UNIX_EPOCH);
        let (one, other): (AppId, AppId) = ("one".parse().unwrap(), "other".parse().unwrap());
        let later = |seconds| now + Duration::seconds(seconds);
        assert_eq!(brake.take(&one, 6, 10, now), Ok(()));
        assert_eq!(brake.take(&one, 4, 10, later(20)), Ok(()));
        assert_eq!(brake.take(&one, 1, 10, later(50)), Err(10));
        assert_eq!(brake.take(&other, 10, 10, later(50)), Ok(()), "another app has its own");
        assert_eq!(brake.take(&one, 1, 0, later(50)), Ok(()), "0 is no limit");
        assert_eq!(brake.take(&one, 6, 10, later(60)), Ok(()));
        assert_eq!(brake.take(&one, 1, 10, later(79)), Err(1));
        assert_eq!(brake.take(&one, 4, 10, later(80)), Ok(()));
    }
}
