//! What can be asked of allowlists.

use rollcall_schemas::ids::SubjectRef;
use uuid::Uuid;

use crate::changes::position_of;
use crate::store::{Error, ReadStore, Row};
use crate::{Seek, Value, paging, queries};

queries! {
    entry: coalesced = "SELECT sequence FROM allowlists_v3 WHERE owner = $1 AND target = $2";
    page_before = "SELECT target, sequence FROM allowlists_v3 WHERE owner = $1 AND sequence < $2
        ORDER BY sequence DESC LIMIT $3";
    page_up_to = "SELECT target, sequence FROM allowlists_v3 WHERE owner = $1 AND sequence >= $2
        ORDER BY sequence LIMIT $3";
    owners_after = "SELECT owner FROM allowlists_v3 WHERE target = $1 AND owner > $2 ORDER BY owner LIMIT $3";
    owners_up_to = "SELECT owner FROM allowlists_v3 WHERE target = $1 AND owner <= $2 ORDER BY owner DESC LIMIT $3";
    in_force: coalesced = "SELECT enabled_position FROM allowlists_enabled_v3 WHERE owner = $1";
}

/// One entry of an allowlist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    /// Who is allowed.
    pub target: SubjectRef,
    /// Place in the list, larger when newer.
    pub sequence: u64,
}

impl Allowed {
    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        Ok(Self { target: SubjectRef(row.id(0)?), sequence: row.number(1)? })
    }
}

/// A page of the entries, the newest first; their places are their `sequence`.
///
/// # Errors
/// The store is unavailable.
pub async fn page(
    store: &ReadStore,
    owner: SubjectRef,
    seek: impl Into<Seek<u64>>,
    size: u32,
) -> Result<Vec<Allowed>, Error> {
    let params = |place: u64| [owner.into(), place.into(), paging::limit(size)];
    paging::seek(store, seek.into(), [page_before, page_up_to], u64::MAX, params, Allowed::read).await
}

/// Positions of the events that put the allowlists of those users in force, in the order asked; `None`: it is not in force.
///
/// # Errors
/// The store is unavailable.
pub async fn in_force_since(store: &ReadStore, owners: &[SubjectRef]) -> Result<Vec<Option<u64>>, Error> {
    let found = store.rows_of_each(in_force, owners.iter().map(|owner| [(*owner).into()]), |row| row.number(0)).await?;
    Ok(found.into_iter().map(|mut rows| rows.pop()).collect())
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

/// A page of those who have a user on their list, in the order of their references, which are their places.
///
/// # Errors
/// The store is unavailable.
pub async fn owners(
    store: &ReadStore,
    target: SubjectRef,
    seek: impl Into<Seek<SubjectRef>>,
    size: u32,
) -> Result<Vec<SubjectRef>, Error> {
    let params = |place: SubjectRef| [target.into(), place.into(), paging::limit(size)];
    let (first, owner) = (SubjectRef(Uuid::nil()), |row: &Row<'_, '_>| Ok(SubjectRef(row.id(0)?)));
    paging::seek(store, seek.into(), [owners_after, owners_up_to], first, params, owner).await
}
