//! What can be asked of remarks.

use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::personal::Class;
use uuid::Uuid;

use crate::store::{Error, ReadStore, Row};
use crate::{NumberedPage, Query, Seek, paging, queries};

queries! {
    remarks_about: coalesced = "SELECT count(*) FROM remarks_v2 WHERE target = $1";
    // What is skipped is stepped over in the index alone. The remarks of the page are looked up one by one: a join may be
    // planned so that it reads the whole table.
    page_of_owner = "SELECT page.target,
            (SELECT r.remark FROM remarks_v2 AS r WHERE r.owner = page.owner AND r.target = page.target)
        FROM (SELECT owner, target, remarked_position FROM remarks_v2 WHERE owner = $1
            ORDER BY remarked_position, target LIMIT $2 OFFSET $3) AS page
        ORDER BY page.remarked_position, page.target";
    after_of_owner = "SELECT page.target,
            (SELECT r.remark FROM remarks_v2 AS r WHERE r.owner = page.owner AND r.target = page.target),
            page.remarked_position
        FROM (SELECT owner, target, remarked_position FROM remarks_v2
            WHERE owner = $1 AND remarked_position >= $2 AND (remarked_position > $2 OR target > $3)
            ORDER BY remarked_position, target LIMIT $4) AS page
        ORDER BY page.remarked_position, page.target";
    up_to_of_owner = "SELECT page.target,
            (SELECT r.remark FROM remarks_v2 AS r WHERE r.owner = page.owner AND r.target = page.target),
            page.remarked_position
        FROM (SELECT owner, target, remarked_position FROM remarks_v2
            WHERE owner = $1 AND remarked_position <= $2 AND (remarked_position < $2 OR target <= $3)
            ORDER BY remarked_position DESC, target DESC LIMIT $4) AS page
        ORDER BY page.remarked_position DESC, page.target DESC";
    one: coalesced = "SELECT target, remark FROM remarks_v2 WHERE owner = $1 AND target = $2";
    count_of_owner: coalesced = "SELECT COUNT(*) FROM remarks_v2 WHERE owner = $1";
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

/// A page of the remarks of a user.
///
/// # Errors
/// The store is unavailable.
pub async fn page(store: &ReadStore, owner: SubjectRef, page: NumberedPage) -> Result<Vec<Remark>, Error> {
    let (limit, skip) = page.bounds();
    store.rows(page_of_owner, &[owner.into(), limit, skip], Remark::read).await
}

/// A place in the remarks of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemarkCursor {
    /// Where the remark was recorded.
    pub remarked_position: u64,
    /// About whom it is: one event may record several.
    pub target: SubjectRef,
}

/// A page of the remarks of a user, the earliest first, each with its place.
///
/// # Errors
/// The store is unavailable.
pub async fn listed(
    store: &ReadStore,
    owner: SubjectRef,
    seek: impl Into<Seek<RemarkCursor>>,
    size: u32,
) -> Result<Vec<(Remark, RemarkCursor)>, Error> {
    let first = RemarkCursor { remarked_position: 0, target: SubjectRef(Uuid::nil()) };
    let params =
        |place: RemarkCursor| [owner.into(), place.remarked_position.into(), place.target.into(), paging::limit(size)];
    let read = |row: &Row<'_, '_>| {
        let remark = Remark::read(row)?;
        let place = RemarkCursor { remarked_position: row.number(2)?, target: remark.target };
        Ok((remark, place))
    };
    paging::seek(store, seek.into(), [after_of_owner, up_to_of_owner], first, params, read).await
}

/// The remark of a user about another one.
///
/// # Errors
/// The store is unavailable.
pub async fn of(store: &ReadStore, owner: SubjectRef, target: SubjectRef) -> Result<Option<Remark>, Error> {
    store.row(one, &[owner.into(), target.into()], Remark::read).await
}

/// How many remarks a user has.
///
/// # Errors
/// The store is unavailable.
pub async fn total(store: &ReadStore, owner: SubjectRef) -> Result<u64, Error> {
    Ok(store.row(count_of_owner, &[owner.into()], |row| row.number(0)).await?.unwrap_or(0))
}
