//! Why the engine does not do what it is asked, in one type for every face.

use super::journal;
use crate::domain::{self, Defect, Refusal};
use crate::{eventlog, privacy};

/// Why the log must not be used any more. Its text is for whoever runs the service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the event log is broken ({code} at position {position}) and is not used any more: {reason}")]
pub struct BrokenLog {
    /// What is wrong, as a stable code.
    pub code: &'static str,
    /// Where.
    pub position: u64,
    /// What is wrong, and what to do.
    pub reason: String,
}

impl BrokenLog {
    /// What an error of the log means for its use; nothing where it is only unavailable.
    pub(super) fn of(error: &eventlog::Error) -> Option<Self> {
        match error {
            eventlog::Error::Corrupt { position, reason } => {
                Some(Self { code: reason.damage.code(), position: *position, reason: reason.to_string() })
            }
            eventlog::Error::Unavailable(_) | eventlog::Error::Ambiguous(_) => None,
        }
    }
}

/// Why a command or a query was not answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state of the world does not allow it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A mistake in a command of this service. Nothing was recorded; to try again does not help.
    #[error("a command of this service has a defect: {0}")]
    Defect(#[from] Defect),
    /// Too much is waiting; try again.
    #[error("the service is busy; try again in a moment")]
    Busy,
    /// The read models do not hold what was acknowledged yet; try again.
    #[error("the read models are behind; try again in a moment")]
    Behind,
    /// Log, vault or read store cannot at the moment, for example because the disk is full. Nothing was recorded.
    #[error("the service cannot do this at the moment, try again: {0}")]
    Unavailable(String),
    /// The log must not be used any more. Nothing was recorded, and nothing will be before somebody acts.
    #[error(transparent)]
    LogBroken(#[from] BrokenLog),
    /// The log does not answer whether it kept the command. A retry with the same idempotency key settles it.
    #[error("it is not known whether the command was recorded; repeat it with the same Idempotency-Key: {0}")]
    Ambiguous(String),
    /// More erasures than the app allows within a minute.
    #[error(
        "too many erasures within a minute; try again in {seconds} s, raise `erasures_per_minute_max`, or override it"
    )]
    Braked {
        /// When to try again.
        seconds: u32,
    },
    /// A call with the same idempotency key is running.
    #[error("a call with this Idempotency-Key is still running")]
    KeyInUse,
    /// The idempotency key was used for another call.
    #[error("this Idempotency-Key was used for a different call")]
    KeyMismatch,
}

impl Error {
    /// What strangers are told of a log that is broken.
    pub const LOG_BROKEN: &str = "the event log is broken and is not used any more; trying again does not help before \
        whoever runs the service has acted, see /health/ready";

    /// The kind of it in one word, for a metric.
    #[must_use]
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Refused(_) => "refused",
            Self::Defect(_) => "defect",
            Self::Busy => "busy",
            Self::Behind => "behind",
            Self::Unavailable(_) => "unavailable",
            Self::LogBroken(_) => "log_broken",
            Self::Ambiguous(_) => "ambiguous",
            Self::Braked { .. } => "braked",
            Self::KeyInUse => "key_in_use",
            Self::KeyMismatch => "key_mismatch",
        }
    }
}

impl From<domain::Error> for Error {
    fn from(error: domain::Error) -> Self {
        match error {
            domain::Error::Refused(refusal) => Self::Refused(refusal),
            domain::Error::Defect(defect) => Self::Defect(defect),
        }
    }
}

impl From<eventlog::Error> for Error {
    fn from(error: eventlog::Error) -> Self {
        match error {
            eventlog::Error::Ambiguous(reason) => Self::Ambiguous(reason),
            error => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<privacy::Error> for Error {
    fn from(error: privacy::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<rollcall_projections::store::Error> for Error {
    fn from(error: rollcall_projections::store::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<journal::ReadError> for Error {
    fn from(error: journal::ReadError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
