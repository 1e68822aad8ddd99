//! Friends.

use std::collections::BTreeMap;

use rollcall_projections::user_settings;
use rollcall_schemas::plain::FriendPermission;
use serde::Serialize;

use super::Call;
use super::answer::{Answer, Fault};
use crate::domain::friendship::{Befriend, ClearFriends, Describe, Unfriend};
use crate::domain::user;
use crate::domain::values::{ProfileChanges, Remark, RequestText, extension_fields};
use crate::http::cursor::Cursor as _;
use crate::http::friend_list::{self, FriendList, ShownFriend};

/// Users one call may name.
const TARGETS_MAX: usize = 100;
/// Users whose relation one call may ask for.
const RELATIONS_MAX: usize = 20;

/// Make a user the friend of another; `action` 1, the default, as the other permits, 2 directly.
pub(super) async fn add_friend(call: &Call<'_>) -> Result<Answer, Fault> {
    let params = call.params()?;
    let (who, target) = (params.user_id("userId")?, params.user_id("targetId")?);
    let direct = params.number("action", 1, 2)? == Some(2);
    let text = params.text("extra")?.map(RequestText::parse).transpose()?;
    call.done(Befriend { who, target, direct, text }).await
}

/// End friendships; users who are not friends are ignored.
pub(super) async fn remove_friends(call: &Call<'_>) -> Result<Answer, Fault> {
    let params = call.params()?;
    let (who, targets) = (params.user_id("userId")?, params.user_ids("targetIds", TARGETS_MAX)?);
    call.done(Unfriend { who, targets }).await
}

/// End all friendships of a user.
pub(super) async fn remove_all_friends(call: &Call<'_>) -> Result<Answer, Fault> {
    let who = call.params()?.user_id("userId")?;
    call.done(ClearFriends { who }).await
}

/// Describe a friend for oneself; without an `alias` it is taken away, as the platform says.
pub(super) async fn set_friend_profile(call: &Call<'_>) -> Result<Answer, Fault> {
    const FIELDS_MAX: usize = 10;
    let params = call.params()?;
    let (owner, about) = (params.user_id("userId")?, params.user_id("targetId")?);
    let remark = Some(params.text("alias")?.map(Remark::parse).transpose()?);
    let changes = match params.object("friendExtProfile")? {
        Some(object) => extension_fields("friendExtProfile", object, FIELDS_MAX)?,
        None => ProfileChanges::new(),
    };
    call.done(Describe { owner, about, remark, changes }).await
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Friends {
    page_token: String,
    total_count: u64,
    friends: Vec<Friend>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Friend {
    user_id: String,
    name: String,
    alias: String,
    friend_ext_profile: BTreeMap<String, String>,
    /// The same as a text, as one example of the documentation has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    extra_profile: Option<String>,
    added_at: i64,
}

impl Friend {
    fn of(friend: ShownFriend, takes_undeclared: bool) -> Result<Self, Fault> {
        let as_text = || serde_json::to_string(&friend.fields).map_err(Fault::Unwritable);
        Ok(Self {
            extra_profile: takes_undeclared.then(as_text).transpose()?,
            user_id: friend.user_id,
            name: friend.name.unwrap_or_default(),
            alias: friend.remark.unwrap_or_default(),
            friend_ext_profile: friend.fields,
            added_at: friend.befriended_at.timestamp_millis(),
        })
    }
}

/// A page of the friends of a user.
pub(super) async fn list_friends(call: &Call<'_>) -> Result<Answer, Fault> {
    let params = call.params()?;
    let user_id = params.user_id("userId")?;
    let page = (params.cursor()?, params.page_size(50, 100)?, params.order()?);
    call.caught_up().await?;
    let (friends, next, total) = match call.engine.find(&call.app.id, &user_id).await? {
        Some(owner) => {
            let FriendList { friends, beside, total } =
                friend_list::page(call.engine, &call.caller(), owner, page).await?;
            (friends, beside.next, total)
        }
        None => (vec![], None, 0),
    };
    let takes_undeclared = call.takes_undeclared();
    let friends = friends.into_iter().map(|friend| Friend::of(friend, takes_undeclared)).collect::<Result<_, _>>()?;
    Answer::of(&Friends { page_token: next.map(|next| next.encode()).unwrap_or_default(), total_count: total, friends })
}

#[derive(Serialize)]
struct Relationships<'c> {
    friendships: Vec<Relationship<'c>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Relationship<'c> {
    user_id: &'c str,
    /// 1: not friends, 4: friends.
    result: u8,
}

/// Which of the targets are friends of a user.
pub(super) async fn get_friend_relationships(call: &Call<'_>) -> Result<Answer, Fault> {
    let params = call.params()?;
    let user_id = params.user_id("userId")?;
    let targets = params.user_ids("targetIds", RELATIONS_MAX)?;
    call.caught_up().await?;
    let subjects = call.engine.find_all(&call.app.id, &targets).await?;
    let owner = call.engine.find(&call.app.id, &user_id).await?;
    let pairs: Vec<_> =
        owner.iter().flat_map(|owner| subjects.iter().flatten().map(|target| (*owner, *target))).collect();
    let mut friends = friend_list::are_friends(call.engine, &call.caller(), &pairs).await?.into_iter();
    let friendships = targets.iter().zip(subjects).map(|(target, subject)| Relationship {
        user_id: target.as_str(),
        result: if subject.and_then(|_| friends.next()) == Some(true) { 4 } else { 1 },
    });
    Answer::of(&Relationships { friendships: friendships.collect() })
}

/// Who may become a friend of users.
pub(super) async fn set_friend_permission(call: &Call<'_>) -> Result<Answer, Fault> {
    let params = call.params()?;
    let who = call.counted(params.user_ids("userIds", TARGETS_MAX)?)?;
    let permission = match params.required_number("permissionType", 1, 3)? {
        1 => FriendPermission::Anyone,
        2 => FriendPermission::Approval,
        _ => FriendPermission::Nobody,
    };
    call.done(user::Change::PermitFriends(permission).of(who)).await
}

#[derive(Serialize)]
struct Permissions<'p> {
    permissions: Vec<Permission<'p>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Permission<'p> {
    user_id: &'p str,
    permission_type: u8,
}

/// Who may become a friend of users; the app's setting for who has none of its own.
pub(super) async fn get_friend_permission(call: &Call<'_>) -> Result<Answer, Fault> {
    let who = call.counted(call.params()?.user_ids("userIds", TARGETS_MAX)?)?;
    call.caught_up().await?;
    let subjects = call.engine.find_all(&call.app.id, &who).await?;
    let known: Vec<_> = subjects.iter().copied().flatten().collect();
    let mut settings = user_settings::of_subjects(call.engine.read(), &known).await?.into_iter();
    let permissions = who.iter().zip(subjects).map(|(user_id, subject)| {
        let own = subject.and_then(|_| settings.next()).and_then(|settings| settings.friend_permission);
        let permission_type = match own.unwrap_or(call.app.settings.friend_permission) {
            FriendPermission::Anyone => 1,
            FriendPermission::Approval => 2,
            FriendPermission::Nobody => 3,
        };
        Permission { user_id: user_id.as_str(), permission_type }
    });
    Answer::of(&Permissions { permissions: permissions.collect() })
}
