//! How fast a client may ask.

use std::time::{Duration, Instant};

/// Requests in a row that may be refused before the connection is closed.
const REFUSED_MAX: u32 = 100;

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// It is taken.
    Fine,
    /// It is refused.
    TooFast,
    /// The client goes on although it is refused.
    Hopeless,
}

/// A bucket of requests that fills again.
pub(super) struct Bucket {
    per_second: f64,
    left: f64,
    at: Instant,
    refused: u32,
}

impl Bucket {
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        let per_second = f64::from(per_second);
        Self { per_second, left: per_second * 2.0, at: now, refused: 0 }
    }

    /// Takes one request out of it.
    pub(super) fn take(&mut self, now: Instant) -> Pace {
        let since: Duration = now.saturating_duration_since(self.at);
        self.at = now;
        self.left = (self.left + since.as_secs_f64() * self.per_second).min(self.per_second * 2.0);
        if self.left >= 1.0 {
            self.left -= 1.0;
            self.refused = 0;
            return Pace::Fine;
        }
        self.refused += 1;
        if self.refused > REFUSED_MAX { Pace::Hopeless } else { Pace::TooFast }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_taken_then_so_many_a_second_and_who_goes_on_is_given_up() {
        let start = Instant::now();
        let mut bucket = Bucket::new(10, start);
        assert!((0..20).all(|_| bucket.take(start) == Pace::Fine));
        assert_eq!(bucket.take(start), Pace::TooFast);
        let later = start + Duration::from_millis(500);
        assert!((0..5).all(|_| bucket.take(later) == Pace::Fine));
        assert!((0..REFUSED_MAX).all(|_| bucket.take(later) == Pace::TooFast));
        assert_eq!(bucket.take(later), Pace::Hopeless);
    }
}
