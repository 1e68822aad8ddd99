//! Friends.

use rollcall_projections::user_settings;
use serde::Serialize;

use super::answer::{Answer, Fault, OK};
use super::{Call, convert};
use crate::domain::friendship::{Befriend, ClearFriends, Describe, Unfriend};
use crate::domain::user;
use crate::domain::values::{ProfileChanges, Remark, RequestText, extension_fields};
use crate::http::friend_list::{self, FriendList, ShownFriend};

/// Users one call may name.
const TARGETS_MAX: usize = 100;

/// `friend/add`: make a user the friend of another; `optType` 1, the default, as the other permits, 2 directly.
pub(super) async fn befriend(call: &Call<'_>) -> Result<Answer, Fault> {
    let form = call.form()?;
    let who = form.user_id("userId")?;
    let target = form.user_id("targetId")?;
    let direct = form.number("optType", 1, 2)? == Some(2);
    let text = form.text("extra").map(RequestText::parse).transpose()?;
    call.done(Befriend { who, target, direct, text }).await
}

/// `friend/delete`: end friendships; users who are not friends are ignored.
pub(super) async fn unfriend(call: &Call<'_>) -> Result<Answer, Fault> {
    let form = call.form()?;
    let who = form.user_id("userId")?;
    let targets = form.user_ids("targetIds", TARGETS_MAX)?;
    call.done(Unfriend { who, targets }).await
}

/// `friend/clean`: end all friendships of a user.
pub(super) async fn clear_friends(call: &Call<'_>) -> Result<Answer, Fault> {
    let who = call.form()?.user_id("userId")?;
    call.done(ClearFriends { who }).await
}

/// `friend/profile/set`: describe a friend for oneself; an empty `remarkName` takes the remark away.
pub(super) async fn describe_friend(call: &Call<'_>) -> Result<Answer, Fault> {
    const FIELDS_MAX: usize = 10;
    let form = call.form()?;
    let owner = form.user_id("userId")?;
    let about = form.user_id("targetId")?;
    let remark = match form.given("remarkName") {
        None => None,
        Some("") => Some(None),
        Some(remark) => Some(Some(Remark::parse(remark)?)),
    };
    let changes = match convert::object(&form, "friendExtProfile")? {
        Some(object) => extension_fields("friendExtProfile", &object, FIELDS_MAX)?,
        None => ProfileChanges::new(),
    };
    call.done(Describe { owner, about, remark, changes }).await
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Friends {
    code: u16,
    page_token: String,
    total_count: u64,
    friend_list: Vec<Friend>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Friend {
    user_id: String,
    name: String,
    remark_name: String,
    friend_ext_profile: String,
    time: i64,
}

/// `friend/get`: a page of the friends of a user.
pub(super) async fn list_friends(call: &Call<'_>) -> Result<Answer, Fault> {
    let form = call.form()?;
    let user_id = form.user_id("userId")?;
    let cursor = convert::cursor(&form)?;
    let size = convert::number(form.number("size", 1, 100)?.unwrap_or(50));
    let order = convert::order(&form)?;
    call.caught_up().await?;
    let Some(owner) = call.engine.find(&call.app.id, &user_id).await? else {
        let (page_token, friend_list) = (String::new(), vec![]);
        return Answer::of(&Friends { code: OK, page_token, total_count: 0, friend_list });
    };
    let FriendList { friends, beside, total } =
        friend_list::page(call.engine, &call.caller(), owner, (cursor, size, order)).await?;
    let friend_list = friends.into_iter().map(Friend::of).collect::<Result<_, _>>()?;
    let page_token = beside.next.map(convert::page_token).unwrap_or_default();
    Answer::of(&Friends { code: OK, page_token, total_count: total, friend_list })
}

impl Friend {
    fn of(friend: ShownFriend) -> Result<Self, Fault> {
        Ok(Self {
            user_id: friend.user_id,
            name: friend.name.unwrap_or_default(),
            remark_name: friend.remark.unwrap_or_default(),
            friend_ext_profile: serde_json::to_string(&friend.fields).map_err(Fault::Unwritable)?,
            time: friend.befriended_at.timestamp_millis(),
        })
    }
}

#[derive(Serialize)]
struct Checked<'c> {
    code: u16,
    results: Vec<Relationship<'c>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Relationship<'c> {
    user_id: &'c str,
    /// 1: not friends, 4: friends.
    result: u8,
}

/// `friend/check`: which of the targets are friends of a user.
pub(super) async fn check_friends(call: &Call<'_>) -> Result<Answer, Fault> {
    let form = call.form()?;
    let user_id = form.user_id("userId")?;
    let targets = form.user_ids("targetIds", TARGETS_MAX)?;
    call.caught_up().await?;
    let subjects = convert::subjects(call, &targets).await?;
    let owner = call.engine.find(&call.app.id, &user_id).await?;
    let pairs: Vec<_> =
        owner.iter().flat_map(|owner| subjects.iter().flatten().map(|target| (*owner, *target))).collect();
    let mut friends = friend_list::are_friends(call.engine, &call.caller(), &pairs).await?.into_iter();
    let results = targets.iter().zip(subjects).map(|(target, subject)| Relationship {
        user_id: target.as_str(),
        result: if subject.and_then(|_| friends.next()) == Some(true) { 4 } else { 1 },
    });
    Answer::of(&Checked { code: OK, results: results.collect() })
}

/// `friend/permission/set`: who may become a friend of users.
pub(super) async fn permit_friends(call: &Call<'_>) -> Result<Answer, Fault> {
    let form = call.form()?;
    let who = call.counted(form.user_ids("userIds", TARGETS_MAX)?)?;
    let permission = convert::permission(&form)?;
    call.done(user::Change::PermitFriends(permission).of(who)).await
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Permissions<'p> {
    code: u16,
    permission_settings: Vec<Permission<'p>>,
}

#[derive(Serialize)]
struct Permission<'p> {
    #[serde(rename = "userId")]
    user_id: &'p str,
    #[serde(rename = "type")]
    permission: u8,
}

/// `friend/permission/get`: who may become a friend of users; the app's setting for who has none of its own.
pub(super) async fn query_permissions(call: &Call<'_>) -> Result<Answer, Fault> {
    let who = call.counted(call.form()?.user_ids("userIds", TARGETS_MAX)?)?;
    call.caught_up().await?;
    let subjects = convert::subjects(call, &who).await?;
    let known: Vec<_> = subjects.iter().copied().flatten().collect();
    let mut settings = user_settings::of_subjects(call.engine.read(), &known).await?.into_iter();
    let permission_settings = who.iter().zip(subjects).map(|(user_id, subject)| {
        let own = subject.and_then(|_| settings.next()).and_then(|settings| settings.friend_permission);
        let permission = own.unwrap_or(call.app.settings.friend_permission);
        Permission { user_id: user_id.as_str(), permission: convert::permission_number(permission) }
    });
    Answer::of(&Permissions { code: OK, permission_settings: permission_settings.collect() })
}
