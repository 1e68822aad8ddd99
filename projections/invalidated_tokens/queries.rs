//! What can be asked about invalid tokens.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::SubjectRef;

use crate::queries;
use crate::store::{Error, ReadStore};

queries! {
    of_subject: coalesced = "SELECT invalid_before FROM invalidated_tokens_v1 WHERE subject = $1";
}

/// Tokens of a user that were issued before this time are invalid; `None`: none was made invalid.
///
/// # Errors
/// The store is unavailable.
pub async fn before(store: &ReadStore, subject: SubjectRef) -> Result<Option<DateTime<Utc>>, Error> {
    store.row(of_subject, &[subject.into()], |row| row.instant(0)).await
}
