//! Why the tree over the log cannot be kept.

use std::path::PathBuf;

use super::note;
use crate::{eventlog, privacy};

/// Why the tree cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its files cannot be read or written.
    #[error("the tree over the log cannot be read or written: {0}; check the directory `tree` of the data directory")]
    Files(#[from] std::io::Error),
    /// The log.
    #[error(transparent)]
    Log(#[from] eventlog::Error),
    /// The vault.
    #[error(transparent)]
    Vault(#[from] privacy::Error),
    /// A checkpoint is not signed by this vault.
    #[error("the checkpoint in {path} is not of this log: {source}; put back the files that belong together")]
    Foreign {
        /// Where it was found.
        path: PathBuf,
        /// What is wrong with it.
        source: note::Error,
    },
    /// The log is shorter than it was.
    #[error(
        "the log holds {head} events but {witness} has seen {seen}: the log was put back to an earlier state. Put back \
         the newest log, or run `rollcall recover` to go on with this one"
    )]
    Rewound {
        /// Who has seen the later state.
        witness: String,
        /// How many events there were.
        seen: u64,
        /// How many there are.
        head: u64,
    },
    /// The log has another past than it had.
    #[error(
        "the first {seen} events of the log are not those that {witness} has seen: the log was changed or exchanged. \
         Run `rollcall audit verify` to find where, and put back an unchanged log"
    )]
    Rewritten {
        /// Who has seen the later state.
        witness: String,
        /// How many events it has seen.
        seen: u64,
    },
    /// The tree lacks events that were there when the service started.
    #[error("the tree over the log is being built from the log; try again when the service is ready")]
    Behind,
    /// The tree does not reach that far.
    #[error("there are {size} events; nothing can be proven about event {position}")]
    Beyond {
        /// What was asked for.
        position: u64,
        /// How many events there are.
        size: u64,
    },
}
