//! What can be asked of hosted profiles.

use rollcall_schemas::ids::{AppId, FieldName, SubjectRef};
use rollcall_schemas::personal::Class;

use crate::store::{Error, ReadStore, Row};
use crate::{NumberedPage, Order, Query, Seek, Value, paging, queries};

queries! {
    fields_of: coalesced = "SELECT count(*) FROM hosted_profiles_fields_v2 WHERE subject = $1";
    profile_of = "SELECT p.subject, p.changes, f.field, f.content
        FROM hosted_profiles_v2 p JOIN hosted_profiles_fields_v2 f ON f.subject = p.subject
        WHERE p.subject = $1 AND p.app = $2 ORDER BY f.field";
    oldest_page = "SELECT subject FROM hosted_profiles_v2 WHERE app = $1 AND filled = 1
        ORDER BY registered_position LIMIT $2 OFFSET $3";
    later = "SELECT subject, registered_position FROM hosted_profiles_v2
        WHERE app = $1 AND filled = 1 AND registered_position > $2 ORDER BY registered_position LIMIT $3";
    up_to = "SELECT subject, registered_position FROM hosted_profiles_v2
        WHERE app = $1 AND filled = 1 AND registered_position <= $2 ORDER BY registered_position DESC LIMIT $3";
    newest_page = "SELECT subject FROM hosted_profiles_v2 WHERE app = $1 AND filled = 1
        ORDER BY registered_position DESC LIMIT $2 OFFSET $3";
}

/// Values about a subject that are still there, by class.
pub(super) const REMAINS: &[(Class, Query)] = &[(Class::Profile, fields_of)];

/// The hosted profile of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Whose.
    pub subject: SubjectRef,
    /// Grows with each change.
    pub version: u64,
    /// Field by field, in the order of their names, each value sealed.
    pub fields: Vec<(FieldName, Vec<u8>)>,
}

fn profile(rows: Vec<(SubjectRef, u64, FieldName, Vec<u8>)>) -> Option<Profile> {
    let &(subject, version, ..) = rows.first()?;
    let fields = rows.into_iter().map(|(_, _, field, content)| (field, content)).collect();
    Some(Profile { subject, version, fields })
}

/// The profiles of those users, in the order asked; `None` for one without a field.
///
/// # Errors
/// The store is unavailable.
pub async fn of_subjects(
    store: &ReadStore,
    app: &AppId,
    subjects: &[SubjectRef],
) -> Result<Vec<Option<Profile>>, Error> {
    let asked = subjects.iter().map(|subject| [Value::from(*subject), app.into()]);
    let read =
        |row: &Row<'_, '_>| Ok((SubjectRef(row.id(0)?), row.number(1)?, FieldName(row.text(2)?.into()), row.bytes(3)?));
    Ok(store.rows_of_each(profile_of, asked, read).await?.into_iter().map(profile).collect())
}

/// A page of the users that have a profile, in the order of their registration.
///
/// # Errors
/// The store is unavailable.
pub async fn page(store: &ReadStore, app: &AppId, page: NumberedPage, order: Order) -> Result<Vec<Profile>, Error> {
    let (limit, skip) = page.bounds();
    let sql = match order {
        Order::OldestFirst => oldest_page,
        Order::NewestFirst => newest_page,
    };
    let subjects = store.rows(sql, &[app.into(), limit, skip], |row| Ok(SubjectRef(row.id(0)?))).await?;
    Ok(of_subjects(store, app, &subjects).await?.into_iter().flatten().collect())
}

/// A page of the profiles of an app, in the order of registration, each with the position of that, which is its place. A profile that was cleared in this moment is `None`.
///
/// # Errors
/// The store is unavailable.
pub async fn listed(
    store: &ReadStore,
    app: &AppId,
    seek: impl Into<Seek<u64>>,
    size: u32,
) -> Result<Vec<(u64, Option<Profile>)>, Error> {
    let params = |place: u64| [app.into(), place.into(), paging::limit(size)];
    let read = |row: &Row<'_, '_>| Ok((SubjectRef(row.id(0)?), row.number(1)?));
    let places = paging::seek(store, seek.into(), [later, up_to], 0, params, read).await?;
    let subjects: Vec<_> = places.iter().map(|(subject, _)| *subject).collect();
    let found = of_subjects(store, app, &subjects).await?;
    Ok(places.into_iter().map(|(_, place)| place).zip(found).collect())
}
