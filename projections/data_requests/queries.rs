//! What can be asked of the register.

use chrono::{DateTime, TimeDelta, Utc};
use rollcall_schemas::ids::{AppId, DataRequestId, SubjectRef};
use rollcall_schemas::plain::DataRequestKind;
use rollcall_schemas::words;

use crate::store::{Error, ReadStore, Row};
use crate::{Seek, Value, paging, queries};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT request, subject, kind, received_position, received_at, due_at, status, closed_at FROM data_requests_v1 ",
            $rest
        )
    };
}

queries! {
    by_request: coalesced = select!("WHERE request = $1 AND app = $2");
    latest = select!("WHERE app = $1 AND received_position < $2 ORDER BY received_position DESC LIMIT $3");
    later = select!("WHERE app = $1 AND received_position >= $2 ORDER BY received_position LIMIT $3");
    open_until = select!("WHERE app = $1 AND is_open = 1 AND due_at < $2 AND (due_at, received_position) > ($3, $4)
        ORDER BY due_at, received_position LIMIT $5");
    open_up_to = select!("WHERE app = $1 AND is_open = 1 AND (due_at, received_position) <= ($2, $3)
        ORDER BY due_at DESC, received_position DESC LIMIT $4");
}

words! {
    /// How far a request has come.
    Status {
        /// It waits for its answer.
        Received = "received",
        /// It waits, and there is more time.
        Extended = "extended",
        /// It was done.
        Answered = "answered",
        /// It was not done.
        Refused = "refused",
    }
}

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataRequest {
    /// Which.
    pub request: DataRequestId,
    /// Whose data.
    pub subject: SubjectRef,
    /// What is asked.
    pub kind: DataRequestKind,
    /// Where it was recorded.
    pub received_position: u64,
    /// When.
    pub received_at: DateTime<Utc>,
    /// By when it has to be answered.
    pub due_at: DateTime<Utc>,
    /// How far it has come.
    pub status: Status,
    /// When it was answered or refused.
    pub closed_at: Option<DateTime<Utc>>,
}

impl DataRequest {
    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        Ok(Self {
            request: DataRequestId(row.id(0)?),
            subject: SubjectRef(row.id(1)?),
            kind: row.word(2)?,
            received_position: row.number(3)?,
            received_at: row.instant(4)?,
            due_at: row.instant(5)?,
            status: row.word(6)?,
            closed_at: row.optional_instant(7)?,
        })
    }
}

/// One request of an app.
///
/// # Errors
/// The store is unavailable.
pub async fn by_id(store: &ReadStore, app: &AppId, request: DataRequestId) -> Result<Option<DataRequest>, Error> {
    store.row(by_request, &[request.into(), app.into()], DataRequest::read).await
}

/// A page of the requests of an app, the latest first; their places are their `received_position`.
///
/// # Errors
/// The store is unavailable.
pub async fn page(
    store: &ReadStore,
    app: &AppId,
    seek: impl Into<Seek<u64>>,
    limit: u32,
) -> Result<Vec<DataRequest>, Error> {
    let params = |place: u64| [app.into(), place.into(), paging::limit(limit)];
    paging::seek(store, seek.into(), [latest, later], u64::MAX, params, DataRequest::read).await
}

/// Place of an open request in the order of [`due_before`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DueCursor {
    /// By when it has to be answered.
    pub due_at: DateTime<Utc>,
    /// Where it was recorded: tells those apart that are due at the same time.
    pub received_position: u64,
}

/// A page of the open requests of an app that are due before a time, the first to be due first.
///
/// # Errors
/// The store is unavailable.
pub async fn due_before(
    store: &ReadStore,
    app: &AppId,
    time: DateTime<Utc>,
    seek: impl Into<Seek<DueCursor>>,
    limit: u32,
) -> Result<Vec<DataRequest>, Error> {
    let limit = paging::limit(limit);
    match seek.into() {
        Seek::After(place) => {
            let first: [Value; 2] = [i64::MIN.into(), 0_u64.into()];
            let [due_at, position] = place.map_or(first, |place| [place.due_at.into(), place.received_position.into()]);
            store.rows(open_until, &[app.into(), time.into(), due_at, position, limit], DataRequest::read).await
        }
        Seek::UpTo(place) => {
            // The nearer of the two bounds: with both, the index is not always entered there.
            let last = DueCursor { due_at: time - TimeDelta::milliseconds(1), received_position: u64::MAX };
            let DueCursor { due_at, received_position } = place.min(last);
            let params = [app.into(), due_at.into(), received_position.into(), limit];
            let mut rows = store.rows(open_up_to, &params, DataRequest::read).await?;
            rows.reverse();
            Ok(rows)
        }
    }
}
