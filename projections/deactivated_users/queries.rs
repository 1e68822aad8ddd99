//! What can be asked about deactivated users.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, SubjectRef};
use uuid::Uuid;

use crate::store::{Error, ReadStore, Row};
use crate::{paging, queries};

queries! {
    latest_page = "SELECT subject, deactivated_at, operation FROM deactivated_users_v1
        WHERE app = $1 ORDER BY deactivated_position DESC LIMIT $2 OFFSET $3";
    of_subject: coalesced = "SELECT subject, deactivated_at, operation FROM deactivated_users_v1 WHERE subject = $1";
    all_restricted = "SELECT subject FROM deactivated_users_v1 WHERE restricted = 1 AND subject > $1
        ORDER BY subject LIMIT $2";
    restriction_of: coalesced = "SELECT restricted FROM deactivated_users_v1 WHERE subject = $1";
    count_of_app: coalesced = "SELECT users FROM deactivated_users_count_v1 WHERE app = $1";
}

/// One deactivated user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deactivated {
    /// Who.
    pub subject: SubjectRef,
    /// Since when.
    pub deactivated_at: DateTime<Utc>,
    /// What the caller was told.
    pub operation: String,
}

impl Deactivated {
    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        Ok(Self { subject: SubjectRef(row.id(0)?), deactivated_at: row.instant(1)?, operation: row.text(2)?.into() })
    }
}

/// A page, counted from 1, the latest deactivation first.
///
/// # Errors
/// The store is unavailable.
pub async fn page(store: &ReadStore, app: &AppId, page: u32, size: u32) -> Result<Vec<Deactivated>, Error> {
    let Some((limit, skip)) = paging::numbered(page, size) else { return Ok(Vec::new()) };
    store.rows(latest_page, &[app.into(), limit, skip], Deactivated::read).await
}

/// The deactivation of a user, while it lasts.
///
/// # Errors
/// The store is unavailable.
pub async fn of(store: &ReadStore, subject: SubjectRef) -> Result<Option<Deactivated>, Error> {
    store.row(of_subject, &[subject.into()], Deactivated::read).await
}

/// Whether an erasure of a user waits, and the user is fenced meanwhile.
///
/// # Errors
/// The store is unavailable.
pub async fn is_restricted(store: &ReadStore, subject: SubjectRef) -> Result<bool, Error> {
    Ok(store.row(restriction_of, &[subject.into()], |row| row.flag(0)).await?.unwrap_or(false))
}

/// How many users of an app are deactivated.
///
/// # Errors
/// The store is unavailable.
pub async fn count(store: &ReadStore, app: &AppId) -> Result<u64, Error> {
    Ok(store.row(count_of_app, &[app.into()], |row| row.number(0)).await?.unwrap_or(0))
}

/// The subjects after `cursor` whose erasure can be called off or waits for a legal hold.
///
/// # Errors
/// The store is unavailable.
pub async fn restricted(store: &ReadStore, cursor: Option<SubjectRef>, limit: u32) -> Result<Vec<SubjectRef>, Error> {
    store
        .rows(all_restricted, &[cursor.map_or(Uuid::nil(), |subject| subject.0).into(), paging::limit(limit)], |row| {
            Ok(SubjectRef(row.id(0)?))
        })
        .await
}
