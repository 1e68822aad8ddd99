//! What can be asked of the trail.

use rollcall_schemas::ids::SubjectRef;

use crate::store::{Error, ReadStore};
use crate::{paging, queries};

queries! {
    positions_after = "SELECT position FROM audit_trail_v2
        WHERE subject = $1 AND position > $2 ORDER BY position LIMIT $3";
    positions_back = "SELECT position FROM audit_trail_v2
        WHERE subject = $1 AND position <= $2 ORDER BY position DESC LIMIT $3";
}

/// The positions of all events that concern a subject, its own and others', after a position, in order.
///
/// # Errors
/// The store is unavailable.
pub async fn positions_about(
    store: &ReadStore,
    subject: SubjectRef,
    after: u64,
    limit: u32,
) -> Result<Vec<u64>, Error> {
    let params = [subject.into(), after.into(), paging::limit(limit)];
    store.rows(positions_after, &params, |row| row.number(0)).await
}

/// The last positions of events that concern a subject, up to a position, that one included, in order.
///
/// # Errors
/// The store is unavailable.
pub async fn positions_up_to(
    store: &ReadStore,
    subject: SubjectRef,
    position: u64,
    limit: u32,
) -> Result<Vec<u64>, Error> {
    let params = [subject.into(), position.into(), paging::limit(limit)];
    let mut found = store.rows(positions_back, &params, |row| row.number(0)).await?;
    found.reverse();
    Ok(found)
}
