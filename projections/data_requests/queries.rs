//! What can be asked of the register.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, DataRequestId, SubjectRef};
use rollcall_schemas::plain::DataRequestKind;
use rollcall_schemas::words;

use crate::store::{Error, ReadStore, Row};
use crate::{paging, queries};

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
    open_until = select!("WHERE app = $1 AND is_open = 1 AND due_at < $2 ORDER BY due_at, received_position LIMIT $3");
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

/// The requests of an app, the latest first; `before`: the position of the last one of the page before.
///
/// # Errors
/// The store is unavailable.
pub async fn page(store: &ReadStore, app: &AppId, before: Option<u64>, limit: u32) -> Result<Vec<DataRequest>, Error> {
    let params = [app.into(), before.unwrap_or(u64::MAX).into(), paging::limit(limit)];
    store.rows(latest, &params, DataRequest::read).await
}

/// The open requests of an app that are due before a time, the first to be due first.
///
/// # Errors
/// The store is unavailable.
pub async fn due_before(
    store: &ReadStore,
    app: &AppId,
    time: DateTime<Utc>,
    limit: u32,
) -> Result<Vec<DataRequest>, Error> {
    store.rows(open_until, &[app.into(), time.into(), paging::limit(limit)], DataRequest::read).await
}
