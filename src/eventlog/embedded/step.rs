//! What happened in a log that is mirrored here.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::eventlog::{Idempotency, RawEvent};

/// One thing that happened in the other log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::eventlog) enum Step {
    /// An item was appended.
    Append {
        /// Its events; they may be none.
        events: Vec<RawEvent>,
        /// Its retry guard.
        kept: Option<Idempotency>,
    },
    /// Blobs were replaced by what is left of them.
    Detach(Vec<(u64, Option<Bytes>)>),
    /// Keys recorded before were forgotten.
    Expire(DateTime<Utc>),
    /// The log became that of a vault; only the first one counts.
    Own(Uuid),
    /// Nothing that was sent before can be appended any more.
    Fence,
}

/// How far another log was taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::eventlog) struct Mark {
    /// Which log.
    pub(in crate::eventlog) source: String,
    /// Place of the last entry there.
    pub(in crate::eventlog) revision: u64,
    /// Identifies that entry.
    pub(in crate::eventlog) id: Uuid,
}
