//! What can be asked of the ledger.

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_schemas::ids::{AppId, ErasureId, OperationId, SubjectRef};
use rollcall_schemas::plain::{LegalBasis, ReportStatus, Requester, Scope};
use rollcall_schemas::words;

use crate::store::{Error, ReadStore, Row};
use crate::{Seek, Value, paging, queries};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT erasure, app, subject, scope, operation, requested_position, requested_at, due_at, basis, requester,
                step, step_at, waits_until, held, begun_at, scrubbed_at, finalised_at, report_position, report_status, notified_at,
                fenced_at
             FROM erasure_ledger_v2 ",
            $rest
        )
    };
}

/// Of the erasures that people asked for within a time: how many milliseconds after the request half of them, 95 and 99 of
/// 100 had come to a step. Each is a duration that one of them took.
macro_rules! quantiles {
    ($step_at:literal) => {
        concat!(
            "SELECT MAX(CASE WHEN place = (total * 50 + 99) / 100 THEN took END),
                MAX(CASE WHEN place = (total * 95 + 99) / 100 THEN took END),
                MAX(CASE WHEN place = (total * 99 + 99) / 100 THEN took END)
             FROM (SELECT ",
            $step_at,
            " - requested_at AS took, ROW_NUMBER() OVER (ORDER BY ",
            $step_at,
            " - requested_at) AS place, COUNT(*) OVER () AS total
                FROM erasure_ledger_v2
                WHERE app = $1 AND requested_at >= $2 AND requested_at < $3 AND requester <> 'drill' AND ",
            $step_at,
            " IS NOT NULL) AS ranked"
        )
    };
}

queries! {
    to_do = select!("WHERE ended = 0 AND held = 0 AND waits_until <= $1 AND waits_until >= $2
        AND (waits_until > $2 OR requested_position > $3) ORDER BY waits_until, requested_position LIMIT $4");
    of_subject = select!("WHERE subject = $1 ORDER BY requested_position DESC LIMIT $2");
    by_operation = select!("WHERE app = $1 AND operation = $2 ORDER BY requested_position LIMIT $3");
    by_erasure: coalesced = select!("WHERE erasure = $1 AND app = $2");
    latest = select!("WHERE app = $1 AND requested_position < $2 ORDER BY requested_position DESC LIMIT $3");
    later = select!("WHERE app = $1 AND requested_position >= $2 ORDER BY requested_position LIMIT $3");
    drills = select!("WHERE app = $1 AND requester = 'drill' ORDER BY requested_position DESC LIMIT $2");
    not_told = select!("WHERE app = $1 AND notified_at IS NULL AND finalised_at >= $2
        AND (finalised_at > $2 OR requested_position > $3) ORDER BY finalised_at, requested_position LIMIT $4");
    tallied: coalesced = "SELECT scope, step, basis, held, COUNT(*), COUNT(CASE WHEN due_at < $1 THEN 1 END) AS overdue, COUNT(notified_at),
            COUNT(CASE WHEN ended = 0 AND held = 0 AND step_at < $2 AND waits_until < $2 THEN 1 END) AS stuck
        FROM erasure_ledger_v2
        WHERE app = $3 AND requested_at >= $4 AND requested_at < $5 AND requester <> 'drill'
        GROUP BY scope, step, basis, held";
    to_fenced = quantiles!("fenced_at");
    to_scrubbed = quantiles!("scrubbed_at");
    to_finalised = quantiles!("finalised_at");
    open_tallied = "SELECT step, COUNT(*), MIN(requested_at) FROM erasure_ledger_v2 WHERE ended = 0 GROUP BY step";
    counted_since: coalesced = "SELECT COUNT(*), MIN(requested_at) FROM erasure_ledger_v2 WHERE app = $1 AND requested_at > $2";
}

words! {
    /// How far an erasure has come.
    #[derive(PartialOrd, Ord)]
    Step {
        /// The subject is fenced; it may still be called off, or waits for a legal hold.
        Requested = "requested",
        /// It was called off.
        Cancelled = "cancelled",
        /// It can no longer be called off.
        Begun = "begun",
        /// Friendships, requests and own lists have ended.
        RelationsEnded = "relations_ended",
        /// The keys are destroyed.
        Scrubbed = "scrubbed",
        /// No read model holds anything of it.
        ReadModelsScrubbed = "read_models_scrubbed",
        /// It was tried to read what is erased.
        Verified = "verified",
        /// The report is issued.
        Reported = "reported",
        /// Every step is done.
        Finalised = "finalised",
    }
}

impl Step {
    /// Whether nothing is left to do behind it.
    #[must_use]
    pub fn is_end(self) -> bool {
        matches!(self, Self::Cancelled | Self::Finalised)
    }
}

/// An erasure whose next step takes longer than this is stuck: each takes a fraction of a second.
const STUCK_AFTER: TimeDelta = TimeDelta::minutes(5);

/// One erasure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// Which.
    pub erasure: ErasureId,
    /// Of which app.
    pub app: AppId,
    /// Whose data.
    pub subject: SubjectRef,
    /// How far it goes.
    pub scope: Scope,
    /// What the caller was told.
    pub operation: OperationId,
    /// Where it was requested.
    pub requested_position: u64,
    /// When it was requested.
    pub requested_at: DateTime<Utc>,
    /// By when it has to be done.
    pub due_at: DateTime<Utc>,
    /// On what ground.
    pub basis: LegalBasis,
    /// In whose name.
    pub requester: Requester,
    /// The last step that was recorded.
    pub step: Step,
    /// When that was.
    pub step_at: DateTime<Utc>,
    /// Until when it can be called off.
    pub waits_until: DateTime<Utc>,
    /// Whether a legal hold keeps it from beginning.
    pub held: bool,
    /// From when no command about the person lands any more.
    pub fenced_at: Option<DateTime<Utc>>,
    /// When it began.
    pub begun_at: Option<DateTime<Utc>>,
    /// When the keys were destroyed.
    pub scrubbed_at: Option<DateTime<Utc>>,
    /// When every step was done.
    pub finalised_at: Option<DateTime<Utc>>,
    /// The newest report: its place in the log, and what it says.
    pub report: Option<(u64, ReportStatus)>,
    /// When the app acknowledged that it was told.
    pub notified_at: Option<DateTime<Utc>>,
}

impl Erasure {
    /// Since when it could go on and has not: from its last step, or from the end of its wait. `None`: it has ended, or a
    /// legal hold or its grace period keeps it, or it took a step within the last five minutes.
    #[must_use]
    pub fn stuck_since(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let since = self.step_at.max(self.waits_until);
        (!self.is_ended() && !self.held && now - since > STUCK_AFTER).then_some(since)
    }

    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.step.is_end()
    }

    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        let report = match row.optional_number(17)? {
            None => None,
            Some(position) => Some((position, row.word(18)?)),
        };
        Ok(Self {
            erasure: ErasureId(row.id(0)?),
            app: row.parsed(1)?,
            subject: SubjectRef(row.id(2)?),
            scope: row.word(3)?,
            operation: OperationId(row.text(4)?.into()),
            requested_position: row.number(5)?,
            requested_at: row.instant(6)?,
            due_at: row.instant(7)?,
            basis: row.word(8)?,
            requester: row.word(9)?,
            step: row.word(10)?,
            step_at: row.instant(11)?,
            waits_until: row.instant(12)?,
            held: row.flag(13)?,
            begun_at: row.optional_instant(14)?,
            scrubbed_at: row.optional_instant(15)?,
            finalised_at: row.optional_instant(16)?,
            report,
            notified_at: row.optional_instant(19)?,
            fenced_at: row.optional_instant(20)?,
        })
    }
}

