//! What can be asked of the ledger.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, ErasureId, OperationId, SubjectRef};
use rollcall_schemas::plain::{LegalBasis, ReportStatus, Requester, Scope};
use rollcall_schemas::words;

use crate::store::{Error, ReadStore, Row};
use crate::{paging, queries};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT erasure, app, subject, scope, operation, requested_position, requested_at, due_at, basis, requester,
                step, step_at, waits_until, held, begun_at, scrubbed_at, finalised_at, report_position, report_status, notified_at,
                fenced_at
             FROM erasure_ledger_v1 ",
            $rest
        )
    };
}

queries! {
    to_do = select!("WHERE ended = 0 AND held = 0 AND waits_until <= $1 ORDER BY waits_until, requested_position LIMIT $2");
    of_subject = select!("WHERE subject = $1 ORDER BY requested_position DESC LIMIT $2");
    by_operation = select!("WHERE operation = $1 AND app = $2 ORDER BY requested_position LIMIT $3");
    by_erasure: coalesced = select!("WHERE erasure = $1 AND app = $2");
    latest = select!("WHERE app = $1 AND requested_position < $2 ORDER BY requested_position DESC LIMIT $3");
    drills = select!("WHERE app = $1 AND requester = 'drill' ORDER BY requested_position DESC LIMIT $2");
    not_told = select!("WHERE app = $1 AND notified_at IS NULL AND finalised_at >= $2 ORDER BY finalised_at LIMIT $3");
    in_time = select!("WHERE app = $1 AND requested_position > $2 AND requested_at >= $3 AND requested_at < $4
        ORDER BY requested_position LIMIT $5");
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
    /// Whether nothing is left to do.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        matches!(self.step, Step::Cancelled | Step::Finalised)
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

/// The erasures of any app that can go on now, the longest waiting first.
///
/// # Errors
/// The store is unavailable.
pub async fn due(store: &ReadStore, now: DateTime<Utc>, limit: u32) -> Result<Vec<Erasure>, Error> {
    store.rows(to_do, &[now.into(), paging::limit(limit)], Erasure::read).await
}

/// The erasures of an app that came to their end at a time or later and of which it was not told, the first to end first.
///
/// # Errors
/// The store is unavailable.
pub async fn untold(store: &ReadStore, app: &AppId, since: DateTime<Utc>, limit: u32) -> Result<Vec<Erasure>, Error> {
    store.rows(not_told, &[app.into(), since.into(), paging::limit(limit)], Erasure::read).await
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
    let params = [operation.0.as_str().into(), app.into(), paging::limit(limit)];
    store.rows(by_operation, &params, Erasure::read).await
}

/// One erasure of an app.
///
/// # Errors
/// The store is unavailable.
pub async fn by_id(store: &ReadStore, app: &AppId, erasure: ErasureId) -> Result<Option<Erasure>, Error> {
    store.row(by_erasure, &[erasure.into(), app.into()], Erasure::read).await
}

/// The erasures of an app, the latest first; `before`: the position of the last one of the page before.
///
/// # Errors
/// The store is unavailable.
pub async fn page(store: &ReadStore, app: &AppId, before: Option<u64>, limit: u32) -> Result<Vec<Erasure>, Error> {
    let params = [app.into(), before.unwrap_or(u64::MAX).into(), paging::limit(limit)];
    store.rows(latest, &params, Erasure::read).await
}

/// The latest drill of an app.
///
/// # Errors
/// The store is unavailable.
pub async fn latest_drill(store: &ReadStore, app: &AppId) -> Result<Option<Erasure>, Error> {
    store.row(drills, &[app.into(), paging::limit(1)], Erasure::read).await
}

/// The erasures of an app that were requested from one time to before another, the earliest first; `after`: the
/// position of the last one of the page before.
///
/// # Errors
/// The store is unavailable.
pub async fn requested_between(
    store: &ReadStore,
    app: &AppId,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
    after: u64,
    limit: u32,
) -> Result<Vec<Erasure>, Error> {
    let params = [app.into(), after.into(), from.into(), to.into(), paging::limit(limit)];
    store.rows(in_time, &params, Erasure::read).await
}
