//! What can be asked about operations.

use chrono::{DateTime, Utc};
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::{AppId, BatchId, SubjectRef};
use rollcall_schemas::operation::Act;
use rollcall_schemas::personal::Class;

use crate::store::{Error, ReadStore, Row};
use crate::{Query, Seek, paging, queries};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT batch, app, act, total, done, refused, undone, ends_at, actor, requested_at, requested_position, begun_at,
                progressed_at, undo_actor, is_open
            FROM operations_v1 ",
            $rest
        )
    };
}

queries! {
    by_batch: coalesced = select!("WHERE batch = $1 AND app = $2");
    earlier = select!("WHERE app = $1 AND requested_position < $2 ORDER BY requested_position DESC LIMIT $3");
    later = select!("WHERE app = $1 AND requested_position >= $2 ORDER BY requested_position LIMIT $3");
    all_open = select!("WHERE is_open = 1 AND requested_position > $1
        ORDER BY requested_position LIMIT $2");
    items_of = "SELECT number, subject, reason, result, undo_result FROM operations_items_v1
        WHERE batch = $1 AND number >= $2 ORDER BY number LIMIT $3";
    items_up_to = "SELECT number, subject, reason, result, undo_result FROM operations_items_v1
        WHERE batch = $1 AND number <= $2 ORDER BY number DESC LIMIT $3";
    reasons_about: coalesced = "SELECT count(reason) FROM operations_items_v1 WHERE subject = $1 AND reason IS NOT NULL";
}

/// Values about a subject that are still there, by class.
pub(super) const REMAINS: &[(Class, Query)] = &[(Class::Moderation, reasons_about)];

/// One operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// Which.
    pub batch: BatchId,
    /// Of which app.
    pub app: AppId,
    /// What is done to each user.
    pub act: Act,
    /// How many users it is about.
    pub total: u32,
    /// With how many it has dealt.
    pub done: u32,
    /// For how many of them it was refused.
    pub refused: u32,
    /// For how many it was taken back or not; `None`: it is not to be taken back.
    pub undone: Option<u32>,
    /// When bans end by themselves; `None`: never.
    pub ends_at: Option<DateTime<Utc>>,
    /// Who asked.
    pub actor: Actor,
    /// When.
    pub requested_at: DateTime<Utc>,
    /// Where that is recorded.
    pub requested_position: u64,
    /// When it began to do what it does now.
    pub begun_at: DateTime<Utc>,
    /// When it last got further.
    pub progressed_at: DateTime<Utc>,
    /// Who asked to take it back.
    pub undo_actor: Option<Actor>,
    /// Whether it has something to do.
    pub is_open: bool,
}

impl Operation {
    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        Ok(Self {
            batch: BatchId(row.id(0)?),
            app: row.parsed(1)?,
            act: row.word(2)?,
            total: row.number(3)?,
            done: row.number(4)?,
            refused: row.number(5)?,
            undone: row.optional_number(6)?,
            ends_at: row.optional_instant(7)?,
            actor: row.json(8)?,
            requested_at: row.instant(9)?,
            requested_position: row.number(10)?,
            begun_at: row.instant(11)?,
            progressed_at: row.instant(12)?,
            undo_actor: row.optional_text(13)?.map(|_| row.json(13)).transpose()?,
            is_open: row.flag(14)?,
        })
    }

    /// How many users it has dealt with in what it does now: the act, or taking it back.
    #[must_use]
    pub fn reached(&self) -> u32 {
        self.undone.unwrap_or(self.done)
    }
}

/// One user of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its place, from 0.
    pub number: u32,
    /// Who.
    pub subject: SubjectRef,
    /// Why, sealed.
    pub reason: Option<Vec<u8>>,
    /// What became of it; `None`: its turn is to come.
    pub result: Option<String>,
    /// Whether it was taken back; `None`: its turn is to come, or nobody asked.
    pub undo_result: Option<String>,
}

impl Item {
    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        Ok(Self {
            number: row.number(0)?,
            subject: SubjectRef(row.id(1)?),
            reason: row.optional_bytes(2)?,
            result: row.optional_text(3)?.map(str::to_owned),
            undo_result: row.optional_text(4)?.map(str::to_owned),
        })
    }
}

/// An operation of an app.
///
/// # Errors
/// The store is unavailable.
pub async fn by_id(store: &ReadStore, app: &AppId, batch: BatchId) -> Result<Option<Operation>, Error> {
    store.row(by_batch, &[batch.into(), app.into()], Operation::read).await
}

/// A page of the operations of an app, the latest first; their places are their `requested_position`.
///
/// # Errors
/// The store is unavailable.
pub async fn listed(
    store: &ReadStore,
    app: &AppId,
    seek: impl Into<Seek<u64>>,
    size: u32,
) -> Result<Vec<Operation>, Error> {
    let params = |place: u64| [app.into(), place.into(), paging::limit(size)];
    paging::seek(store, seek.into(), [earlier, later], u64::MAX, params, Operation::read).await
}

/// The operations of any app that have something to do and were requested behind a position, the earliest first.
///
/// # Errors
/// The store is unavailable.
pub async fn open(store: &ReadStore, after: u64, size: u32) -> Result<Vec<Operation>, Error> {
    store.rows(all_open, &[after.into(), paging::limit(size)], Operation::read).await
}

/// A page of the users of an operation, in the order asked; their places are their numbers, from 0.
///
/// # Errors
/// The store is unavailable.
pub async fn items(
    store: &ReadStore,
    batch: BatchId,
    seek: impl Into<Seek<u32>>,
    size: u32,
) -> Result<Vec<Item>, Error> {
    // The first number that is on a page behind a place, or the last one up to it.
    let bound = match seek.into() {
        Seek::After(place) => Seek::After(place.map(|number| number.saturating_add(1))),
        up_to @ Seek::UpTo(_) => up_to,
    };
    let params = |number: u32| [batch.into(), number.into(), paging::limit(size)];
    paging::seek(store, bound, [items_of, items_up_to], 0, params, Item::read).await
}
