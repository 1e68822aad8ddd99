//! Why a measurement failed.

use std::path::PathBuf;

/// Why a measurement failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory holds something.
    #[error("{0} exists already; name a --dir that does not")]
    DirectoryExists(PathBuf),
    /// The file of an earlier run is none, or of a run that cannot be compared.
    #[error("{path} cannot be compared with: {why}")]
    Kept {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The database.
    #[error("the database cannot be used: {0}")]
    Database(#[from] crate::database::Error),
    /// Reading, writing or talking failed.
    #[error("the measurement failed: {0}")]
    Io(#[from] std::io::Error),
    /// The bare database failed.
    #[error("the bare database failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The service did not start.
    #[error(transparent)]
    Wiring(#[from] crate::wiring::Error),
    /// The service refused.
    #[error(transparent)]
    Engine(#[from] crate::engine::Error),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] crate::privacy::Error),
    /// The rebuild failed.
    #[error(transparent)]
    Rebuild(#[from] crate::engine::projector::Error),
    /// An erasure.
    #[error(transparent)]
    Erasure(#[from] crate::audit::erasure::Error),
    /// A report.
    #[error(transparent)]
    Report(#[from] crate::audit::report::issue::Error),
    /// The tree over the log.
    #[error(transparent)]
    Tree(#[from] crate::audit::tree::Error),
    /// The read models.
    #[error(transparent)]
    Read(#[from] rollcall_projections::store::Error),
    /// The log.
    #[error(transparent)]
    Log(#[from] crate::eventlog::Error),
    /// The bare client of `KurrentDB`.
    #[error("the bare client of KurrentDB failed: {0}")]
    KurrentDb(String),
    /// No such friend graph.
    #[error(transparent)]
    TooDense(#[from] super::graph::TooDense),
    /// A bad constant.
    #[error("{0}")]
    Constant(String),
}
