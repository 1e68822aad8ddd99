//! How often an app's endpoints may be called, where the app has a limit.
//!
//! Each node counts for itself: no caller is refused below the limit wherever its connections end, and nodes together let at
//! most as many times the limit pass as there are nodes (docs/decisions/0040-limits-at-the-edge.md). A limit is looked at once
//! the caller is known and before the body is read.

use std::collections::HashMap;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use lru::LruCache;
use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::plain::RateLimit;

use crate::engine::App;

/// What the platform allows in a second, but for the endpoints in [`PLATFORM_TWICE`].
const PLATFORM: NonZeroU32 = NonZeroU32::new(100).unwrap();
/// What issues access tokens: twice as often.
const PLATFORM_TWICE: &[Endpoint] =
    &[("server_v1", "register"), ("server_v4", "issue_access_token"), ("rest", "registerUser"), ("rest", "issueToken")];
/// Users whose own calls are counted; of more, those are forgotten that have not called for the longest time.
const USERS_MAX: NonZeroUsize = NonZeroUsize::new(20_000).unwrap();

/// A face and the name of its endpoint.
pub(super) type Endpoint = (&'static str, &'static str);

type Limiter = RateLimiter<NotKeyed, InMemoryState, DefaultClock, StateInformationMiddleware>;

/// The limits of one app.
struct OfApp {
    limit: RateLimit,
    endpoints: RwLock<HashMap<Endpoint, Arc<Limiter>>>,
}

/// How much of a limit is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Left {
    /// Calls within a second.
    pub(super) quota: u32,
    /// Calls that may be made at once now.
    pub(super) calls: u32,
}

/// A limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reached {
    /// Calls within a second.
    pub(super) quota: u32,
    /// When there is room for the next call.
    pub(super) wait: Duration,
}

/// What was called lately, by app and endpoint, and by user.
pub(super) struct Rates {
    apps: RwLock<HashMap<AppId, Arc<OfApp>>>,
    users: Mutex<LruCache<SubjectRef, Limiter>>,
}

impl Default for Rates {
    fn default() -> Self {
        Self { apps: RwLock::default(), users: Mutex::new(LruCache::new(USERS_MAX)) }
    }
}

fn limiter(quota: NonZeroU32) -> Limiter {
    RateLimiter::direct(Quota::per_second(quota)).with_middleware()
}

fn quota(limit: RateLimit, endpoint: Endpoint) -> Option<NonZeroU32> {
    match limit {
        RateLimit::Off => None,
        RateLimit::Own(calls) => Some(calls),
        RateLimit::Platform if PLATFORM_TWICE.contains(&endpoint) => {
            Some(PLATFORM.saturating_mul(NonZeroU32::MIN.saturating_add(1)))
        }
        RateLimit::Platform => Some(PLATFORM),
    }
}

/// Counts as many calls as were made, at most as many as may be made at once.
fn take(limiter: &Limiter, quota: NonZeroU32, calls: NonZeroU32) -> Result<Left, Reached> {
    match limiter.check_n(calls.min(quota)) {
        Ok(Ok(state)) => Ok(Left { quota: quota.get(), calls: state.remaining_burst_capacity() }),
        Ok(Err(refused)) => {
            Err(Reached { quota: quota.get(), wait: refused.wait_time_from(DefaultClock::default().now()) })
        }
        // It is never asked for more than the quota.
        Err(_) => Err(Reached { quota: quota.get(), wait: Duration::from_secs(1) }),
    }
}

impl Rates {
    /// Counts calls of an endpoint for an app; `None`: the app has no limit.
    ///
    /// # Errors
    /// The limit is reached: nothing was counted.
    pub(super) fn take(&self, app: &App, endpoint: Endpoint, calls: usize) -> Result<Option<Left>, Reached> {
        let Some(quota) = quota(app.rate_limit, endpoint) else { return Ok(None) };
        let Some(calls) = u32::try_from(calls).ok().and_then(NonZeroU32::new) else { return Ok(None) };
        take(&self.of(app).limiter(endpoint, quota), quota, calls).map(Some)
    }

