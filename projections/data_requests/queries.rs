//! What can be asked of the register.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, DataRequestId, SubjectRef};
use rollcall_schemas::plain::DataRequestKind;

use crate::store::{Error, ReadStore, Row};
use crate::{paging, statements, words};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT request, subject, kind, received_position, received_at, due_at, status, closed_at FROM data_requests_v1 ",
            $rest
        )
    };
}

statements! {
    by_request = select!("WHERE request = $1 AND app = $2");
    latest = select!("WHERE app = $1 AND received_position < $2 ORDER BY received_position DESC LIMIT $3");
    open_until = select!("WHERE app = $1 AND is_open = 1 AND due_at < $2 AND (due_at, received_position) > ($3, $4)
        ORDER BY due_at, received_position LIMIT $5");
}

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It waits for its answer.
    Received,
    /// It waits, and there is more time.
    Extended,
    /// It was done.
    Answered,
    /// It was not done.
    Refused,
}

impl Status {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Received => "received",
            Self::Extended => "extended",
            Self::Answered => "answered",
            Self::Refused => "refused",
        }
    }

    fn read(word: &str) -> Option<Self> {
        [Self::Received, Self::Extended, Self::Answered, Self::Refused].into_iter().find(|it| it.as_str() == word)
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
            kind: words::read_request_kind(row.text(2)?).ok_or(Error::Column(2))?,
            received_position: row.number(3)?,
            received_at: row.instant(4)?,
            due_at: row.instant(5)?,
            status: Status::read(row.text(6)?).ok_or(Error::Column(6))?,
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

/// Place of an open request in the order of [`due_before`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DueCursor {
    /// By when it has to be answered.
    pub due_at: DateTime<Utc>,
    /// Where it was recorded: tells those apart that are due at the same time.
    pub received_position: u64,
}

/// The open requests of an app that are due before a time, the first to be due first; `after`: the place of the last
/// one of the page before.
///
/// # Errors
/// The store is unavailable.
pub async fn due_before(
    store: &ReadStore,
    app: &AppId,
    time: DateTime<Utc>,
    after: Option<DueCursor>,
    limit: u32,
) -> Result<Vec<DataRequest>, Error> {
    let (due_at, position) = match after {
        None => (i64::MIN.into(), 0_u64.into()),
        Some(after) => (after.due_at.into(), after.received_position.into()),
    };
    store.rows(open_until, &[app.into(), time.into(), due_at, position, paging::limit(limit)], DataRequest::read).await
}
