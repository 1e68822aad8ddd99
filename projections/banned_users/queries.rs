//! What can be asked about bans.

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::personal::Class;
use rollcall_schemas::words;
use uuid::Uuid;

use crate::store::{Error, ReadStore, Row};
use crate::{NumberedPage, Query, Seek, Value, paging, queries};

/// The end of a ban that has none: 9999-12-31T23:59:59.999Z, behind every other one.
pub(super) const NEVER: i64 = 253_402_300_799_999;

/// Whole rows for a page of an index. What is skipped is stepped over in the index alone; what is not in it is looked up for
/// each row of the page: a join may be planned so that it reads the whole table.
macro_rules! whole {
    ($page:literal, $order:literal) => {
        concat!(
            "SELECT page.subject, page.app,
                (SELECT b.banned_at FROM banned_users_v4 AS b WHERE b.subject = page.subject), page.starts_at, page.until_at,
                (SELECT b.reason FROM banned_users_v4 AS b WHERE b.subject = page.subject),
                (SELECT b.note FROM banned_users_v4 AS b WHERE b.subject = page.subject),
                (SELECT b.actor FROM banned_users_v4 AS b WHERE b.subject = page.subject),
                (SELECT b.correlation FROM banned_users_v4 AS b WHERE b.subject = page.subject),
                (SELECT b.set_at FROM banned_users_v4 AS b WHERE b.subject = page.subject),
                (SELECT b.imposed_position FROM banned_users_v4 AS b WHERE b.subject = page.subject)
            FROM (", $page, ") AS page ORDER BY ", $order
        )
    };
}

queries! {
    words_about: coalesced = "SELECT count(reason) + count(note) FROM banned_users_v4 WHERE subject = $1";
    ended_words_about: coalesced = "SELECT count(reason) + count(note) FROM banned_users_ended_v4 WHERE subject = $1";
    page_of_app = whole!(
        "SELECT subject, app, starts_at, until_at FROM banned_users_v4
            WHERE app = $1 AND until_at > $2 AND starts_at <= $2
            ORDER BY until_at DESC, subject DESC LIMIT $3 OFFSET $4",
        "page.until_at DESC, page.subject DESC"
    );
    earlier_end = whole!(
        "SELECT subject, app, starts_at, until_at FROM banned_users_v4
            WHERE app = $1 AND until_at > $2 AND starts_at <= $2 AND (until_at, subject) < ($3, $4)
            ORDER BY until_at DESC, subject DESC LIMIT $5",
        "page.until_at DESC, page.subject DESC"
    );
    later_end = whole!(
        "SELECT subject, app, starts_at, until_at FROM banned_users_v4
            WHERE app = $1 AND starts_at <= $2 AND (until_at, subject) >= ($3, $4)
            ORDER BY until_at, subject LIMIT $5",
        "page.until_at, page.subject"
    );
    later_start = whole!(
        "SELECT subject, app, begins_at AS starts_at, until_at FROM banned_users_v4
            WHERE app = $1 AND begins_at > $2 AND (begins_at, subject) > ($3, $4)
            ORDER BY begins_at, subject LIMIT $5",
        "page.starts_at, page.subject"
    );
    earlier_start = whole!(
        "SELECT subject, app, begins_at AS starts_at, until_at FROM banned_users_v4
            WHERE app = $1 AND begins_at > $2 AND (begins_at, subject) <= ($3, $4)
            ORDER BY begins_at DESC, subject DESC LIMIT $5",
        "page.starts_at DESC, page.subject DESC"
    );
    of_subject: coalesced = "SELECT subject, app, banned_at, starts_at, until_at, reason, note, actor, correlation, set_at,
            imposed_position
        FROM banned_users_v4 WHERE subject = $1";
    acting_at = "SELECT subject, app, banned_at, starts_at, until_at, reason, note, actor, correlation, set_at,
            imposed_position
        FROM banned_users_v4 WHERE acts_at <= $1 ORDER BY acts_at LIMIT $2";
    ended_of_subject = "SELECT subject, app, banned_at, starts_at, until_at, reason, note, actor, correlation, set_at,
            imposed_position, ended_at, ended_by, ending, ended_position
        FROM banned_users_ended_v4 WHERE subject = $1 AND imposed_position < $2 ORDER BY imposed_position DESC LIMIT $3";
    ended_of_subject_up_to = "SELECT subject, app, banned_at, starts_at, until_at, reason, note, actor, correlation, set_at,
            imposed_position, ended_at, ended_by, ending, ended_position
        FROM banned_users_ended_v4 WHERE subject = $1 AND imposed_position >= $2 ORDER BY imposed_position LIMIT $3";
    ended_of_app = "SELECT subject, app, banned_at, starts_at, until_at, reason, note, actor, correlation, set_at,
            imposed_position, ended_at, ended_by, ending, ended_position
        FROM banned_users_ended_v4 WHERE app = $1 AND ended_position < $2 ORDER BY ended_position DESC LIMIT $3";
    ended_of_app_up_to = "SELECT subject, app, banned_at, starts_at, until_at, reason, note, actor, correlation, set_at,
            imposed_position, ended_at, ended_by, ending, ended_position
        FROM banned_users_ended_v4 WHERE app = $1 AND ended_position >= $2 ORDER BY ended_position LIMIT $3";
}

