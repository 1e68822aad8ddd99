//! Slows down whoever shows wrong credentials again and again. What is counted is the address, never the app: a stranger who
//! guesses the key of an app locks nobody out of it.
//!
//! An address that has used up its failures is refused before its credentials are looked at, unless good ones came from it
//! lately: behind a proxy that is not named as trusted, every caller has the address of the proxy.

use std::net::{IpAddr, Ipv6Addr};
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use lru::LruCache;

/// Failures that an address may have at once.
const AT_ONCE_MAX: NonZeroU32 = NonZeroU32::new(30).unwrap();
/// After which time it may have another one.
const ONE_EVERY: Duration = Duration::from_secs(2);
/// How long good credentials keep an address from being refused.
const GOOD_FOR: Duration = Duration::from_secs(600);
/// Addresses that are remembered, a few hundred bytes each; of more, those are forgotten that nothing came from for the
/// longest time.
const ADDRESSES_MAX: NonZeroUsize = NonZeroUsize::new(20_000).unwrap();
/// After which part of [`GOOD_FOR`] it is noted again that an address is good.
const NOTED_AGAIN_AFTER: Duration = Duration::from_secs(60);

struct OfAddress {
    failures: DefaultDirectRateLimiter,
    refused_until: Option<Instant>,
    good_at: Option<Instant>,
}

impl OfAddress {
    fn new() -> Self {
        let quota = Quota::with_period(ONE_EVERY).map_or(Quota::per_second(NonZeroU32::MIN), |quota| quota);
        let failures = RateLimiter::direct(quota.allow_burst(AT_ONCE_MAX));
        Self { failures, refused_until: None, good_at: None }
    }
}

/// An address has to wait before it may show credentials again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slowed {
    /// How long, in seconds; at least one.
    pub(super) seconds: u64,
}

/// The addresses from which credentials were shown lately.
pub(super) struct Failures(Mutex<LruCache<IpAddr, OfAddress>>);

impl Default for Failures {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(ADDRESSES_MAX)))
    }
}

/// Who has an IPv6 address has the 2^64 beside it.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
    }
}

impl Failures {
    fn of<T>(&self, address: IpAddr, what: impl FnOnce(&mut OfAddress) -> T) -> T {
        let mut addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        what(addresses.get_or_insert_mut(network(address), OfAddress::new))
    }

    /// Whether credentials from an address are looked at. `None`: a trusted proxy does not say the address, and nobody is
    /// counted.
    ///
    /// # Errors
    /// Too many were wrong lately.
    pub(super) fn admit(&self, address: Option<IpAddr>, now: Instant) -> Result<(), Slowed> {
        let Some(address) = address else { return Ok(()) };
        let mut addresses = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = addresses.get_mut(&network(address)) else { return Ok(()) };
        let is_good = known.good_at.is_some_and(|at| now.saturating_duration_since(at) < GOOD_FOR);
        match known.refused_until.filter(|until| *until > now && !is_good) {
            Some(until) => Err(Slowed { seconds: (until - now).as_secs() + 1 }),
            None => Ok(()),
        }
    }

    /// Notes whether credentials from an address were good.
    pub(super) fn note(&self, address: Option<IpAddr>, were_good: bool, now: Instant) {
        let Some(address) = address else { return };
        self.of(address, |known| {
            if were_good {
                if known.good_at.is_none_or(|at| now.saturating_duration_since(at) > NOTED_AGAIN_AFTER) {
                    known.good_at = Some(now);
                }
            } else if known.failures.check().is_err() {
                known.refused_until = Some(now + ONE_EVERY);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    fn fails(failures: &Failures, from: &str, now: Instant) {
        // One more than may be at once: it is over before one is given back.
        (0..=AT_ONCE_MAX.get()).for_each(|_| failures.note(address(from), false, now));
    }

    #[test]
    fn an_address_that_failed_too_often_waits_and_another_one_does_not() {
        let (failures, now) = (Failures::default(), Instant::now());
        assert!(failures.admit(address("192.0.2.1"), now).is_ok());
        fails(&failures, "192.0.2.1", now);
        let slowed = failures.admit(address("192.0.2.1"), now).unwrap_err();
        assert!((1..=3).contains(&slowed.seconds), "{slowed:?}");
        assert!(failures.admit(address("192.0.2.2"), now).is_ok() && failures.admit(None, now).is_ok());
        assert!(failures.admit(address("192.0.2.1"), now + ONE_EVERY).is_ok(), "it may try again");
    }

    #[test]
    fn an_address_that_good_credentials_came_from_is_not_refused_for_a_while() {
        let (failures, now) = (Failures::default(), Instant::now());
        failures.note(address("192.0.2.1"), true, now);
        fails(&failures, "192.0.2.1", now);
        assert!(failures.admit(address("192.0.2.1"), now).is_ok());
        let later = now + GOOD_FOR;
        failures.note(address("192.0.2.1"), false, later);
        assert!(failures.admit(address("192.0.2.1"), later).is_err());
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_and_no_more_are_remembered_than_the_bound() {
        let (failures, now) = (Failures::default(), Instant::now());
        fails(&failures, "2001:db8::1", now);
        assert!(failures.admit(address("2001:db8::ffff:1"), now).is_err());
        assert!(failures.admit(address("2001:db8:0:1::1"), now).is_ok());
        for number in 0..u32::try_from(ADDRESSES_MAX.get()).unwrap() {
            failures.note(Some(std::net::Ipv4Addr::from_bits(number).into()), false, now);
        }
        assert!(failures.admit(address("2001:db8::1"), now).is_ok(), "it was forgotten");
        assert_eq!(failures.0.lock().unwrap().len(), ADDRESSES_MAX.get());
    }
}
