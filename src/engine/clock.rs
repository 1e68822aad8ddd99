//! The one place that asks for the time.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};

/// A clock that never goes back, in milliseconds, whatever the machine's clock does.
#[derive(Debug, Default)]
pub struct Clock {
    latest: AtomicI64,
}

impl Clock {
    /// The time now, or the latest time that was told if the machine's clock went back.
    #[allow(clippy::disallowed_methods)] // This is the place.
    pub fn now(&self) -> DateTime<Utc> {
        let now = Utc::now().timestamp_millis();
        let latest = self.latest.fetch_max(now, Ordering::Relaxed).max(now);
        DateTime::from_timestamp_millis(latest).unwrap_or_default()
    }
}
