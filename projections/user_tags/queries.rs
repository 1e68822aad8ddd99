//! What can be asked about tags.

use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::personal::Class;

use crate::store::{Error, ReadStore};
use crate::{Query, Value, queries};

queries! {
    tags_of: coalesced = "SELECT count(*) FROM user_tags_v2 WHERE subject = $1";
    of_subject: coalesced = "SELECT tags FROM user_tags_v2 WHERE subject = $1 AND app = $2";
}

/// Values about a subject that are still there, by class.
pub(super) const REMAINS: &[(Class, Query)] = &[(Class::Profile, tags_of)];

/// The sealed tags of each of those users, in the order asked; `None` for one without tags.
///
/// # Errors
/// The store is unavailable.
pub async fn of_subjects(
    store: &ReadStore,
    app: &AppId,
    subjects: &[SubjectRef],
) -> Result<Vec<Option<Vec<u8>>>, Error> {
    let asked = subjects.iter().map(|subject| [Value::from(*subject), app.into()]);
    let found = store.rows_of_each(of_subject, asked, |row| row.bytes(0)).await?;
    Ok(found.into_iter().map(|mut rows| rows.pop()).collect())
}
