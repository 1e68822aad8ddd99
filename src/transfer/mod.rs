//! Users and what they keep about each other in files: brought in from elsewhere, and taken out again.
//!
//! A file is read record by record, whatever its size. Every record is a command like any other, under a key of its own:
//! what an interrupted import has done is not done again.

use std::path::PathBuf;

use clap::ValueEnum;
use rollcall_schemas::import as recorded;

use crate::engine;

mod apply;
mod checkpoint;
pub mod export;
mod foreign;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod handle;
pub mod import;
mod order;
mod record;
mod source;
pub mod upload;

pub use apply::Why;
pub use foreign::Foreign;
pub use source::Format;

/// What the records of a file are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// `{user_id, name, portrait_uri?, profile?}`
    Users,
    /// `{user_id, friend_id, remark?}`
    Friends,
    /// `{user_id, group_id, label?, friend_id?}`; one of `label` and `friend_id` at least
    FriendGroups,
    /// `{user_id, target_id}`
    Blocks,
    /// `{user_id, target_id}`, or `{user_id, enabled}`: whether the allowlist is in force
    Allows,
    /// `{user_id, minutes | ends_at | permanent, starts_at?, reason?, note?}`
    Bans,
    /// `{user_id, minutes | ends_at | permanent}`
    Mutes,
}

impl From<recorded::Kind> for Kind {
    fn from(kind: recorded::Kind) -> Self {
        match kind {
            recorded::Kind::Users => Self::Users,
            recorded::Kind::Friends => Self::Friends,
            recorded::Kind::FriendGroups => Self::FriendGroups,
            recorded::Kind::Blocks => Self::Blocks,
            recorded::Kind::Allows => Self::Allows,
            recorded::Kind::Bans => Self::Bans,
            recorded::Kind::Mutes => Self::Mutes,
        }
    }
}

/// What happens to a record about something that is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OnConflict {
    /// It is left as it is.
    #[default]
    Skip,
    /// The record is refused.
    Fail,
    /// It is changed to what the record says.
    Update,
}

impl From<recorded::OnConflict> for OnConflict {
    fn from(on_conflict: recorded::OnConflict) -> Self {
        match on_conflict {
            recorded::OnConflict::Skip => Self::Skip,
            recorded::OnConflict::Fail => Self::Fail,
            recorded::OnConflict::Update => Self::Update,
        }
    }
}

/// Why an import or export ended early.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{path}: {error}", path = .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A document is not JSON of the expected form.
    #[error("{path} is not what it should be: {reason}", path = .path.display())]
    Document {
        /// Which.
        path: PathBuf,
        /// What is wrong, and where.
        reason: String,
    },
    /// An earlier import of the file was not finished, and was another one.
    #[error("an import of this file was begun {reason}; finish it as it was begun, or begin anew with --restart")]
    OtherImport {
        /// What is different.
        reason: &'static str,
    },
    /// There is no such app.
    #[error("there is no app {0}; `rollcall apps list` shows them")]
    NoSuchApp(String),
    /// The service cannot take commands or answer.
    #[error("{0}; what is done is kept, run the same command again to go on")]
    Engine(#[from] engine::Error),
    /// The read models cannot answer.
    #[error(transparent)]
    Read(#[from] rollcall_projections::store::Error),
}

impl Error {
    fn file(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |error| Self::File { path, error }
    }
}
