//! What can be asked of remarks.

use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::personal::Class;

use crate::store::{Error, ReadStore, Row};
use crate::{Query, paging, queries};

queries! {
    remarks_about: coalesced = "SELECT count(*) FROM remarks_v1 WHERE target = $1";
    page_of_owner = "SELECT target, remark FROM remarks_v1 WHERE owner = $1
        ORDER BY remarked_position, target LIMIT $2 OFFSET $3";
    of_pair: coalesced = "SELECT target, remark FROM remarks_v1 WHERE owner = $1 AND target = $2";
    count_of_owner: coalesced = "SELECT COUNT(*) FROM remarks_v1 WHERE owner = $1";
    owners_about = "SELECT owner FROM remarks_v1 WHERE target = $1 AND owner > $2 ORDER BY owner LIMIT $3";
}

/// Values about a subject that are still there, by class.
pub(super) const REMAINS: &[(Class, Query)] = &[(Class::Profile, remarks_about)];

/// One remark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remark {
    /// About whom.
    pub target: SubjectRef,
    /// The remark, sealed.
    pub remark: Vec<u8>,
}

impl Remark {
    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        Ok(Self { target: SubjectRef(row.id(0)?), remark: row.bytes(1)? })
    }
}

/// A page, counted from 1, of the remarks of a user.
///
/// # Errors
/// The store is unavailable.
pub async fn page(store: &ReadStore, owner: SubjectRef, page: u32, size: u32) -> Result<Vec<Remark>, Error> {
    let Some((limit, skip)) = paging::numbered(page, size) else { return Ok(Vec::new()) };
    store.rows(page_of_owner, &[owner.into(), limit, skip], Remark::read).await
}

/// The remark of a user about another.
///
/// # Errors
/// The store is unavailable.
pub async fn of(store: &ReadStore, owner: SubjectRef, target: SubjectRef) -> Result<Option<Remark>, Error> {
    store.row(of_pair, &[owner.into(), target.into()], Remark::read).await
}

/// How many remarks a user has.
///
/// # Errors
/// The store is unavailable.
pub async fn total(store: &ReadStore, owner: SubjectRef) -> Result<u64, Error> {
    Ok(store.row(count_of_owner, &[owner.into()], |row| row.number(0)).await?.unwrap_or(0))
}

/// Who has a remark about `target`, after the owner `cursor`: whose remarks streams an erasure has to visit.
///
/// # Errors
/// The store is unavailable.
pub async fn about(
    store: &ReadStore,
    target: SubjectRef,
    cursor: Option<SubjectRef>,
    limit: u32,
) -> Result<Vec<SubjectRef>, Error> {
    let cursor = cursor.map_or_else(|| Vec::new().into(), Into::into);
    store.rows(owners_about, &[target.into(), cursor, paging::limit(limit)], |row| Ok(SubjectRef(row.id(0)?))).await
}
