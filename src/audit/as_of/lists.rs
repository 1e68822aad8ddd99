//! Lists of a moment: who was banned or deactivated in an app, and who was a user's friend.

use chrono::{DateTime, Utc};
use rollcall_projections::store::ReadStore;
use rollcall_projections::{NumberedPage, Order, PAGE_MAX, Projection, banned_users, deactivated_users, friend_graph};
use rollcall_schemas::ids::{AppId, SubjectRef};
use serde::Serialize;

use super::error::Error;
use super::past::Past;
use super::scratch::AsOf;
use super::scratch::Scratch;
use super::shown::Opener;
use super::shown::Shown;
use super::when::Moment;

const BANS: &[&dyn Projection] = &[&banned_users::BannedUsers];
const DEACTIVATED: &[&dyn Projection] = &[&deactivated_users::DeactivatedUsers];
const FRIENDS: &[&dyn Projection] = &[&friend_graph::FriendGraph];

/// The bans of an app that had not ended.
#[derive(Debug, Clone, Serialize)]
pub struct BansAt {
    /// The bans, the latest end first.
    pub bans: Vec<BannedUser>,
}

/// One banned user.
#[derive(Debug, Clone, Serialize)]
pub struct BannedUser {
    /// Who.
    pub subject: SubjectRef,
    /// The app's userId.
    pub user_id: Shown<String>,
    /// Since when.
    pub banned_at: DateTime<Utc>,
    /// When the ban was to end by itself; null: never.
    pub until: Option<DateTime<Utc>>,
    /// Why.
    pub reason: Option<Shown<String>>,
}

/// The deactivated users of an app.
#[derive(Debug, Clone, Serialize)]
pub struct DeactivatedAt {
    /// The users, the latest deactivation first.
    pub deactivated: Vec<DeactivatedUser>,
}

/// One deactivated user.
#[derive(Debug, Clone, Serialize)]
pub struct DeactivatedUser {
    /// Who.
    pub subject: SubjectRef,
    /// The app's userId.
    pub user_id: Shown<String>,
    /// Since when.
    pub deactivated_at: DateTime<Utc>,
    /// The id of the operation, as the caller was told.
    pub operation: String,
}

/// The friends of a user.
#[derive(Debug, Clone, Serialize)]
pub struct FriendsAt {
    /// The user whose friends they are.
    pub subject: SubjectRef,
    /// The friends, the oldest friendship first.
    pub friends: Vec<Friend>,
}

/// Somebody else, on a list of the user's.
#[derive(Debug, Clone, Serialize)]
pub struct Other {
    /// Who.
    pub subject: SubjectRef,
    /// The app's userId.
    pub user_id: Shown<String>,
}

/// One friend of a user.
#[derive(Debug, Clone, Serialize)]
pub struct Friend {
    /// Who.
    pub subject: SubjectRef,
    /// The app's userId.
    pub user_id: Shown<String>,
    /// Since when.
    pub befriended_at: DateTime<Utc>,
}

/// The bans of an app at a moment: those that had not ended then. Reads the log up to it; `progress` is told events
/// done and events in all.
///
/// # Errors
/// A part is unavailable.
pub async fn bans_at(
    past: Past<'_>,
    app: &AppId,
    moment: Moment,
    page: NumberedPage,
    progress: &dyn Fn(u64, u64),
) -> Result<AsOf<BansAt>, Error> {
    bans(past, app, &banned(past, moment, progress).await?, moment, page).await
}

/// The bans of every app, replayed up to a moment.
pub(super) async fn banned(past: Past<'_>, moment: Moment, progress: &dyn Fn(u64, u64)) -> Result<Scratch, Error> {
    Scratch::whole(past, BANS, moment, progress).await
}

/// One page of the bans of an app.
pub(super) async fn bans(
    past: Past<'_>,
    app: &AppId,
    scratch: &Scratch,
    moment: Moment,
    page: NumberedPage,
) -> Result<AsOf<BansAt>, Error> {
    let found = banned_users::banned_until(&scratch.store, app, moment.at, page).await?;
    let mut opener = Opener::new(past, app);
    let subjects: Vec<_> = found.iter().map(|ban| ban.subject).collect();
    let user_ids = opener.user_ids(&subjects).await?;
    let mut bans = Vec::with_capacity(found.len());
    for (ban, user_id) in found.into_iter().zip(user_ids) {
        let reason = opener.open_some(ban.subject, ban.reason.as_deref()).await?;
        let banned_users::Ban { subject, banned_at, ends_at: until, .. } = ban;
        bans.push(BannedUser { subject, user_id, banned_at, until, reason });
    }
    scratch.answer(moment, BansAt { bans }).await
}

/// The deactivated users of an app at a moment. Reads the log up to it; `progress` is told events done and events in
/// all.
///
/// # Errors
/// A part is unavailable.
pub async fn deactivated_at(
    past: Past<'_>,
    app: &AppId,
    moment: Moment,
    page: NumberedPage,
    progress: &dyn Fn(u64, u64),
) -> Result<AsOf<DeactivatedAt>, Error> {
    let scratch = Scratch::whole(past, DEACTIVATED, moment, progress).await?;
    let subjects = deactivated_users::page(&scratch.store, app, page).await?;
    let found = deactivated_users::of_subjects(&scratch.store, &subjects).await?;
    let user_ids = Opener::new(past, app).user_ids(&subjects).await?;
    let shown = found.into_iter().zip(user_ids).map(|(user, user_id)| {
        let deactivated_users::Deactivated { subject, deactivated_at, operation, .. } = user;
        DeactivatedUser { subject, user_id, deactivated_at, operation }
    });
    scratch.answer(moment, DeactivatedAt { deactivated: shown.collect() }).await
}

/// The friends of a user at a moment, from the events about the user alone.
///
/// # Errors
/// A part is unavailable.
pub async fn friends_at(
    past: Past<'_>,
    app: &AppId,
    subject: SubjectRef,
    moment: Moment,
) -> Result<AsOf<FriendsAt>, Error> {
    let mut scratch = Scratch::empty(FRIENDS, moment)?;
    while !scratch.apply_about(past, subject).await?.is_empty() {}
    friends_in(past, app, &scratch, subject).await
}

/// The friends of a user, in read models that were filled before.
pub(super) async fn friends_in(
    past: Past<'_>,
    app: &AppId,
    scratch: &Scratch,
    subject: SubjectRef,
) -> Result<AsOf<FriendsAt>, Error> {
    let friends = friends(&scratch.store, &mut Opener::new(past, app), subject).await?;
    scratch.answer(scratch.moment, FriendsAt { subject, friends }).await
}

pub(super) async fn friends(
    store: &ReadStore,
    opener: &mut Opener<'_>,
    owner: SubjectRef,
) -> Result<Vec<Friend>, Error> {
    let (mut found, mut cursor) = (vec![], None);
    loop {
        let page = friend_graph::page(store, owner, cursor, PAGE_MAX, Order::OldestFirst).await?;
        let Some(last) = page.last() else { break };
        cursor = Some(last.befriended_position);
        found.extend(page);
    }
    let subjects: Vec<_> = found.iter().map(|friend| friend.friend).collect();
    let user_ids = opener.user_ids(&subjects).await?;
    let shown = found.into_iter().zip(user_ids).map(|(friend, user_id)| Friend {
        subject: friend.friend,
        user_id,
        befriended_at: friend.befriended_at,
    });
    Ok(shown.collect())
}