/// The erasures of any app that can go on now, the longest waiting first, behind a cursor: [`Erasure::waits_until`] and
/// [`Erasure::requested_position`] of the last one of the page before; `None`: from the first.
///
/// # Errors
/// The store is unavailable.
pub async fn due(
    store: &ReadStore,
    now: DateTime<Utc>,
    cursor: Option<(DateTime<Utc>, u64)>,
    limit: u32,
) -> Result<Vec<Erasure>, Error> {
    let (waits_until, position) = cursor.unwrap_or((DateTime::UNIX_EPOCH, 0));
    let params = [now.into(), waits_until.into(), position.into(), paging::limit(limit)];
    store.rows(to_do, &params, Erasure::read).await
}

/// The erasures of an app that have ended and of which it was not told, the first to end first, behind a cursor: when the
/// last one of the page before ended, and its [`Erasure::requested_position`]. A position of 0 includes all that ended
/// at that time.
///
/// # Errors
/// The store is unavailable.
pub async fn untold(
    store: &ReadStore,
    app: &AppId,
    (ended_at, position): (DateTime<Utc>, u64),
    limit: u32,
) -> Result<Vec<Erasure>, Error> {
    let params = [app.into(), ended_at.into(), position.into(), paging::limit(limit)];
    store.rows(not_told, &params, Erasure::read).await
}

