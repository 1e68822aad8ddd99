//! What can be asked about imports.

use chrono::{DateTime, Utc};
use rollcall_schemas::envelope::Actor;
use rollcall_schemas::ids::{AppId, ImportId};
use rollcall_schemas::import::{Kind, OnConflict};

use crate::store::{Error, ReadStore, Row};
use crate::{Seek, paging, queries};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT import, kind, on_conflict, length, bytes, done, skipped, refused, is_ended, actor, begun_at,
                begun_position, progressed_at
            FROM imports_v1 ",
            $rest
        )
    };
}

queries! {
    by_import: coalesced = select!("WHERE import = $1 AND app = $2");
    earlier = select!("WHERE app = $1 AND begun_position < $2 ORDER BY begun_position DESC LIMIT $3");
    later = select!("WHERE app = $1 AND begun_position >= $2 ORDER BY begun_position LIMIT $3");
    refused_of = "SELECT number, reason FROM imports_refused_v1 WHERE import = $1 AND number > $2 ORDER BY number LIMIT $3";
    refused_up_to = "SELECT number, reason FROM imports_refused_v1 WHERE import = $1 AND number <= $2
        ORDER BY number DESC LIMIT $3";
}

/// One import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// Which.
    pub import: ImportId,
    /// What its records are about.
    pub kind: Kind,
    /// What happens to a record about something that is there already.
    pub on_conflict: OnConflict,
    /// Bytes that the caller sends; `None`: it did not say.
    pub length: Option<u64>,
    /// Bytes that were received, by the request that was the last one to send records.
    pub bytes: u64,
    /// Records that were done.
    pub done: u64,
    /// Records that were left out, for what they are about was there already.
    pub skipped: u64,
    /// Records that were refused.
    pub refused: u64,
    /// Whether these are all.
    pub is_ended: bool,
    /// Who asked.
    pub actor: Actor,
    /// When it was begun.
    pub begun_at: DateTime<Utc>,
    /// Where that is recorded.
    pub begun_position: u64,
    /// When it last got further.
    pub progressed_at: DateTime<Utc>,
}

impl Import {
    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        Ok(Self {
            import: ImportId(row.id(0)?),
            kind: row.word(1)?,
            on_conflict: row.word(2)?,
            length: row.optional_number(3)?,
            bytes: row.number(4)?,
            done: row.number(5)?,
            skipped: row.number(6)?,
            refused: row.number(7)?,
            is_ended: row.flag(8)?,
            actor: row.json(9)?,
            begun_at: row.instant(10)?,
            begun_position: row.number(11)?,
            progressed_at: row.instant(12)?,
        })
    }

    /// With how many records it has dealt.
    #[must_use]
    pub fn reached(&self) -> u64 {
        self.done + self.skipped + self.refused
    }
}

/// A record that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Its number, from 1.
    pub number: u64,
    /// Why: `refused:` with the type of the problem.
    pub reason: String,
}

/// An import of an app.
///
/// # Errors
/// The store is unavailable.
pub async fn by_id(store: &ReadStore, app: &AppId, import: ImportId) -> Result<Option<Import>, Error> {
    store.row(by_import, &[import.into(), app.into()], Import::read).await
}

/// A page of the imports of an app, the latest first; their places are their `begun_position`.
///
/// # Errors
/// The store is unavailable.
pub async fn listed(
    store: &ReadStore,
    app: &AppId,
    seek: impl Into<Seek<u64>>,
    size: u32,
) -> Result<Vec<Import>, Error> {
    let params = |place: u64| [app.into(), place.into(), paging::limit(size)];
    paging::seek(store, seek.into(), [earlier, later], u64::MAX, params, Import::read).await
}

/// A page of the refused records of an import, in order; their places are their numbers, from 1.
///
/// # Errors
/// The store is unavailable.
pub async fn refused(
    store: &ReadStore,
    import: ImportId,
    seek: impl Into<Seek<u64>>,
    size: u32,
) -> Result<Vec<Refused>, Error> {
    let params = |place: u64| [import.into(), place.into(), paging::limit(size)];
    let read = |row: &Row<'_, '_>| Ok(Refused { number: row.number(0)?, reason: row.text(1)?.to_owned() });
    paging::seek(store, seek.into(), [refused_of, refused_up_to], 0, params, read).await
}
