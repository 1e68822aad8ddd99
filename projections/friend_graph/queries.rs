//! What can be asked about friends.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::personal::Class;

use crate::store::{Error, ReadStore, Row};
use crate::{Order, Query, Value, paging, queries};

queries! {
    descriptions_about: coalesced = "SELECT count(*) FROM friend_graph_descriptions_v2 WHERE about = $1";
    messages_of: coalesced = "SELECT count(message) FROM friend_graph_requests_v2 WHERE asking = $1";
    later_than = "SELECT friend, befriended_at, befriended_position FROM friend_graph_v2
        WHERE owner = $1 AND befriended_position > $2 ORDER BY befriended_position LIMIT $3";
    earlier_than = "SELECT friend, befriended_at, befriended_position FROM friend_graph_v2
        WHERE owner = $1 AND befriended_position < $2 ORDER BY befriended_position DESC LIMIT $3";
    count_of_owner: coalesced = "SELECT COUNT(*) FROM friend_graph_v2 WHERE owner = $1";
    friendship: coalesced = "SELECT friend, befriended_at, befriended_position FROM friend_graph_v2
        WHERE owner = $1 AND friend = $2";
    described = "SELECT field, content FROM friend_graph_descriptions_v2 WHERE owner = $1 AND about = $2
        ORDER BY field";
    related = "SELECT friend FROM friend_graph_v2 WHERE owner = $1
        UNION ALL SELECT asked FROM friend_graph_requests_v2 WHERE asking = $1
        UNION ALL SELECT asking FROM friend_graph_requests_v2 WHERE asked = $1
        LIMIT $2";
}

/// Values about a subject that are still there, by class.
pub(super) const REMAINS: &[(Class, Query)] = &[(Class::Profile, descriptions_about), (Class::Profile, messages_of)];

/// In a [`Description`], the field that holds the remark name.
pub const REMARK: &str = "";

/// One friend of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Friend {
    /// Who.
    pub friend: SubjectRef,
    /// Since when.
    pub befriended_at: DateTime<Utc>,
    /// Position of that event: the order of the list and the cursor of [`page`].
    pub befriended_position: u64,
}

impl Friend {
    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        Ok(Self { friend: SubjectRef(row.id(0)?), befriended_at: row.instant(1)?, befriended_position: row.number(2)? })
    }
}

/// What a user wrote about a friend: values by field, sealed; [`REMARK`] is the remark name.
pub type Description = Vec<(String, Vec<u8>)>;

/// The friends after `cursor` (a `befriended_position`) in that order; `None`: from the start.
///
/// # Errors
/// The store is unavailable.
pub async fn page(
    store: &ReadStore,
    owner: SubjectRef,
    cursor: Option<u64>,
    size: u32,
    order: Order,
) -> Result<Vec<Friend>, Error> {
    let (sql, start) = match order {
        Order::OldestFirst => (later_than, 0),
        Order::NewestFirst => (earlier_than, u64::MAX),
    };
    let cursor = cursor.unwrap_or(start);
    store.rows(sql, &[owner.into(), cursor.into(), paging::limit(size)], Friend::read).await
}

/// How many friends a user has.
///
/// # Errors
/// The store is unavailable.
pub async fn count(store: &ReadStore, owner: SubjectRef) -> Result<u64, Error> {
    Ok(store.row(count_of_owner, &[owner.into()], |row| row.number(0)).await?.unwrap_or(0))
}

/// Whether `owner` and each of those are friends, in the order asked.
///
/// # Errors
/// The store is unavailable.
pub async fn check(store: &ReadStore, owner: SubjectRef, targets: &[SubjectRef]) -> Result<Vec<bool>, Error> {
    let asked = targets.iter().map(|target| [Value::from(owner), (*target).into()]);
    let found = store.rows_of_each(friendship, asked, |_| Ok(())).await?;
    Ok(found.iter().map(|rows| !rows.is_empty()).collect())
}

/// Those of the targets that are friends of `owner`, in the order asked; `None`: it is none.
///
/// # Errors
/// The store is unavailable.
pub async fn among(store: &ReadStore, owner: SubjectRef, targets: &[SubjectRef]) -> Result<Vec<Option<Friend>>, Error> {
    let asked = targets.iter().map(|target| [Value::from(owner), (*target).into()]);
    let found = store.rows_of_each(friendship, asked, Friend::read).await?;
    Ok(found.into_iter().map(|mut rows| rows.pop()).collect())
}

/// What `owner` wrote about each of those, in the order asked; empty where nothing was written.
///
/// # Errors
/// The store is unavailable.
pub async fn descriptions(
    store: &ReadStore,
    owner: SubjectRef,
    about: &[SubjectRef],
) -> Result<Vec<Description>, Error> {
    let asked = about.iter().map(|about| [Value::from(owner), (*about).into()]);
    store.rows_of_each(described, asked, |row| Ok((row.text(0)?.to_owned(), row.bytes(1)?))).await
}

/// Everyone a user is friends with, asked or was asked by, lapsed requests included while they are stored; at most `limit`. To end every
/// relation, ask until none is left.
///
/// # Errors
/// The store is unavailable.
pub async fn all_of(store: &ReadStore, owner: SubjectRef, limit: u32) -> Result<BTreeSet<SubjectRef>, Error> {
    // Two who asked each other are found twice.
    let found = store.rows(related, &[owner.into(), limit.into()], |row| Ok(SubjectRef(row.id(0)?))).await?;
    Ok(found.into_iter().collect())
}
