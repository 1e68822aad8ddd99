//! What can be asked of the directory.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::personal::Class;

use crate::store::{Error, ReadStore, Row};
use crate::{NumberedPage, Order, Query, Seek, Value, paging, queries};

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT subject, user_id, name, portrait, epoch, registered_at, registered_position, deactivated,
                introduced_position
             FROM user_directory_v2 ",
            $rest
        )
    };
}

queries! {
    profile_of: coalesced = "SELECT count(name) + count(portrait) FROM user_directory_v2 WHERE subject = $1";
    identity_of: coalesced = "SELECT count(user_id) FROM user_directory_v2 WHERE subject = $1";
    user_by_tag: coalesced = select!("WHERE tag = $1 AND app = $2");
    user_by_subject: coalesced = select!("WHERE subject = $1 AND app = $2");
    oldest_page = select!("WHERE app = $1 AND registered_position IS NOT NULL AND deactivated = 0
        ORDER BY registered_position LIMIT $2 OFFSET $3");
    newest_page = select!("WHERE app = $1 AND registered_position IS NOT NULL AND deactivated = 0
        ORDER BY registered_position DESC LIMIT $2 OFFSET $3");
    later_than = select!("WHERE app = $1 AND registered_position IS NOT NULL AND deactivated = 0
        AND registered_position > $2 ORDER BY registered_position LIMIT $3");
    earlier_than = select!("WHERE app = $1 AND registered_position IS NOT NULL AND deactivated = 0
        AND registered_position < $2 ORDER BY registered_position DESC LIMIT $3");
    subjects_by_tag: coalesced = "SELECT introduced_position, subject FROM user_directory_v2 WHERE tag = $1 AND app = $2";
    tags_of_several = "SELECT tag FROM user_directory_v2 WHERE tag > $1 GROUP BY tag HAVING COUNT(*) > 1
        ORDER BY tag LIMIT $2";
    tags_after = "SELECT tag FROM user_directory_v2 WHERE tag > $1 ORDER BY tag LIMIT $2";
    count_of_tags = "SELECT COUNT(tag) FROM user_directory_v2";
    introduced_by_tag: coalesced = "SELECT introduced_position, subject, app FROM user_directory_v2 WHERE tag = $1";
    user_id_by_subject: coalesced = "SELECT user_id FROM user_directory_v2 WHERE subject = $1 AND app = $2";
    count_of_app: coalesced = "SELECT registered FROM user_directory_count_v2 WHERE app = $1";
}

/// Values about a subject that are still there, by class.
pub(super) const REMAINS: &[(Class, Query)] = &[(Class::Profile, profile_of), (Class::Identity, identity_of)];

/// One user. Personal values are as sealed: [`rollcall_schemas::personal::Stored`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Who.
    pub subject: SubjectRef,
    /// The app's userId, sealed.
    pub user_id: Option<Vec<u8>>,
    /// Name, sealed; `None` when there is none or it was erased.
    pub name: Option<Vec<u8>>,
    /// Portrait, sealed.
    pub portrait: Option<Vec<u8>>,
    /// Which of the user's keys count: grows with each reactivation.
    pub epoch: u32,
    /// When the user was first registered; `None`: only named, as the target of a call.
    pub registered_at: Option<DateTime<Utc>>,
    /// Position of that event: the order of lists, and the place in [`listed`].
    pub registered_position: Option<u64>,
    /// Whether the user is deactivated.
    pub deactivated: bool,
    /// Position of the event that introduced the userId with this subject.
    pub introduced_position: u64,
}

impl User {
    /// Whether the user is registered and not deactivated.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.registered_at.is_some() && !self.deactivated
    }

    fn read(row: &Row<'_, '_>) -> Result<Self, Error> {
        Ok(Self {
            subject: SubjectRef(row.id(0)?),
            user_id: row.optional_bytes(1)?,
            name: row.optional_bytes(2)?,
            portrait: row.optional_bytes(3)?,
            epoch: row.number(4)?,
            registered_at: row.optional_instant(5)?,
            registered_position: row.optional_number(6)?,
            deactivated: row.flag(7)?,
            introduced_position: row.number(8)?,
        })
    }
}

/// The user whose userId has that tag; of several, the one that was introduced first.
///
/// # Errors
/// The store is unavailable.
pub async fn by_tag(store: &ReadStore, app: &AppId, tag: [u8; 16]) -> Result<Option<User>, Error> {
    let found = store.rows(user_by_tag, &[tag.into(), app.into()], User::read).await?;
    Ok(found.into_iter().min_by_key(|user| user.introduced_position))
}

fn introduced(row: &Row<'_, '_>) -> Result<(u64, SubjectRef), Error> {
    Ok((row.number(0)?, SubjectRef(row.id(1)?)))
}

/// The subject whose userId has that tag; of several, the one that was introduced first.
///
/// # Errors
/// The store is unavailable.
pub async fn subject_of(store: &ReadStore, app: &AppId, tag: [u8; 16]) -> Result<Option<SubjectRef>, Error> {
    let found = store.rows(subjects_by_tag, &[tag.into(), app.into()], introduced).await?;
    Ok(found.into_iter().min().map(|(_, subject)| subject))
}

/// All subjects of each of those userIds, named by their tags, in the order asked; of each, the one that was introduced
/// first comes first. Asks once for all of them.
///
/// # Errors
/// The store is unavailable.
pub async fn all_subjects_of(store: &ReadStore, app: &AppId, tags: &[[u8; 16]]) -> Result<Vec<Vec<SubjectRef>>, Error> {
    let asked = tags.iter().map(|tag| [Value::from(*tag), app.into()]);
    let mut found = store.rows_of_each(subjects_by_tag, asked, introduced).await?;
    found.iter_mut().for_each(|subjects| subjects.sort_unstable());
    Ok(found.into_iter().map(|subjects| subjects.into_iter().map(|(_, subject)| subject).collect()).collect())
}

/// A subject of a userId that has several.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Introduced {
    /// Position of the event that introduced the userId with this subject.
    pub position: u64,
    /// Which.
    pub subject: SubjectRef,
    /// Of which app.
    pub app: AppId,
}

/// The tags of userIds that have several subjects, behind `after`, at most `limit`; and of each its subjects, the one that was
/// introduced first first. Walks the index of the tags: for an operator, not for a request.
///
/// # Errors
/// The store is unavailable.
pub async fn ambiguous(
    store: &ReadStore,
    after: [u8; 16],
    limit: u32,
) -> Result<Vec<([u8; 16], Vec<Introduced>)>, Error> {
    let tags = [after.into(), paging::limit(limit)];
    let tags = store.rows(tags_of_several, &tags, |row| Ok(row.id(0)?.into_bytes())).await?;
    let subjects = |row: &Row<'_, '_>| {
        let (position, subject) = introduced(row)?;
        Ok(Introduced { position, subject, app: row.parsed(2)? })
    };
    let asked = tags.iter().map(|tag| [Value::from(*tag)]);
    let mut found = store.rows_of_each(introduced_by_tag, asked, subjects).await?;
    found.iter_mut().for_each(|subjects| subjects.sort_unstable());
    Ok(tags.into_iter().zip(found).collect())
}

/// The tags of all userIds, behind `after`, in their order, at most `limit`. One that several subjects have may come more than
/// once: to leave those out, PostgreSQL reads all that is left of a table it has not analyzed yet, for each page.
///
/// # Errors
/// The store is unavailable.
pub async fn tags(store: &ReadStore, after: [u8; 16], limit: u32) -> Result<Vec<[u8; 16]>, Error> {
    store.rows(tags_after, &[after.into(), paging::limit(limit)], |row| Ok(row.id(0)?.into_bytes())).await
}

/// How many subjects have a userId. Walks the index of the tags: not for a request.
///
/// # Errors
/// The store is unavailable.
pub async fn tag_count(store: &ReadStore) -> Result<u64, Error> {
    Ok(store.row(count_of_tags, &[], |row| row.number(0)).await?.unwrap_or_default())
}

/// The subjects whose userIds have those tags, in the order asked; `None` for a tag that no user of this app has. Of several
/// it is the one that was introduced first. Asks once for all of them.
///
/// # Errors
/// The store is unavailable.
pub async fn subjects_of(store: &ReadStore, app: &AppId, tags: &[[u8; 16]]) -> Result<Vec<Option<SubjectRef>>, Error> {
    let asked = tags.iter().map(|tag| [Value::from(*tag), app.into()]);
    let found = store.rows_of_each(subjects_by_tag, asked, introduced).await?;
    Ok(found.into_iter().map(|rows| rows.into_iter().min().map(|(_, subject)| subject)).collect())
}

/// The sealed userIds of subjects, in the order asked; `None` for one that is not of this app or was forgotten.
///
/// # Errors
/// The store is unavailable.
pub async fn user_ids(store: &ReadStore, app: &AppId, subjects: &[SubjectRef]) -> Result<Vec<Option<Vec<u8>>>, Error> {
    let asked = subjects.iter().map(|subject| [Value::from(*subject), app.into()]);
    let found = store.rows_of_each(user_id_by_subject, asked, |row| row.optional_bytes(0)).await?;
    Ok(found.into_iter().map(|mut rows| rows.pop().flatten()).collect())
}

/// That user.
///
/// # Errors
/// The store is unavailable.
pub async fn by_subject(store: &ReadStore, app: &AppId, subject: SubjectRef) -> Result<Option<User>, Error> {
    store.row(user_by_subject, &[subject.into(), app.into()], User::read).await
}

/// Those users, in the order asked; `None` for one that is not of this app or was forgotten.
///
/// # Errors
/// The store is unavailable.
pub async fn by_subjects(store: &ReadStore, app: &AppId, subjects: &[SubjectRef]) -> Result<Vec<Option<User>>, Error> {
    let asked = subjects.iter().map(|subject| [Value::from(*subject), app.into()]);
    let found = store.rows_of_each(user_by_subject, asked, User::read).await?;
    Ok(found.into_iter().map(|mut rows| rows.pop()).collect())
}

/// A page of the registered users that are not deactivated.
///
/// # Errors
/// The store is unavailable.
pub async fn registered(store: &ReadStore, app: &AppId, page: NumberedPage, order: Order) -> Result<Vec<User>, Error> {
    let (limit, skip) = page.bounds();
    let sql = match order {
        Order::OldestFirst => oldest_page,
        Order::NewestFirst => newest_page,
    };
    store.rows(sql, &[app.into(), limit, skip], User::read).await
}

/// A page of the registered users that are not deactivated, in that order; their places are their `registered_position`.
///
/// # Errors
/// The store is unavailable.
pub async fn listed(
    store: &ReadStore,
    app: &AppId,
    seek: impl Into<Seek<u64>>,
    size: u32,
    order: Order,
) -> Result<Vec<User>, Error> {
    let params = |place: u64| [app.into(), place.into(), paging::limit(size)];
    let (seek, statements, first) = paging::by_position(seek.into(), order, [later_than, earlier_than]);
    paging::seek(store, seek, statements, first, params, User::read).await
}

/// How many users are registered and not deactivated.
///
/// # Errors
/// The store is unavailable.
pub async fn registered_count(store: &ReadStore, app: &AppId) -> Result<u64, Error> {
    let count = store.row(count_of_app, &[app.into()], |row| row.number(0)).await?;
    Ok(count.unwrap_or(0))
}
