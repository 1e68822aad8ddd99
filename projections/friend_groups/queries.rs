//! What can be asked about friend groups.

use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::personal::Class;
use uuid::Uuid;

use crate::store::{Error, ReadStore, Row};
use crate::{Query, Seek, paging, queries};

queries! {
    labels_of: coalesced = "SELECT count(*) FROM friend_groups_v1 WHERE owner = $1";
    // The members are counted one group after the other: a user has 100 groups at most, each of 3,000 friends at most.
    groups_of = "SELECT g.number, g.label,
            (SELECT COUNT(*) FROM friend_groups_members_v1 AS m WHERE m.owner = g.owner AND m.number = g.number)
        FROM friend_groups_v1 AS g WHERE g.owner = $1 ORDER BY g.number";
    label_of: coalesced = "SELECT label FROM friend_groups_v1 WHERE owner = $1 AND number = $2";
    members_after = "SELECT friend FROM friend_groups_members_v1 WHERE owner = $1 AND number = $2 AND friend > $3
        ORDER BY friend LIMIT $4";
    members_up_to = "SELECT friend FROM friend_groups_members_v1 WHERE owner = $1 AND number = $2 AND friend <= $3
        ORDER BY friend DESC LIMIT $4";
}

/// Values about a subject that are still there, by class.
pub(super) const REMAINS: &[(Class, Query)] = &[(Class::Profile, labels_of)];

/// One group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its number.
    pub number: u32,
    /// What its user calls it, sealed.
    pub label: Vec<u8>,
    /// How many friends are in it.
    pub members: u64,
}

/// The groups of a user, in the order of their numbers.
///
/// # Errors
/// The store is unavailable.
pub async fn all(store: &ReadStore, owner: SubjectRef) -> Result<Vec<Group>, Error> {
    let group = |row: &Row<'_, '_>| Ok(Group { number: row.number(0)?, label: row.bytes(1)?, members: row.number(2)? });
    store.rows(groups_of, &[owner.into()], group).await
}

/// The label of a group, sealed; `None`: there is no such group.
///
/// # Errors
/// The store is unavailable.
pub async fn label(store: &ReadStore, owner: SubjectRef, number: u32) -> Result<Option<Vec<u8>>, Error> {
    store.row(label_of, &[owner.into(), number.into()], |row| row.bytes(0)).await
}

/// A page of those who are in a group, in the order of their references, which are their places.
///
/// # Errors
/// The store is unavailable.
pub async fn members(
    store: &ReadStore,
    (owner, number): (SubjectRef, u32),
    seek: impl Into<Seek<SubjectRef>>,
    size: u32,
) -> Result<Vec<SubjectRef>, Error> {
    let params = |place: SubjectRef| [owner.into(), number.into(), place.into(), paging::limit(size)];
    let (first, friend) = (SubjectRef(Uuid::nil()), |row: &Row<'_, '_>| Ok(SubjectRef(row.id(0)?)));
    paging::seek(store, seek.into(), [members_after, members_up_to], first, params, friend).await
}
