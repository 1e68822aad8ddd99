//! What can be asked about invalid tokens.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, SubjectRef, TokenId};

use crate::queries;
use crate::store::{Error, ReadStore};

queries! {
    of_subject: coalesced = "SELECT invalid_before FROM invalidated_tokens_v2 WHERE subject = $1";
    of_app: coalesced = "SELECT invalid_before FROM invalidated_tokens_apps_v2 WHERE app = $1";
    single_ones: coalesced = "SELECT token FROM invalidated_tokens_revoked_v2 WHERE subject = $1";
}

/// Tokens of a user that were issued before this time are invalid; `None`: none was made invalid.
///
/// # Errors
/// The store is unavailable.
pub async fn before(store: &ReadStore, subject: SubjectRef) -> Result<Option<DateTime<Utc>>, Error> {
    store.row(of_subject, &[subject.into()], |row| row.instant(0)).await
}

/// Tokens of all users of an app that were issued before this time are invalid; `None`: none was made invalid.
///
/// # Errors
/// The store is unavailable.
pub async fn before_of_app(store: &ReadStore, app: &AppId) -> Result<Option<DateTime<Utc>>, Error> {
    store.row(of_app, &[app.into()], |row| row.instant(0)).await
}

/// The tokens of a user that were revoked one by one and may not have expired: as many as a user can have of them.
///
/// # Errors
/// The store is unavailable.
pub async fn revoked_of(store: &ReadStore, subject: SubjectRef) -> Result<Vec<TokenId>, Error> {
    store.rows(single_ones, &[subject.into()], |row| Ok(TokenId(row.id(0)?))).await
}
