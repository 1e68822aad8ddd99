//! What can be asked of the trail.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, SubjectRef};
use uuid::Uuid;

use crate::store::{Error, ReadStore, Row};
use crate::{paging, queries};

queries! {
    page_before = "SELECT position, at, actor, name, subject, other, correlation FROM audit_trail_v1
        WHERE app = $1 AND position < $2 ORDER BY position DESC LIMIT $3";
    subject_before = "SELECT position, at, actor, name, subject, other, correlation FROM audit_trail_v1
        WHERE subject = $1 AND position < $2 AND app = $3 ORDER BY position DESC LIMIT $4";
    subject_after = "SELECT position FROM audit_trail_v1
        WHERE subject = $1 AND position > $2 ORDER BY position LIMIT $3";
    other_after = "SELECT position FROM audit_trail_v1
        WHERE other = $1 AND position > $2 ORDER BY position LIMIT $3";
}

/// One event, without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// Its place in the log: the cursor of pages.
    pub position: u64,
    /// When it was recorded.
    pub at: DateTime<Utc>,
    /// Who acted: `server:<secret>`, `operator` or `system`.
    pub actor: String,
    /// Its name, such as `user.registered`.
    pub name: String,
    /// Whom it is about; `None`: the app itself.
    pub subject: Option<SubjectRef>,
    /// The one other it concerns, where there is just one.
    pub other: Option<SubjectRef>,
    /// The request that led to it.
    pub correlation: Uuid,
}

impl Trace {
    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        Ok(Self {
            position: row.number(0)?,
            at: row.instant(1)?,
            actor: row.text(2)?.into(),
            name: row.text(3)?.into(),
            subject: row.optional_id(4)?.map(SubjectRef),
            other: row.optional_id(5)?.map(SubjectRef),
            correlation: row.id(6)?,
        })
    }
}

/// The events of an app before a position, the newest first; `None`: from the newest.
///
/// # Errors
/// The store is unavailable.
pub async fn page(store: &ReadStore, app: &AppId, before: Option<u64>, size: u32) -> Result<Vec<Trace>, Error> {
    let before = before.unwrap_or(u64::MAX);
    store.rows(page_before, &[app.into(), before.into(), paging::limit(size)], Trace::read).await
}

/// The events about a subject before a position, the newest first; `None`: from the newest.
///
/// # Errors
/// The store is unavailable.
pub async fn of_subject(
    store: &ReadStore,
    app: &AppId,
    subject: SubjectRef,
    before: Option<u64>,
    size: u32,
) -> Result<Vec<Trace>, Error> {
    let before = before.unwrap_or(u64::MAX);
    let params = [subject.into(), before.into(), app.into(), paging::limit(size)];
    store.rows(subject_before, &params, Trace::read).await
}

/// The positions of all events that concern a subject, its own and others', after a position, in order.
///
/// # Errors
/// The store is unavailable.
pub async fn positions_about(
    store: &ReadStore,
    subject: SubjectRef,
    after: u64,
    limit: u32,
) -> Result<Vec<u64>, Error> {
    let params = [subject.into(), after.into(), paging::limit(limit)];
    let mut positions: Vec<u64> = store.rows(subject_after, &params, |row| row.number(0)).await?;
    positions.extend(store.rows(other_after, &params, |row| row.number::<u64>(0)).await?);
    positions.sort_unstable();
    positions.dedup();
    positions.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(positions)
}