/// The erasures of a subject, the newest first.
///
/// # Errors
/// The store is unavailable.
pub async fn of(store: &ReadStore, subject: SubjectRef, limit: u32) -> Result<Vec<Erasure>, Error> {
    store.rows(of_subject, &[subject.into(), paging::limit(limit)], Erasure::read).await
}

/// The erasures of one operation of an app.
///
/// # Errors
/// The store is unavailable.
pub async fn of_operation(
    store: &ReadStore,
    app: &AppId,
    operation: &OperationId,
    limit: u32,
) -> Result<Vec<Erasure>, Error> {
    let params = [app.into(), operation.0.as_str().into(), paging::limit(limit)];
    store.rows(by_operation, &params, Erasure::read).await
}

/// One erasure of an app.
///
/// # Errors
/// The store is unavailable.
pub async fn by_id(store: &ReadStore, app: &AppId, erasure: ErasureId) -> Result<Option<Erasure>, Error> {
    store.row(by_erasure, &[erasure.into(), app.into()], Erasure::read).await
}

/// Those erasures of an app, in the order asked; `None`: there is none of that id.
///
/// # Errors
/// The store is unavailable.
pub async fn by_ids(store: &ReadStore, app: &AppId, erasures: &[ErasureId]) -> Result<Vec<Option<Erasure>>, Error> {
    let asked = erasures.iter().map(|erasure| [Value::from(*erasure), app.into()]);
    let found = store.rows_of_each(by_erasure, asked, Erasure::read).await?;
    Ok(found.into_iter().map(|mut rows| rows.pop()).collect())
}

/// A page of the erasures of an app, the latest first; their places are their `requested_position`.
///
/// # Errors
/// The store is unavailable.
pub async fn page(
    store: &ReadStore,
    app: &AppId,
    seek: impl Into<Seek<u64>>,
    limit: u32,
) -> Result<Vec<Erasure>, Error> {
    let params = |place: u64| [app.into(), place.into(), paging::limit(limit)];
    paging::seek(store, seek.into(), [latest, later], u64::MAX, params, Erasure::read).await
}

/// The latest drill of an app.
///
/// # Errors
/// The store is unavailable.
pub async fn latest_drill(store: &ReadStore, app: &AppId) -> Result<Option<Erasure>, Error> {
    store.row(drills, &[app.into(), paging::limit(1)], Erasure::read).await
}