/// Values about a subject that are still there, by class.
pub(super) const REMAINS: &[(Class, Query)] =
    &[(Class::Moderation, words_about), (Class::Moderation, ended_words_about)];

words! {
    /// How a ban ended.
    Ending {
        /// Its time was over.
        Expired = "expired",
        /// Somebody lifted it.
        Lifted = "lifted",
        /// Another ban took its place.
        Replaced = "replaced",
        /// It was called off before it began.
        Cancelled = "cancelled",
    }
}

/// What became of a ban.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct End {
    /// When it ended.
    pub at: DateTime<Utc>,
    /// Who ended it, as [`rollcall_schemas::envelope::Actor`] writes itself.
    pub by: String,
    /// How.
    pub ending: Ending,
    /// Position of the event that says so.
    pub position: u64,
}

/// One ban.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ban {
    /// Who is banned.
    pub subject: SubjectRef,
    /// In which app.
    pub app: AppId,
    /// Since when without a break.
    pub banned_at: DateTime<Utc>,
    /// When this ban begins.
    pub starts_at: DateTime<Utc>,
    /// When it ends by itself; `None`: never.
    pub ends_at: Option<DateTime<Utc>>,
    /// Why, sealed; `None` when there is none or it was erased.
    pub reason: Option<Vec<u8>>,
    /// What moderators tell each other, sealed.
    pub note: Option<Vec<u8>>,
    /// Who banned, as [`rollcall_schemas::envelope::Actor`] writes itself.
    pub actor: String,
    /// The request in which that was.
    pub correlation: Uuid,
    /// When that was recorded.
    pub set_at: DateTime<Utc>,
    /// Position of the event that set this ban.
    pub imposed_position: u64,
    /// What became of it; `None`: nobody ended it, and no event says that its time is over.
    pub end: Option<End>,
}

impl Ban {
    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        let until = row.instant(4)?;
        Ok(Self {
            subject: SubjectRef(row.id(0)?),
            app: row.parsed(1)?,
            banned_at: row.instant(2)?,
            starts_at: row.instant(3)?,
            ends_at: Some(until).filter(|until| until.timestamp_millis() < NEVER),
            reason: row.optional_bytes(5)?,
            note: row.optional_bytes(6)?,
            actor: row.text(7)?.into(),
            correlation: row.id(8)?,
            set_at: row.instant(9)?,
            imposed_position: row.number(10)?,
            end: None,
        })
    }

    fn read_ended(row: &Row<'_, '_>) -> Result<Self, Error> {
        let (at, by) = (row.instant(11)?, row.text(12)?.into());
        let end = End { at, by, ending: row.word(13)?, position: row.number(14)? };
        Ok(Self { end: Some(end), ..Self::read(row)? })
    }

    /// Whether it has begun and not ended at a time.
    #[must_use]
    pub fn runs_at(&self, now: DateTime<Utc>) -> bool {
        self.end.is_none() && self.starts_at <= now && self.ends_at.is_none_or(|at| at > now)
    }

    /// Its end; a far day for one that has none.
    #[must_use]
    pub fn until(&self) -> DateTime<Utc> {
        self.ends_at.or(DateTime::from_timestamp_millis(NEVER)).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

/// A page of the bans of an app that run, the latest end first.
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

/// A place in the order of [`running`] or [`scheduled`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BanCursor {
    /// When the ban there ends, or begins.
    pub at: DateTime<Utc>,
    /// Who is banned.
    pub subject: SubjectRef,
}

