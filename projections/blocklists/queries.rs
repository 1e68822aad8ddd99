//! What can be asked of blocklists.

use rollcall_schemas::ids::SubjectRef;

use crate::store::{Error, ReadStore, Row};
use crate::{paging, queries};

queries! {
    page_before = "SELECT target, sequence FROM blocklists_v1 WHERE owner = $1 AND sequence < $2
        ORDER BY sequence DESC LIMIT $3";
    entry: coalesced = "SELECT 1 FROM blocklists_v1 WHERE owner = $1 AND target = $2";
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

/// Whether the second of each of those pairs is on the list of the first, in the order asked.
///
/// # Errors
/// The store is unavailable.
pub async fn has_each(store: &ReadStore, pairs: &[(SubjectRef, SubjectRef)]) -> Result<Vec<bool>, Error> {
    let asked = pairs.iter().map(|(owner, target)| [(*owner).into(), (*target).into()]);
    let found = store.rows_of_each(entry, asked, |_| Ok(())).await?;
    Ok(found.iter().map(|rows| !rows.is_empty()).collect())
}

/// The entries before `cursor` (a `sequence`), the newest first; `None`: from the newest.
///
/// # Errors
/// The store is unavailable.
pub async fn page(store: &ReadStore, owner: SubjectRef, cursor: Option<u64>, size: u32) -> Result<Vec<Blocked>, Error> {
    let cursor = cursor.unwrap_or(u64::MAX);
    store.rows(page_before, &[owner.into(), cursor.into(), paging::limit(size)], Blocked::read).await
}