/// Erasures that are alike in what is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// How far they go.
    pub scope: Scope,
    /// The last step that was recorded.
    pub step: Step,
    /// On what ground.
    pub basis: LegalBasis,
    /// Whether a legal hold keeps them from beginning.
    pub held: bool,
    /// How many there are.
    pub erasures: u32,
    /// How many of them were to be done by now, be they done or not.
    pub due: u32,
    /// Of how many of them the app acknowledged that it was told.
    pub notified: u32,
    /// How many of them could go on and have not; see [`Erasure::stuck_since`].
    pub stuck: u32,
}

impl Tally {
    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        Ok(Self {
            scope: row.word(0)?,
            step: row.word(1)?,
            basis: row.word(2)?,
            held: row.flag(3)?,
            erasures: row.number(4)?,
            due: row.number(5)?,
            notified: row.number(6)?,
            stuck: row.number(7)?,
        })
    }
}

/// Erasures of any app that have not ended and stand at the same step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Open {
    /// The last step that was recorded.
    pub step: Step,
    /// How many there are.
    pub erasures: u64,
    /// When the first of them was requested.
    pub first_requested_at: DateTime<Utc>,
}

impl Open {
    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        Ok(Self { step: row.word(0)?, erasures: row.number(1)?, first_requested_at: row.instant(2)? })
    }
}

/// Counts the erasures that have not ended, of all apps. Reads those alone.
///
/// # Errors
/// The store is unavailable.
pub async fn open_by_step(store: &ReadStore) -> Result<Vec<Open>, Error> {
    store.rows(open_tallied, &[], Open::read).await
}

/// How long something took after the request; zero where it has happened to none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quantiles {
    /// Half of them took at most that long.
    pub p50: TimeDelta,
    /// 95 of 100.
    pub p95: TimeDelta,
    /// 99 of 100.
    pub p99: TimeDelta,
}

impl Quantiles {
    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        let took = |column| row.optional_int(column).map(|ms| TimeDelta::milliseconds(ms.unwrap_or(0)));
        Ok(Self { p50: took(0)?, p95: took(1)?, p99: took(2)? })
    }
}

/// How long erasures took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Durations {
    /// Until no command about the person landed any more.
    pub to_fenced: Quantiles,
    /// Until the keys were destroyed.
    pub to_scrubbed: Quantiles,
    /// Until every step was done.
    pub to_finalised: Quantiles,
}

/// Counts the erasures of an app that were requested from one time to before another, drills left out, as of `now`.
///
/// # Errors
/// The store is unavailable.
pub async fn tally(
    store: &ReadStore,
    app: &AppId,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    now: DateTime<Utc>,
) -> Result<Vec<Tally>, Error> {
    let params = [now.into(), (now - STUCK_AFTER).into(), app.into(), from.into(), to.into()];
    store.rows(tallied, &params, Tally::read).await
}

/// How long those erasures took that [`tally`] counts.
///
/// # Errors
/// The store is unavailable.
pub async fn durations(
    store: &ReadStore,
    app: &AppId,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Durations, Error> {
    let params = [app.into(), from.into(), to.into()];
    let found = async |sql| store.row(sql, &params, Quantiles::read).await;
    Ok(Durations {
        to_fenced: found(to_fenced).await?.unwrap_or_default(),
        to_scrubbed: found(to_scrubbed).await?.unwrap_or_default(),
        to_finalised: found(to_finalised).await?.unwrap_or_default(),
    })
}

/// How many erasures of an app were requested after a time, drills too, and when the first of them was.
///
/// # Errors
/// The store is unavailable.
pub async fn requested_since(
    store: &ReadStore,
    app: &AppId,
    time: DateTime<Utc>,
) -> Result<Option<(u32, DateTime<Utc>)>, Error> {
    let read = |row: &Row<'_, '_>| {
        let count: u32 = row.number(0)?;
        Ok(row.optional_instant(1)?.map(|first| (count, first)))
    };
    Ok(store.row(counted_since, &[app.into(), time.into()], read).await?.flatten())
}
