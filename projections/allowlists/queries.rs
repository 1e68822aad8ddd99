//! What can be asked of allowlists.

use rollcall_schemas::ids::SubjectRef;

use crate::store::{Error, ReadStore, Row};
use crate::{paging, queries};

queries! {
    page_before = "SELECT target, sequence FROM allowlists_v1 WHERE owner = $1 AND sequence < $2
        ORDER BY sequence DESC LIMIT $3";
    entry: coalesced = "SELECT 1 FROM allowlists_v1 WHERE owner = $1 AND target = $2";
    in_force: coalesced = "SELECT 1 FROM allowlists_enabled_v1 WHERE owner = $1";
}

/// One entry of an allowlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    /// Who is allowed.
    pub target: SubjectRef,
    /// Place in the list, larger when newer: the cursor of [`page`].
    pub sequence: u64,
}

impl Allowed {
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
pub async fn page(store: &ReadStore, owner: SubjectRef, cursor: Option<u64>, size: u32) -> Result<Vec<Allowed>, Error> {
    let cursor = cursor.unwrap_or(u64::MAX);
    store.rows(page_before, &[owner.into(), cursor.into(), paging::limit(size)], Allowed::read).await
}

/// Whether the allowlist of each of those users is in force, in the order asked.
///
/// # Errors
/// The store is unavailable.
pub async fn settings_of(store: &ReadStore, owners: &[SubjectRef]) -> Result<Vec<bool>, Error> {
    let found = store.rows_of_each(in_force, owners.iter().map(|owner| [(*owner).into()]), |_| Ok(())).await?;
    Ok(found.iter().map(|rows| !rows.is_empty()).collect())
}