    /// Counts a call that a user of an app makes for itself, `per_second` on average and twice as many at once; none where the
    /// app has no limit.
    ///
    /// # Errors
    /// The limit is reached.
    pub(super) fn take_of_user(&self, app: &App, user: SubjectRef, per_second: u32) -> Result<(), Reached> {
        let Some(quota) = NonZeroU32::new(per_second).filter(|_| app.rate_limit != RateLimit::Off) else {
            return Ok(());
        };
        let burst = quota.saturating_mul(NonZeroU32::MIN.saturating_add(1));
        let fresh = || RateLimiter::direct(Quota::per_second(quota).allow_burst(burst)).with_middleware();
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        take(users.get_or_insert(user, fresh), quota, NonZeroU32::MIN).map(|_| ())
    }

    /// The limits of an app as it has set them. With another setting, counting begins anew.
    fn of(&self, app: &App) -> Arc<OfApp> {
        let known = self.apps.read().unwrap_or_else(PoisonError::into_inner).get(&app.id).cloned();
        if let Some(known) = known.filter(|known| known.limit == app.rate_limit) {
            return known;
        }
        let mut apps = self.apps.write().unwrap_or_else(PoisonError::into_inner);
        let fresh = || Arc::new(OfApp { limit: app.rate_limit, endpoints: RwLock::default() });
        let entry = apps.entry(app.id.clone()).or_insert_with(fresh);
        if entry.limit != app.rate_limit {
            *entry = fresh();
        }
        entry.clone()
    }
}

impl OfApp {
    fn limiter(&self, endpoint: Endpoint, quota: NonZeroU32) -> Arc<Limiter> {
        let known = self.endpoints.read().unwrap_or_else(PoisonError::into_inner).get(&endpoint).cloned();
        known.unwrap_or_else(|| {
            let mut endpoints = self.endpoints.write().unwrap_or_else(PoisonError::into_inner);
            endpoints.entry(endpoint).or_insert_with(|| Arc::new(limiter(quota))).clone()
        })
    }
}

impl Reached {
    /// When to come again, in whole seconds, at least one.
    pub(super) fn retry_after(&self) -> u64 {
        self.wait.as_secs() + u64::from(self.wait.subsec_nanos() > 0).max(u64::from(self.wait.is_zero()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn calls(number: u32) -> NonZeroU32 {
        NonZeroU32::new(number).unwrap()
    }

    #[test]
    fn the_platform_lets_tokens_be_issued_twice_as_often_as_anything_else() {
        assert_eq!(quota(RateLimit::Platform, ("server_v1", "register")), Some(calls(200)));
        assert_eq!(quota(RateLimit::Platform, ("server_v1", "info")), Some(calls(100)));
        assert_eq!(quota(RateLimit::Own(calls(7)), ("server_v1", "register")), Some(calls(7)));
        assert_eq!(quota(RateLimit::Off, ("server_v1", "register")), None);
    }

    #[test]
    fn as_many_calls_pass_at_once_as_the_quota_has_and_then_none() {
        // So few a second that no time of the test gives one back.
        let limiter =
            RateLimiter::direct(Quota::with_period(Duration::from_secs(3_600)).unwrap().allow_burst(calls(3)))
                .with_middleware();
        assert_eq!(take(&limiter, calls(3), calls(2)), Ok(Left { quota: 3, calls: 1 }));
        assert!(take(&limiter, calls(3), calls(2)).is_err(), "two do not fit any more");
        assert_eq!(take(&limiter, calls(3), calls(1)), Ok(Left { quota: 3, calls: 0 }), "and did not count");
        let reached = take(&limiter, calls(3), calls(1)).unwrap_err();
        assert!(reached.retry_after() >= 1 && reached.quota == 3, "{reached:?}");
    }

    #[test]
    fn a_call_about_more_users_than_the_quota_counts_as_the_whole_quota() {
        let limiter =
            RateLimiter::direct(Quota::with_period(Duration::from_secs(3_600)).unwrap().allow_burst(calls(3)))
                .with_middleware();
        assert_eq!(take(&limiter, calls(3), calls(100)), Ok(Left { quota: 3, calls: 0 }));
    }

    #[test]
    fn a_wait_is_told_in_whole_seconds_and_never_as_none() {
        let after = |millis| Reached { quota: 1, wait: Duration::from_millis(millis) }.retry_after();
        assert_eq!([0, 1, 1_000, 1_001].map(after), [1, 1, 1, 2]);
    }
}
