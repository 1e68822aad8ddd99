//! Which moment of the past is meant.

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use super::error::Error;
use crate::eventlog::EventLog;

/// How far the clocks of nodes may differ.
const SKEW_MAX: TimeDelta = TimeDelta::seconds(5);
/// Events read at once.
const PAGE: usize = 512;

/// A moment, as somebody asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// After the event at this position; 0: before the first.
    Position(u64),
    /// Before the first event that was recorded after this time.
    ///
    /// The clock of one node never goes back while it runs, but those of several differ, so that times need not ascend
    /// with positions. The meaning holds exactly where no event was recorded with a time more than five seconds before
    /// that of an event in front of it. Where clocks differed more, or a machine's clock was put back between two runs,
    /// a time of the stretch that was lived twice means some position at which an event recorded at or before that time
    /// is followed by one recorded after it. A position leaves no doubt.
    Time(DateTime<Utc>),
}

/// Neither a position nor a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a position such as 4711, or a time such as 2026-01-31T12:00:00Z")]
pub struct Malformed;

impl FromStr for When {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        if let Ok(position) = text.parse() {
            return Ok(Self::Position(position));
        }
        let time = DateTime::parse_from_rfc3339(text).map_err(|_| Malformed)?;
        Ok(Self::Time(time.with_timezone(&Utc)))
    }
}

/// A moment of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// The last position that counts; 0: none.
    pub position: u64,
    /// The time it is then: what was asked for, or when the event at the position was recorded.
    pub at: DateTime<Utc>,
}

/// The position and time that `when` means. A time after the newest event means the head, at that time.
///
/// # Errors
/// The position is above the head, or the log cannot be read.
pub async fn resolve(log: &dyn EventLog, when: When) -> Result<Moment, Error> {
    let head = log.head();
    match when {
        When::Position(asked) if asked > head => Err(Error::AboveHead { asked, head }),
        When::Position(0) => Ok(Moment { position: 0, at: DateTime::UNIX_EPOCH }),
        When::Position(position) => Ok(Moment { position, at: recorded_at(log, position).await? }),
        When::Time(at) => Ok(Moment { position: last_before(log, head, at).await?, at }),
    }
}

/// The position before the first event that was recorded after a time.
async fn last_before(log: &dyn EventLog, head: u64, at: DateTime<Utc>) -> Result<u64, Error> {
    // The event at `low` is so old that none in front of it was recorded after the time, as far as clocks agree.
    let oldest = at.checked_sub_signed(SKEW_MAX).unwrap_or(DateTime::<Utc>::MIN_UTC);
    let (mut low, mut high) = (0, head + 1);
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if recorded_at(log, middle).await? <= oldest {
            low = middle;
        } else {
            high = middle;
        }
    }
    loop {
        tokio::task::yield_now().await;
        let page = log.read_all(low, PAGE).await?;
        if let Some(later) = page.iter().find(|event| event.recorded_at > at || event.position > head) {
            return Ok(later.position - 1);
        }
        match page.last() {
            Some(last) => low = last.position,
            None => return Ok(low),
        }
    }
}

async fn recorded_at(log: &dyn EventLog, position: u64) -> Result<DateTime<Utc>, Error> {
    let found = log.read_all(position - 1, 1).await?;
    let event = found.first().ok_or(Error::AboveHead { asked: position, head: log.head() })?;
    Ok(event.recorded_at)
}
