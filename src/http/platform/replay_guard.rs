//! Strict mode of an app: a signed request counts only within a window around its timestamp, and only once.
//!
//! What is remembered is the digest of the signature and not the nonce: nonce and timestamp are signed without anything
//! between them, so characters can be moved from one to the other under the same signature. The memory is this
//! process's own: another node, or this one after a restart, accepts a signature once more within the window.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_schemas::ids::AppId;

/// Bytes of a SHA-1.
pub(super) type Digest = [u8; 20];

/// Most signatures that are remembered per app, about 10 MB. Only those of correctly signed requests are remembered.
const SIGNATURES_MAX: usize = 200_000;

/// The result of the check of a signed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is within the window and was not seen before.
    Fresh,
    /// Its timestamp is malformed or outside the window, or its signature was seen before.
    Stale,
    /// The memory for signatures is full.
    Full,
}

/// Signatures that were seen, by app.
#[derive(Default)]
pub(in crate::http) struct ReplayGuard(Mutex<HashMap<AppId, Seen>>);

/// The signatures that were seen of one app, in two generations. A signature is valid for twice the window, from one window
/// before its timestamp to one after it. So a generation collects for that long and is then kept for as long again.
struct Seen {
    since: DateTime<Utc>,
    recent: HashSet<Digest>,
    older: HashSet<Digest>,
}

impl ReplayGuard {
    /// Checks a correctly signed request, and remembers its signature if it is accepted.
    pub(super) fn judge(
        &self,
        app: &AppId,
        window: TimeDelta,
        timestamp: &[u8],
        signature: Digest,
        now: DateTime<Utc>,
    ) -> Verdict {
        if time(timestamp).is_none_or(|at| (now - at).abs() > window) {
            return Verdict::Stale;
        }
        let mut apps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = apps.entry(app.clone()).or_insert_with(|| Seen::new(now));
        seen.rotate(window * 2, now);
        if seen.recent.contains(&signature) || seen.older.contains(&signature) {
            return Verdict::Stale;
        }
        if seen.recent.len() + seen.older.len() >= SIGNATURES_MAX {
            return Verdict::Full;
        }
        seen.recent.insert(signature);
        Verdict::Fresh
    }
}

impl Seen {
    fn new(now: DateTime<Utc>) -> Self {
        Self { since: now, recent: HashSet::new(), older: HashSet::new() }
    }

    fn rotate(&mut self, generation: TimeDelta, now: DateTime<Utc>) {
        let passed = now - self.since;
        if passed >= generation * 2 {
            *self = Self::new(now);
        } else if passed >= generation {
            self.older = std::mem::take(&mut self.recent);
            self.since = now;
        }
    }
}

/// A timestamp as official SDKs write it: 10 digits are seconds, 13 are milliseconds.
fn time(text: &[u8]) -> Option<DateTime<Utc>> {
    if !text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = std::str::from_utf8(text).ok()?.parse().ok()?;
    match text.len() {
        10 => DateTime::from_timestamp(number, 0),
        13 => DateTime::from_timestamp_millis(number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const NOW: i64 = 1_795_420_824;
    const WINDOW: TimeDelta = TimeDelta::seconds(300);

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(seconds, 0).unwrap()
    }

    fn app(key: &str) -> AppId {
        key.parse().unwrap()
    }

    #[test]
    fn a_timestamp_is_taken_in_seconds_and_in_milliseconds_and_only_within_the_window() {
        let judge =
            |timestamp: &str| ReplayGuard::default().judge(&app("a"), WINDOW, timestamp.as_bytes(), [0; 20], at(NOW));
        for good in ["1795420824", "1795420824999", "1795420524", "1795421124", "1795420524000"] {
            assert_eq!(judge(good), Verdict::Fresh, "{good}");
        }
        for bad in [
            "1795420523",
            "1795421125",
            "1795420523999",
            "",
            "0",
            "179542082",
            "17954208240",
            "+795420824",
            "17954208xx",
        ] {
            assert_eq!(judge(bad), Verdict::Stale, "{bad}");
        }
    }

    #[test]
    fn a_signature_is_remembered_for_as_long_as_its_timestamp_can_be_valid_and_then_forgotten() {
        let replay_guard = ReplayGuard::default();
        let judge = |key: &str, timestamp: i64, signature: u8, now: i64| {
            replay_guard.judge(&app(key), WINDOW, timestamp.to_string().as_bytes(), [signature; 20], at(now))
        };
        // Signed by a clock that is ahead: valid for the longest time there is.
        assert_eq!(judge("a", NOW + 300, 1, NOW), Verdict::Fresh);
        for later in [0, 1, 299, 300, 301, 599, 600] {
            assert_eq!(judge("a", NOW + 300, 1, NOW + later), Verdict::Stale, "{later}");
            judge("a", NOW + later, 2, NOW + later);
        }
        assert_eq!(judge("b", NOW + 300, 1, NOW + 600), Verdict::Fresh, "another app has its own");
        assert_eq!(judge("a", NOW + 5_000, 1, NOW + 5_000), Verdict::Fresh);
        let apps = replay_guard.0.lock().unwrap();
        assert_eq!(apps.get(&app("a")).map(|seen| seen.recent.len() + seen.older.len()), Some(1));
    }

    #[test]
    fn memory_is_bounded_and_who_cannot_be_remembered_is_not_let_in() {
        let replay_guard = ReplayGuard::default();
        let judge = |number: usize| {
            let mut signature = [0; 20];
            signature[..8].copy_from_slice(&number.to_be_bytes());
            replay_guard.judge(&app("a"), WINDOW, NOW.to_string().as_bytes(), signature, at(NOW))
        };
        assert!((0..SIGNATURES_MAX).all(|number| judge(number) == Verdict::Fresh));
        assert_eq!(judge(SIGNATURES_MAX), Verdict::Full);
        assert_eq!(judge(0), Verdict::Stale);
    }
}
