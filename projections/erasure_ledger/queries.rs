//! What can be asked of the ledger.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, ErasureId, OperationId, SubjectRef};
use rollcall_schemas::plain::Scope;

use crate::store::{Error, ReadStore, Row};
use crate::{paging, statements, words};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT erasure, app, subject, scope, operation, requested_at, relations_ended_at, friendships_ended,
                scrubbed_at, keys_destroyed, generation_before, generation_after, events_detached, finished_at
             FROM erasure_ledger_v1 ",
            $rest
        )
    };
}

statements! {
    not_finished = select!("WHERE finished_at IS NULL ORDER BY requested_position LIMIT $1");
    of_subject = select!("WHERE subject = $1 ORDER BY requested_position DESC LIMIT $2");
    by_operation = select!("WHERE operation = $1 AND app = $2 ORDER BY requested_position LIMIT $3");
}

/// How far an erasure has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The subject is fenced.
    Requested,
    /// Friendships, requests and own lists have ended.
    RelationsEnded,
    /// The keys are destroyed.
    Scrubbed,
    /// Every step is done.
    Finished,
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
    /// When it was requested.
    pub requested_at: DateTime<Utc>,
    /// When the relations had ended, and how many friendships and requests did.
    pub relations_ended: Option<(DateTime<Utc>, u32)>,
    /// When and how the keys were destroyed.
    pub scrubbed: Option<Scrubbed>,
    /// When every step was done.
    pub finished_at: Option<DateTime<Utc>>,
}

/// How the keys of an erasure were destroyed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scrubbed {
    /// When.
    pub at: DateTime<Utc>,
    /// How many keys.
    pub keys_destroyed: u32,
    /// Generation of the root key before.
    pub generation_before: u64,
    /// Generation of the root key after.
    pub generation_after: u64,
    /// How many events had ciphertexts detached.
    pub events_detached: u32,
}

impl Erasure {
    /// The last step that was recorded.
    #[must_use]
    pub fn step(&self) -> Step {
        match (self.finished_at, self.scrubbed, self.relations_ended) {
            (Some(_), ..) => Step::Finished,
            (None, Some(_), _) => Step::Scrubbed,
            (None, None, Some(_)) => Step::RelationsEnded,
            (None, None, None) => Step::Requested,
        }
    }

    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        let relations_ended = match row.optional_instant(6)? {
            None => None,
            Some(at) => Some((at, row.number(7)?)),
        };
        let scrubbed = match row.optional_instant(8)? {
            None => None,
            Some(at) => Some(Scrubbed {
                at,
                keys_destroyed: row.number(9)?,
                generation_before: row.number(10)?,
                generation_after: row.number(11)?,
                events_detached: row.number(12)?,
            }),
        };
        Ok(Self {
            erasure: ErasureId(row.id(0)?),
            app: row.parsed(1)?,
            subject: SubjectRef(row.id(2)?),
            scope: words::read_scope(row.text(3)?).ok_or(Error::Column(3))?,
            operation: OperationId(row.text(4)?.into()),
            requested_at: row.instant(5)?,
            relations_ended,
            scrubbed,
            finished_at: row.optional_instant(13)?,
        })
    }
}

/// The erasures of any app that are not finished, the oldest first.
///
/// # Errors
/// The store is unavailable.
pub async fn open(store: &ReadStore, limit: u32) -> Result<Vec<Erasure>, Error> {
    store.rows(not_finished, &[paging::limit(limit)], Erasure::read).await
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
