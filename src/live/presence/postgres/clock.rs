//! The clock of the database, by which connections to several nodes have an order.
//!
//! Each connection is given a time that the database showed after its client came, so that whoever connects after another one was let
//! in is the newer one, whatever the clocks of the nodes say. Many who come together share a question: one is asked at a time,
//! and its answer is everybody's who had come before it was asked.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};

use super::tables::Tables;

/// A question that was answered, or was not in time.
struct Sample {
    at: Instant,
    answer: Option<DateTime<Utc>>,
}

/// What is known of that clock.
#[derive(Default)]
pub(super) struct Clock {
    last: tokio::sync::Mutex<Option<Sample>>,
    /// What it showed last, and when.
    shown: Mutex<Option<(DateTime<Utc>, Instant)>>,
}

impl Clock {
    /// The time now. Where the database does not answer, it is reckoned from what it showed last; `own`: the time of this
    /// node, where it has shown nothing yet.
    pub(super) async fn time(&self, tables: &Tables, own: DateTime<Utc>) -> DateTime<Utc> {
        let came = Instant::now();
        let mut last = self.last.lock().await;
        let answer = match &*last {
            Some(asked) if asked.at >= came => asked.answer,
            _ => {
                let at = Instant::now();
                let answer = tables.now().await.ok();
                if let Some(time) = answer {
                    *self.shown() = Some((time, Instant::now()));
                }
                *last = Some(Sample { at, answer });
                answer
            }
        };
        drop(last);
        answer.unwrap_or_else(|| self.reckoned(own, Instant::now()))
    }

    fn reckoned(&self, own: DateTime<Utc>, now: Instant) -> DateTime<Utc> {
        let since = |at| TimeDelta::from_std(now.saturating_duration_since(at)).unwrap_or_default();
        self.shown().map_or(own, |(time, at)| time + since(at))
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, Option<(DateTime<Utc>, Instant)>> {
        // It is whole after every statement.
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn while_the_database_is_silent_its_time_goes_on_from_what_it_showed_last() {
        let (clock, at) = (Clock::default(), Instant::now());
        let (own, shown) = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH + TimeDelta::days(7));
        let later = at + Duration::from_secs(3_600);
        assert_eq!(clock.reckoned(own, later), own, "it has shown nothing yet");
        *clock.shown() = Some((shown, at));
        assert_eq!(clock.reckoned(own, at), shown);
        assert_eq!(clock.reckoned(own, later), shown + TimeDelta::hours(1), "whatever the clock of the node says");
    }
}
