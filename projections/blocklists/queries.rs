//! What can be asked of blocklists.

use rollcall_schemas::ids::SubjectRef;
use uuid::Uuid;

use crate::changes::position_of;
use crate::store::{Error, ReadStore, Row};
use crate::{Value, paging, queries};

queries! {
    entry: coalesced = "SELECT sequence FROM blocklists_v2 WHERE owner = $1 AND target = $2";
    page_before = "SELECT target, sequence FROM blocklists_v2 WHERE owner = $1 AND sequence < $2
        ORDER BY sequence DESC LIMIT $3";
    owners_after = "SELECT owner FROM blocklists_v2 WHERE target = $1 AND owner > $2 ORDER BY owner LIMIT $3";
}

/// One entry of a blocklist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Blocked {
    /// Who is blocked.
    pub target: SubjectRef,
    /// Place in the list, larger when newer: the cursor of [`page`].
    pub sequence: u64,
}

impl Blocked {
    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        Ok(Self { target: SubjectRef(row.id(0)?), sequence: row.number(1)? })
    }
}

/// The entries before `cursor` (a `sequence`), the newest first; `None`: from the newest.
///
/// # Errors
/// The store is unavailable.
pub async fn page(store: &ReadStore, owner: SubjectRef, cursor: Option<u64>, size: u32) -> Result<Vec<Blocked>, Error> {
    let cursor = cursor.unwrap_or(u64::MAX);
    store.rows(page_before, &[owner.into(), cursor.into(), paging::limit(size)], Blocked::read).await
}

/// Positions of the events that put the second of each pair on the list of the first, in the order asked; `None`: it is
/// not on it.
///
/// # Errors
/// The store is unavailable.
pub async fn entries(store: &ReadStore, pairs: &[(SubjectRef, SubjectRef)]) -> Result<Vec<Option<u64>>, Error> {
    let asked = pairs.iter().map(|(owner, target)| [Value::from(*owner), (*target).into()]);
    let found = store.rows_of_each(entry, asked, |row| Ok(position_of(row.number(0)?))).await?;
    Ok(found.into_iter().map(|mut rows| rows.pop()).collect())
}

/// Who has a user on their list, by their references: those behind `cursor`; `None`: from the first.
///
/// # Errors
/// The store is unavailable.
pub async fn owners(
    store: &ReadStore,
    target: SubjectRef,
    cursor: Option<SubjectRef>,
    size: u32,
) -> Result<Vec<SubjectRef>, Error> {
    let after = cursor.map_or(Uuid::nil(), |owner| owner.0);
    store
        .rows(owners_after, &[target.into(), after.into(), paging::limit(size)], |row| Ok(SubjectRef(row.id(0)?)))
        .await
}
