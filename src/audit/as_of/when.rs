//! Which moment of the past is meant.

use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Error;
use crate::eventlog::EventLog;

/// A moment, as somebody asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// After the event at this position; 0: before the first.
    Position(u64),
    /// After the last event that was recorded at or before this time.
    ///
    /// Times ascend with positions while the service runs, for its clock never goes back. If the machine's clock was
    /// put back between two runs, a time of the stretch that was lived twice means the end of one of the two: some
    /// event recorded at or before that time, followed by one recorded after it. A position leaves no doubt.
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
        When::Time(at) => {
            // Everything up to `low` was recorded at or before the time, `high` and all behind it after.
            let (mut low, mut high) = (0, head + 1);
            while high - low > 1 {
                let middle = low + (high - low) / 2;
                if recorded_at(log, middle).await? <= at {
                    low = middle;
                } else {
                    high = middle;
                }
            }
            Ok(Moment { position: low, at })
        }
    }
}

async fn recorded_at(log: &dyn EventLog, position: u64) -> Result<DateTime<Utc>, Error> {
    let found = log.read_all(position - 1, 1).await?;
    let event = found.first().ok_or(Error::AboveHead { asked: position, head: log.head() })?;
    Ok(event.recorded_at)
}
