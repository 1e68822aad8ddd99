//! The friends of a user, as every face shows them: who is deactivated is not shown.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use rollcall_projections::user_directory::User;
use rollcall_projections::{Neighbours, Order, Seek, friend_graph, hosted_profiles, user_directory};
use rollcall_schemas::ids::{AppId, SubjectRef};

use crate::engine::graph::{FoundFriends, Searched};
use crate::engine::{Caller, Engine, Error, opening::Opener};

/// One friend.
pub(super) struct ShownFriend {
    /// Who.
    pub(super) user_id: String,
    /// The name of the hosted profile, else the registered one.
    pub(super) name: Option<String>,
    /// What the owner of the list calls the friend.
    pub(super) remark: Option<String>,
    /// Extension fields that the owner of the list keeps.
    pub(super) fields: BTreeMap<String, String>,
    /// Since when.
    pub(super) befriended_at: DateTime<Utc>,
}

/// A page of friends.
pub(super) struct FriendList {
    /// Them; fewer than asked for where some are deactivated.
    pub(super) friends: Vec<ShownFriend>,
    /// Where the pages beside it are.
    pub(super) beside: Neighbours<u64>,
    /// How many friends the owner has.
    pub(super) total: u64,
}

/// A page of the friends of `owner` that `caller` is shown.
///
/// # Errors
/// The read models or the vault are unavailable, or the read could not be recorded.
pub(super) async fn page(
    engine: &Engine,
    caller: &Caller,
    owner: SubjectRef,
    (seek, size, order): (impl Into<Seek<u64>>, u32, Order),
) -> Result<FriendList, Error> {
    let seek = seek.into();
    let mut rows = friend_graph::page(engine.read(), owner, seek, size + 1, order).await?;
    let beside = seek.cut(&mut rows, size, |row| Some(row.befriended_position));
    let found = rows.len();
    let rows = shown(engine, caller, rows).await?;
    let fenced = (found - rows.len()) as u64;
    let friends = describe(engine, caller, owner, rows).await?;
    let total = friend_graph::count(engine.read(), owner).await?.saturating_sub(fenced);
    Ok(FriendList { friends, beside, total })
}

/// A page of the friends of `owner` that have a text, as `caller` is shown them.
///
/// # Errors
/// As [`page`], or too many searches of the app wait.
pub(super) async fn named(
    engine: &Arc<Engine>,
    caller: &Caller,
    owner: SubjectRef,
    searched: Searched,
) -> Result<FriendList, Error> {
    let FoundFriends { friends, beside } = engine.friends_named(&caller.app, owner, searched).await?;
    let found = shown(engine, caller, friends).await?;
    let friends = describe(engine, caller, owner, found).await?;
    let total = friend_graph::count(engine.read(), owner).await?;
    Ok(FriendList { friends, beside, total })
}

/// Those of the targets that are friends of `owner`, as `caller` is shown them.
///
/// # Errors
/// The read models or the vault are unavailable, or the read could not be recorded.
pub(super) async fn among(
    engine: &Engine,
    caller: &Caller,
    owner: SubjectRef,
    targets: &[SubjectRef],
) -> Result<Vec<ShownFriend>, Error> {
    let rows = friend_graph::among(engine.read(), owner, targets).await?;
    let rows = shown(engine, caller, rows.into_iter().flatten().collect()).await?;
    describe(engine, caller, owner, rows).await
}

/// Which pairs are friends, in their order; with somebody who is deactivated nobody is, although that friendship remains
/// until the erasure ends it.
///
/// # Errors
/// The read models are unavailable.
pub(super) async fn are_friends(
    engine: &Engine,
    caller: &Caller,
    pairs: &[(SubjectRef, SubjectRef)],
) -> Result<Vec<bool>, Error> {
    let friends = friend_graph::friendships(engine.read(), pairs).await?;
    let targets: Vec<_> = pairs.iter().map(|(_, target)| *target).collect();
    let users = user_directory::by_subjects(engine.read(), &caller.app, &targets).await?;
    Ok(friends.iter().zip(users).map(|(friend, user)| friend.is_some() && !is_fenced(user.as_ref())).collect())
}

fn is_fenced(user: Option<&User>) -> bool {
    user.is_some_and(|user| user.deactivated)
}

