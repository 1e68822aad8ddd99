//! What the writer is asked.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::sync::oneshot;

#[cfg(feature = "kurrentdb")]
use super::step::{Mark, Step};
use crate::eventlog::{Error, Item, Outcome};

pub(super) type Answer<T> = oneshot::Sender<Result<T, Error>>;

pub(super) enum Task {
    Append(Vec<Item>, Answer<Vec<Outcome>>),
    Detach(Vec<(u64, Option<Bytes>)>, Answer<u64>),
    ExpireOutcomes(DateTime<Utc>, Answer<u64>),
    #[cfg(feature = "kurrentdb")]
    Mirror(Vec<Step>, Mark, Answer<Vec<u64>>),
}

impl Task {
    /// Answers that it was not begun. The caller may have gone away; its answer is dropped.
    pub(super) fn refuse(self, error: Error) {
        match self {
            Self::Append(_, answer) => drop(answer.send(Err(error))),
            Self::Detach(_, answer) | Self::ExpireOutcomes(_, answer) => drop(answer.send(Err(error))),
            #[cfg(feature = "kurrentdb")]
            Self::Mirror(_, _, answer) => drop(answer.send(Err(error))),
        }
    }
}
