//! What can be asked about deactivated users.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, ErasureId, SubjectRef};
use uuid::Uuid;

use crate::store::{Error, ReadStore, Row};
use crate::{NumberedPage, Seek, paging, queries};

queries! {
    latest_page = "SELECT subject FROM deactivated_users_v3
        WHERE app = $1 ORDER BY deactivated_position DESC LIMIT $2 OFFSET $3";
    earlier = "SELECT page.subject, (SELECT d.deactivated_at FROM deactivated_users_v3 AS d WHERE d.subject = page.subject),
            (SELECT d.operation FROM deactivated_users_v3 AS d WHERE d.subject = page.subject), page.deactivated_position,
            (SELECT d.erasure FROM deactivated_users_v3 AS d WHERE d.subject = page.subject),
            (SELECT d.actor FROM deactivated_users_v3 AS d WHERE d.subject = page.subject)
        FROM (SELECT subject, deactivated_position FROM deactivated_users_v3 WHERE app = $1 AND deactivated_position < $2
            ORDER BY deactivated_position DESC LIMIT $3) AS page
        ORDER BY page.deactivated_position DESC";
    later = "SELECT page.subject, (SELECT d.deactivated_at FROM deactivated_users_v3 AS d WHERE d.subject = page.subject),
            (SELECT d.operation FROM deactivated_users_v3 AS d WHERE d.subject = page.subject), page.deactivated_position,
            (SELECT d.erasure FROM deactivated_users_v3 AS d WHERE d.subject = page.subject),
            (SELECT d.actor FROM deactivated_users_v3 AS d WHERE d.subject = page.subject)
        FROM (SELECT subject, deactivated_position FROM deactivated_users_v3 WHERE app = $1 AND deactivated_position >= $2
            ORDER BY deactivated_position LIMIT $3) AS page
        ORDER BY page.deactivated_position";
    of_subject: coalesced = "SELECT subject, deactivated_at, operation, deactivated_position, erasure, actor FROM deactivated_users_v3
        WHERE subject = $1";
    all_restricted = "SELECT subject FROM deactivated_users_v3 WHERE restricted = 1 AND subject > $1
        ORDER BY subject LIMIT $2";
    restriction_of: coalesced = "SELECT restricted FROM deactivated_users_v3 WHERE subject = $1";
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
    /// Position of the event that fenced the user.
    pub deactivated_position: u64,
    /// The erasure that it began with.
    pub erasure: ErasureId,
    /// Who asked for it, such as `server:1` or `operator`.
    pub actor: String,
}

impl Deactivated {
    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        Ok(Self {
            subject: SubjectRef(row.id(0)?),
            deactivated_at: row.instant(1)?,
            operation: row.text(2)?.into(),
            deactivated_position: row.number(3)?,
            erasure: ErasureId(row.id(4)?),
            actor: row.text(5)?.into(),
        })
    }
}

/// A page of the deactivated users of an app, the latest deactivation first.
///
/// # Errors
/// The store is unavailable.
pub async fn page(store: &ReadStore, app: &AppId, page: NumberedPage) -> Result<Vec<SubjectRef>, Error> {
    let (limit, skip) = page.bounds();
    store.rows(latest_page, &[app.into(), limit, skip], |row| Ok(SubjectRef(row.id(0)?))).await
}

/// A page of the deactivated users of an app, the latest deactivation first, each with the position of that, which is its
/// place.
///
/// # Errors
/// The store is unavailable.
pub async fn listed(
    store: &ReadStore,
    app: &AppId,
    seek: impl Into<Seek<u64>>,
    size: u32,
) -> Result<Vec<(Deactivated, u64)>, Error> {
    let params = |place: u64| [app.into(), place.into(), paging::limit(size)];
    let read = |row: &Row<'_, '_>| Ok((Deactivated::read(row)?, row.number(3)?));
    paging::seek(store, seek.into(), [earlier, later], u64::MAX, params, read).await
}

/// The deactivations of those users that last, in the order asked.
///
/// # Errors
/// The store is unavailable.
pub async fn of_subjects(store: &ReadStore, subjects: &[SubjectRef]) -> Result<Vec<Deactivated>, Error> {
    let asked = subjects.iter().map(|subject| [(*subject).into()]);
    Ok(store.rows_of_each(of_subject, asked, Deactivated::read).await?.into_iter().flatten().collect())
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
