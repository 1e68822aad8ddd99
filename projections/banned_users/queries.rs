//! What can be asked about bans.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::personal::Class;

use crate::store::{Error, ReadStore, Row};
use crate::{NumberedPage, Query, paging, queries};

queries! {
    reasons_about: coalesced = "SELECT count(reason) FROM banned_users_v3 WHERE subject = $1";
    // What is skipped is stepped over in the index alone. What is not in it is looked up for each row of the page: a join may
    // be planned so that it reads the whole table.
    page_of_app = "SELECT page.subject, page.app,
            (SELECT b.banned_at FROM banned_users_v3 AS b WHERE b.subject = page.subject), page.until_at,
            (SELECT b.reason FROM banned_users_v3 AS b WHERE b.subject = page.subject),
            (SELECT b.imposed_position FROM banned_users_v3 AS b WHERE b.subject = page.subject)
        FROM (SELECT subject, app, until_at FROM banned_users_v3 WHERE app = $1 AND until_at > $2
            ORDER BY until_at DESC, subject DESC LIMIT $3 OFFSET $4) AS page
        ORDER BY page.until_at DESC, page.subject DESC";
    earlier_end = "SELECT page.subject, page.app,
            (SELECT b.banned_at FROM banned_users_v3 AS b WHERE b.subject = page.subject), page.until_at,
            (SELECT b.reason FROM banned_users_v3 AS b WHERE b.subject = page.subject),
            (SELECT b.imposed_position FROM banned_users_v3 AS b WHERE b.subject = page.subject)
        FROM (SELECT subject, app, until_at FROM banned_users_v3 WHERE app = $1 AND until_at > $2
            AND (until_at, subject) < ($3, $4) ORDER BY until_at DESC, subject DESC LIMIT $5) AS page
        ORDER BY page.until_at DESC, page.subject DESC";
    of_subject: coalesced = "SELECT subject, app, banned_at, until_at, reason, imposed_position FROM banned_users_v3
        WHERE subject = $1";
    over_at = "SELECT subject, app, banned_at, until_at, reason, imposed_position FROM banned_users_v3
        WHERE until_at <= $1 ORDER BY until_at LIMIT $2";
}

/// Values about a subject that are still there, by class.
pub(super) const REMAINS: &[(Class, Query)] = &[(Class::Moderation, reasons_about)];

/// One ban.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// Who is banned.
    pub subject: SubjectRef,
    /// In which app.
    pub app: AppId,
    /// Since when.
    pub banned_at: DateTime<Utc>,
    /// When the ban ends by itself.
    pub until: DateTime<Utc>,
    /// Why, sealed; `None` when there is none or it was erased.
    pub reason: Option<Vec<u8>>,
    /// Position of the event that set this end.
    pub imposed_position: u64,
}

impl Ban {
    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        Ok(Self {
            subject: SubjectRef(row.id(0)?),
            app: row.parsed(1)?,
            banned_at: row.instant(2)?,
            until: row.instant(3)?,
            reason: row.optional_bytes(4)?,
            imposed_position: row.number(5)?,
        })
    }
}

/// A page of the bans of an app that end after `now`, the latest end first.
///
/// # Errors
/// The store is unavailable.
pub async fn banned_until(
    store: &ReadStore,
    app: &AppId,
    now: DateTime<Utc>,
    page: NumberedPage,
) -> Result<Vec<Ban>, Error> {
    let (limit, skip) = page.bounds();
    store.rows(page_of_app, &[app.into(), now.into(), limit, skip], Ban::read).await
}

/// Where a page of [`running`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BanCursor {
    /// When its last ban ends.
    pub until: DateTime<Utc>,
    /// Who is banned.
    pub subject: SubjectRef,
}

/// The bans of an app that end after `now` and come after `cursor`, the latest end first.
///
/// # Errors
/// The store is unavailable.
pub async fn running(
    store: &ReadStore,
    app: &AppId,
    now: DateTime<Utc>,
    cursor: Option<BanCursor>,
    size: u32,
) -> Result<Vec<Ban>, Error> {
    let first = BanCursor { until: DateTime::<Utc>::MAX_UTC, subject: SubjectRef(uuid::Uuid::max()) };
    let BanCursor { until, subject } = cursor.unwrap_or(first);
    let params = [app.into(), now.into(), until.into(), subject.into(), paging::limit(size)];
    store.rows(earlier_end, &params, Ban::read).await
}

/// The ban of a user, be it over or not.
///
/// # Errors
/// The store is unavailable.
pub async fn of(store: &ReadStore, subject: SubjectRef) -> Result<Option<Ban>, Error> {
    store.row(of_subject, &[subject.into()], Ban::read).await
}

/// The bans of those users, be they over or not, in the order asked.
///
/// # Errors
/// The store is unavailable.
pub async fn of_subjects(store: &ReadStore, subjects: &[SubjectRef]) -> Result<Vec<Option<Ban>>, Error> {
    let asked = subjects.iter().map(|subject| [(*subject).into()]);
    let found = store.rows_of_each(of_subject, asked, Ban::read).await?;
    Ok(found.into_iter().map(|mut rows| rows.pop()).collect())
}

/// Bans of any app whose end has come, the earliest end first: what the sweeper has to record as expired.
///
/// # Errors
/// The store is unavailable.
pub async fn due(store: &ReadStore, now: DateTime<Utc>, limit: u32) -> Result<Vec<Ban>, Error> {
    store.rows(over_at, &[now.into(), paging::limit(limit)], Ban::read).await
}
