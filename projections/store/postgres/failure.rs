//! What errors of the database mean for the store.

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

use super::deadline::Silent;
use crate::Inconsistent;
use crate::store::Error;

/// What a server's error says, in one line. Never a value: the detail of a violated constraint is left out.
#[must_use]
pub fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} (SQLSTATE {})", db.message(), db.code().code()),
        None => {
            let cause = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
            format!("{error}{cause}")
        }
    }
}

impl From<tokio_postgres::Error> for Error {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.code() {
            Some(&SqlState::LOCK_NOT_AVAILABLE) => Self::InUse,
            _ => Self::Unavailable(describe(&error)),
        }
    }
}

impl From<PoolError> for Error {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            error => Self::Unavailable(format!("no connection to the database is free: {error}")),
        }
    }
}

impl From<Silent> for Error {
    fn from(silent: Silent) -> Self {
        Self::Unavailable(silent.to_string())
    }
}

/// Why an event could not be applied to one read model.
pub(super) enum Failure {
    /// It is the event's fault: it is parked.
    Poison(String),
    /// It is not.
    Store(Error),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        let is_about_values = |code: &SqlState| matches!(code.code().get(..2), Some("22" | "23" | "54"));
        match error.as_db_error() {
            // The message names a constraint, never a value; the detail, which would, is left out.
            Some(db) if is_about_values(db.code()) => Self::Poison(db.message().to_owned()),
            _ => Self::Store(error.into()),
        }
    }
}

impl From<Inconsistent> for Failure {
    fn from(inconsistent: Inconsistent) -> Self {
        Self::Poison(inconsistent.to_string())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<Failure> for Error {
    /// Where no event can be parked any more, one that cannot be applied makes the store unavailable.
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Poison(reason) => Self::Unavailable(reason),
            Failure::Store(error) => error,
        }
    }
}

impl From<Silent> for Failure {
    fn from(silent: Silent) -> Self {
        Self::Store(silent.into())
    }
}
