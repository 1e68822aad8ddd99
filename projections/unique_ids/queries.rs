//! What can be asked about uniqueIds.

use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::personal::Class;

use crate::store::{Error, ReadStore};
use crate::{Query, paging, queries};

queries! {
    held_by: coalesced = "SELECT count(*) FROM unique_ids_v1 WHERE subject = $1";
    by_tag = "SELECT subject FROM unique_ids_v1 WHERE tag = $1 AND app = $2 ORDER BY since_position LIMIT $3";
}

/// Values about a subject that are still there, by class.
pub(super) const REMAINS: &[(Class, Query)] = &[(Class::Profile, held_by)];

/// Who has the uniqueId with that tag, the one that has had it for the longest time first; at most `limit`.
///
/// # Errors
/// The store is unavailable.
pub async fn holders(store: &ReadStore, app: &AppId, tag: [u8; 16], limit: u32) -> Result<Vec<SubjectRef>, Error> {
    store.rows(by_tag, &[tag.into(), app.into(), paging::limit(limit)], |row| Ok(SubjectRef(row.id(0)?))).await
}
