//! What can be asked about mutes.

use rollcall_schemas::ids::{AppId, SubjectRef};

use crate::store::{Error, ReadStore};
use crate::{NumberedPage, queries};

queries! {
    page_of_app = "SELECT subject FROM mutes_v2 WHERE app = $1 ORDER BY muted_position LIMIT $2 OFFSET $3";
    count_of_app: coalesced = "SELECT users FROM mutes_count_v2 WHERE app = $1";
    of_subject: coalesced = "SELECT muted_position FROM mutes_v2 WHERE subject = $1";
}

/// A page of the muted users of an app, in the order of muting.
///
/// # Errors
/// The store is unavailable.
pub async fn page(store: &ReadStore, app: &AppId, page: NumberedPage) -> Result<Vec<SubjectRef>, Error> {
    let (limit, skip) = page.bounds();
    store.rows(page_of_app, &[app.into(), limit, skip], |row| Ok(SubjectRef(row.id(0)?))).await
}

/// How many users of an app are muted.
///
/// # Errors
/// The store is unavailable.
pub async fn total(store: &ReadStore, app: &AppId) -> Result<u64, Error> {
    Ok(store.row(count_of_app, &[app.into()], |row| row.number(0)).await?.unwrap_or(0))
}

/// Positions of the events that muted those users, in the order asked; `None`: it is not muted.
///
/// # Errors
/// The store is unavailable.
pub async fn since(store: &ReadStore, subjects: &[SubjectRef]) -> Result<Vec<Option<u64>>, Error> {
    let asked = subjects.iter().map(|subject| [(*subject).into()]);
    let found = store.rows_of_each(of_subject, asked, |row| row.number(0)).await?;
    Ok(found.into_iter().map(|mut rows| rows.pop()).collect())
}

/// Whether a user is muted.
///
/// # Errors
/// The store is unavailable.
pub async fn of(store: &ReadStore, subject: SubjectRef) -> Result<bool, Error> {
    Ok(store.row(of_subject, &[subject.into()], |_| Ok(())).await?.is_some())
}
