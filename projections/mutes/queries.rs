//! What can be asked about mutes.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, SubjectRef};

use crate::store::{Error, ReadStore, Row};
use crate::{NumberedPage, Seek, paging, queries};

queries! {
    page_of_app = "SELECT subject FROM mutes_v3 WHERE app = $1 AND (ends_at IS NULL OR ends_at > $2)
        ORDER BY muted_position LIMIT $3 OFFSET $4";
    later_than = "SELECT subject, app, muted_at, ends_at, muted_position, set_position FROM mutes_v3
        WHERE app = $1 AND muted_position > $2 AND (ends_at IS NULL OR ends_at > $3)
        ORDER BY muted_position LIMIT $4";
    up_to = "SELECT subject, app, muted_at, ends_at, muted_position, set_position FROM mutes_v3
        WHERE app = $1 AND muted_position <= $2 AND (ends_at IS NULL OR ends_at > $3)
        ORDER BY muted_position DESC LIMIT $4";
    count_of_app: coalesced = "SELECT users - (SELECT count(*) FROM mutes_v3 WHERE app = $1 AND ends_at <= $2)
        FROM mutes_count_v3 WHERE app = $1";
    of_subject: coalesced = "SELECT subject, app, muted_at, ends_at, muted_position, set_position FROM mutes_v3
        WHERE subject = $1";
    ended_by = "SELECT subject, app, muted_at, ends_at, muted_position, set_position FROM mutes_v3
        WHERE ends_at <= $1 ORDER BY ends_at LIMIT $2";
}

/// One mute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mute {
    /// Who is muted.
    pub subject: SubjectRef,
    /// In which app.
    pub app: AppId,
    /// Since when without a break.
    pub muted_at: DateTime<Utc>,
    /// When it ends by itself; `None`: never.
    pub ends_at: Option<DateTime<Utc>>,
    /// Position of the event that muted the user: the order of the list, and the place in [`listed`].
    pub muted_position: u64,
    /// Position of the event that gave the mute its end.
    pub set_position: u64,
}

impl Mute {
    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        Ok(Self {
            subject: SubjectRef(row.id(0)?),
            app: row.parsed(1)?,
            muted_at: row.instant(2)?,
            ends_at: row.optional_instant(3)?,
            muted_position: row.number(4)?,
            set_position: row.number(5)?,
        })
    }

    /// Whether its time is not over at `now`, be that recorded or not.
    #[must_use]
    pub fn runs_at(&self, now: DateTime<Utc>) -> bool {
        self.ends_at.is_none_or(|at| at > now)
    }
}

/// A page of the users of an app who are muted at `now`, in the order of muting.
///
/// # Errors
/// The store is unavailable.
pub async fn page(
    store: &ReadStore,
    app: &AppId,
    now: DateTime<Utc>,
    page: NumberedPage,
) -> Result<Vec<SubjectRef>, Error> {
    let (limit, skip) = page.bounds();
    store.rows(page_of_app, &[app.into(), now.into(), limit, skip], |row| Ok(SubjectRef(row.id(0)?))).await
}

/// A page of the mutes of an app that run at `now`, in the order of muting; their places are their `muted_position`.
///
/// # Errors
/// The store is unavailable.
pub async fn listed(
    store: &ReadStore,
    app: &AppId,
    now: DateTime<Utc>,
    seek: impl Into<Seek<u64>>,
    size: u32,
) -> Result<Vec<Mute>, Error> {
    let params = |place: u64| [app.into(), place.into(), now.into(), paging::limit(size)];
    paging::seek(store, seek.into(), [later_than, up_to], 0, params, Mute::read).await
}

/// How many users of an app are muted at `now`.
///
/// # Errors
/// The store is unavailable.
pub async fn total(store: &ReadStore, app: &AppId, now: DateTime<Utc>) -> Result<u64, Error> {
    Ok(store.row(count_of_app, &[app.into(), now.into()], |row| row.number(0)).await?.unwrap_or(0))
}

/// The mutes of those users, be their time over or not, in the order asked; `None`: it is not muted.
///
/// # Errors
/// The store is unavailable.
pub async fn of_subjects(store: &ReadStore, subjects: &[SubjectRef]) -> Result<Vec<Option<Mute>>, Error> {
    let asked = subjects.iter().map(|subject| [(*subject).into()]);
    let found = store.rows_of_each(of_subject, asked, Mute::read).await?;
    Ok(found.into_iter().map(|mut rows| rows.pop()).collect())
}

/// The mute of a user, be its time over or not.
///
/// # Errors
/// The store is unavailable.
pub async fn of(store: &ReadStore, subject: SubjectRef) -> Result<Option<Mute>, Error> {
    store.row(of_subject, &[subject.into()], Mute::read).await
}

/// Mutes of any app whose time is over and that are not recorded as ended, the first that ended first.
///
/// # Errors
/// The store is unavailable.
pub async fn due(store: &ReadStore, now: DateTime<Utc>, limit: u32) -> Result<Vec<Mute>, Error> {
    store.rows(ended_by, &[now.into(), paging::limit(limit)], Mute::read).await
}