fn of_app(app: &AppId, now: DateTime<Utc>, place: BanCursor, size: u32) -> [Value; 5] {
    [app.into(), now.into(), place.at.into(), place.subject.into(), paging::limit(size)]
}

/// A page of the bans of an app that run, the latest end first.
///
/// # Errors
/// The store is unavailable.
pub async fn running(
    store: &ReadStore,
    app: &AppId,
    now: DateTime<Utc>,
    seek: impl Into<Seek<BanCursor>>,
    size: u32,
) -> Result<Vec<Ban>, Error> {
    let first = BanCursor { at: DateTime::<Utc>::MAX_UTC, subject: SubjectRef(Uuid::max()) };
    // What ended meanwhile is left out here: of two bounds on the same side an index is not always entered at the nearer one.
    let soonest = BanCursor { at: now + TimeDelta::milliseconds(1), subject: SubjectRef(Uuid::nil()) };
    let seek = match seek.into() {
        Seek::UpTo(place) if place.at <= now => Seek::UpTo(soonest),
        seek => seek,
    };
    let params = |place| of_app(app, now, place, size);
    paging::seek(store, seek, [earlier_end, later_end], first, params, Ban::read).await
}

/// A page of the bans of an app that are to begin, the earliest start first.
///
/// # Errors
/// The store is unavailable.
pub async fn scheduled(
    store: &ReadStore,
    app: &AppId,
    now: DateTime<Utc>,
    seek: impl Into<Seek<BanCursor>>,
    size: u32,
) -> Result<Vec<Ban>, Error> {
    let first = BanCursor { at: now, subject: SubjectRef(Uuid::max()) };
    let params = |place| of_app(app, now, place, size);
    paging::seek(store, seek.into(), [later_start, earlier_start], first, params, Ban::read).await
}

/// A page of the bans of an app that ended, the one that ended last first; their places are the positions of their ends.
///
/// # Errors
/// The store is unavailable.
pub async fn ended(store: &ReadStore, app: &AppId, seek: impl Into<Seek<u64>>, size: u32) -> Result<Vec<Ban>, Error> {
    let params = |place: u64| [app.into(), place.into(), paging::limit(size)];
    paging::seek(store, seek.into(), [ended_of_app, ended_of_app_up_to], u64::MAX, params, Ban::read_ended).await
}

/// A page of the bans of a user that ended, the one that was set last first; their places are their `imposed_position`.
///
/// # Errors
/// The store is unavailable.
pub async fn history(
    store: &ReadStore,
    subject: SubjectRef,
    seek: impl Into<Seek<u64>>,
    size: u32,
) -> Result<Vec<Ban>, Error> {
    let params = |place: u64| [subject.into(), place.into(), paging::limit(size)];
    let statements = [ended_of_subject, ended_of_subject_up_to];
    paging::seek(store, seek.into(), statements, u64::MAX, params, Ban::read_ended).await
}

/// The ban of a user, be it running, to come or over.
///
/// # Errors
/// The store is unavailable.
pub async fn of(store: &ReadStore, subject: SubjectRef) -> Result<Option<Ban>, Error> {
    store.row(of_subject, &[subject.into()], Ban::read).await
}

/// The bans of those users, be they running, to come or over, in the order asked.
///
/// # Errors
/// The store is unavailable.
pub async fn of_subjects(store: &ReadStore, subjects: &[SubjectRef]) -> Result<Vec<Option<Ban>>, Error> {
    let asked = subjects.iter().map(|subject| [(*subject).into()]);
    let found = store.rows_of_each(of_subject, asked, Ban::read).await?;
    Ok(found.into_iter().map(|mut rows| rows.pop()).collect())
}

/// Bans of any app whose start or end has come and is not recorded, the earliest first: what the sweeper has to record.
///
/// # Errors
/// The store is unavailable.
pub async fn due(store: &ReadStore, now: DateTime<Utc>, limit: u32) -> Result<Vec<Ban>, Error> {
    store.rows(acting_at, &[now.into(), paging::limit(limit)], Ban::read).await
}