/// Drops those who are deactivated.
async fn shown(
    engine: &Engine,
    caller: &Caller,
    rows: Vec<friend_graph::Friend>,
) -> Result<Vec<(friend_graph::Friend, Option<User>)>, Error> {
    let friends: Vec<_> = rows.iter().map(|row| row.friend).collect();
    let users = user_directory::by_subjects(engine.read(), &caller.app, &friends).await?;
    Ok(rows.into_iter().zip(users).filter(|(_, user)| !is_fenced(user.as_ref())).collect())
}

async fn describe(
    engine: &Engine,
    caller: &Caller,
    owner: SubjectRef,
    rows: Vec<(friend_graph::Friend, Option<User>)>,
) -> Result<Vec<ShownFriend>, Error> {
    let (rows, users): (Vec<_>, Vec<_>) = rows.into_iter().unzip();
    let subjects: Vec<_> = rows.iter().map(|row| row.friend).collect();
    let names = with_profiles(engine, &caller.app, &subjects, users).await?;
    let descriptions = friend_graph::descriptions(engine.read(), owner, &subjects).await?;
    engine
        .disclose(caller, &subjects, |opener| {
            let mut friends = Vec::with_capacity(rows.len());
            for ((row, named), description) in rows.iter().zip(&names).zip(descriptions) {
                // Who was forgotten has no userId any more.
                let Some((user_id, name)) = named.open(opener)? else { continue };
                let mut fields = BTreeMap::new();
                for (field, sealed) in description {
                    if let Some(value) = opener.open::<String>(row.friend, &field, &sealed)? {
                        fields.insert(field, value);
                    }
                }
                let remark = fields.remove(friend_graph::REMARK);
                friends.push(ShownFriend { user_id, name, remark, fields, befriended_at: row.befriended_at });
            }
            Ok(friends)
        })
        .await
}

/// What is stored of a user's userId and name.
pub(super) struct Named {
    subject: SubjectRef,
    user: Option<User>,
    hosted: Option<Vec<u8>>,
}

impl Named {
    /// The userId and the name of the hosted profile, else the registered one; `None` where the user was forgotten.
    ///
    /// # Errors
    /// The vault is unavailable.
    pub(super) fn open(&self, opener: &mut Opener<'_>) -> Result<Option<(String, Option<String>)>, Error> {
        let (subject, user) = (self.subject, self.user.as_ref());
        let Some(user_id) = opened(opener, subject, "user_id", user.and_then(|user| user.user_id.as_deref()))? else {
            return Ok(None);
        };
        let hosted = opened(opener, subject, "name", self.hosted.as_deref())?;
        let name = match hosted.filter(|name| !name.is_empty()) {
            Some(name) => Some(name),
            None => opened(opener, subject, "name", user.and_then(|user| user.name.as_deref()))?,
        };
        Ok(Some((user_id, name)))
    }
}

/// Users with what is stored of their names, in their order.
///
/// # Errors
/// The read models are unavailable.
pub(super) async fn names(engine: &Engine, app: &AppId, subjects: &[SubjectRef]) -> Result<Vec<Named>, Error> {
    let users = user_directory::by_subjects(engine.read(), app, subjects).await?;
    with_profiles(engine, app, subjects, users).await
}

async fn with_profiles(
    engine: &Engine,
    app: &AppId,
    subjects: &[SubjectRef],
    users: Vec<Option<User>>,
) -> Result<Vec<Named>, Error> {
    let profiles = hosted_profiles::of_subjects(engine.read(), app, subjects).await?;
    let named = subjects.iter().zip(users).zip(profiles).map(|((subject, user), profile)| {
        let hosted = profile.and_then(|profile| profile.fields.into_iter().find(|(name, _)| name.0 == "name"));
        Named { subject: *subject, user, hosted: hosted.map(|(_, sealed)| sealed) }
    });
    Ok(named.collect())
}

fn opened(
    opener: &mut Opener<'_>,
    subject: SubjectRef,
    field: &str,
    sealed: Option<&[u8]>,
) -> Result<Option<String>, Error> {
    sealed.map_or(Ok(None), |sealed| opener.open(subject, field, sealed))
}
