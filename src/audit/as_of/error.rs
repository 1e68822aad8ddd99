//! Why the past was not shown.

use rollcall_schemas::ids::AppId;

use crate::domain::Misplaced;
use crate::engine::{self, journal, projector};
use crate::{eventlog, privacy};

/// Why the past was not shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The position does not exist yet.
    #[error("position {asked} is above the head of the log; ask for {head}, the newest position, or a lower one")]
    AboveHead {
        /// What was asked for.
        asked: u64,
        /// The newest position.
        head: u64,
    },
    /// No event is about that user. The message does not repeat the id: it is personal.
    #[error("the app knows no such user; check the id, or name the user by the subject reference of its history")]
    UnknownUser,
    /// There is no such application.
    #[error("there is no app {0}; `rollcall apps list` shows which there are")]
    NoSuchApp(AppId),
    /// The read models hold more than the log.
    #[error(
        "the read models have applied {applied} events but the log holds {head}: the log was rewound; \
         put back the newest log, or run `rollcall rebuild all` if this log is the one to go on with"
    )]
    Rewound {
        /// What the read models hold.
        applied: u64,
        /// What the log holds.
        head: u64,
    },
    /// The scratch store has no place.
    #[error("no scratch directory can be made, set TMPDIR to a directory with space: {0}")]
    Scratch(#[from] std::io::Error),
    /// The log.
    #[error(transparent)]
    Log(#[from] eventlog::Error),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] privacy::Error),
    /// A read store, live or scratch.
    #[error(transparent)]
    Store(#[from] rollcall_projections::store::Error),
    /// An event cannot be decoded.
    #[error("{0}; show the past with the version of rollcall that wrote the log")]
    Event(#[from] journal::ReadError),
    /// A value in the log or a read model has another type.
    #[error("a stored value cannot be read: {0}; run `rollcall verify`")]
    Value(String),
    /// The read models cannot be filled.
    #[error(transparent)]
    Replay(#[from] projector::Error),
    /// The running service cannot be asked.
    #[error(transparent)]
    Engine(#[from] engine::Error),
}

impl From<Misplaced> for Error {
    fn from(misplaced: Misplaced) -> Self {
        Self::Value(misplaced.to_string())
    }
}
