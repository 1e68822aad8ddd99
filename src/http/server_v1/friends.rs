//! Friends.

use rollcall_projections::user_directory::User;
use rollcall_projections::{friend_graph, hosted_profiles, user_directory, user_settings};
use rollcall_schemas::ids::SubjectRef;
use serde::Serialize;

use super::answer::{Answer, Fault, OK};
use super::{Call, convert};
use crate::domain::friendship::{Befriend, ClearFriends, Describe, Unfriend};
use crate::domain::user;
use crate::domain::values::{ProfileChanges, Remark, RequestText, extension_fields};
use crate::engine::opening::Opener;

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
    let (read, app) = (call.engine.read(), &call.app.id);
    let Some(owner) = call.engine.find(app, &user_id).await? else {
        let (page_token, friend_list) = (String::new(), vec![]);
        return Answer::of(&Friends { code: OK, page_token, total_count: 0, friend_list });
    };
    let mut rows = friend_graph::page(read, owner, cursor, size + 1, order).await?;
    let wanted = usize::try_from(size).unwrap_or(usize::MAX);
    let more = rows.len() > wanted;
    rows.truncate(wanted);
    let page_token =
        rows.last().filter(|_| more).map(|row| convert::page_token(row.befriended_position)).unwrap_or_default();
    // After a friend is deactivated the friendship remains until the erasure ends it; the friend is not shown then.
    let friends: Vec<_> = rows.iter().map(|row| row.friend).collect();
    let users = user_directory::by_subjects(read, app, &friends).await?;
    let (rows, users): (Vec<_>, Vec<_>) = rows.into_iter().zip(users).filter(|(_, user)| !is_fenced(user)).unzip();
    let fenced = (friends.len() - rows.len()) as u64;
    let subjects: Vec<_> = rows.iter().map(|row| row.friend).collect();
    let ids = user_directory::user_ids(read, app, &subjects).await?;
    let named = named(call, &subjects, users).await?;
    let descriptions = friend_graph::descriptions(read, owner, &subjects).await?;
    let friend_list = call.disclose(&subjects, |opener| {
        let mut friend_list = Vec::with_capacity(rows.len());
        for (((row, id), named), description) in rows.iter().zip(ids).zip(named).zip(&descriptions) {
            let Some(user_id) = convert::user_id(opener, row.friend, id.as_deref())? else { continue };
            let written = description.iter().map(|(field, sealed)| (field.as_str(), sealed.as_slice()));
            let (remark, fields): (Vec<_>, Vec<_>) = written.partition(|(field, _)| *field == friend_graph::REMARK);
            let remark = remark.first().map(|(_, sealed)| *sealed);
            friend_list.push(Friend {
                user_id,
                name: named.open(opener, row.friend)?,
                remark_name: convert::opened(opener, row.friend, friend_graph::REMARK, remark)?,
                friend_ext_profile: convert::opened_fields(opener, row.friend, fields.into_iter())?,
                time: row.befriended_at.timestamp_millis(),
            });
        }
        Ok(friend_list)
    });
    let friend_list = friend_list.await?;
    let total_count = friend_graph::count(read, owner).await?.saturating_sub(fenced);
    Answer::of(&Friends { code: OK, page_token, total_count, friend_list })
}

fn is_fenced(user: &Option<User>) -> bool {
    user.as_ref().is_some_and(|user| user.deactivated)
}

/// The name a friend is shown with, sealed: that of the hosted profile, else the registered one, else none.
struct Named {
    hosted: Option<Vec<u8>>,
    registered: Option<Vec<u8>>,
}

impl Named {
    fn open(&self, opener: &mut Opener<'_>, subject: SubjectRef) -> Result<String, Fault> {
        let hosted = convert::opened(opener, subject, "name", self.hosted.as_deref())?;
        if hosted.is_empty() {
            convert::opened(opener, subject, "name", self.registered.as_deref())
        } else {
            Ok(hosted)
        }
    }
}

async fn named(call: &Call<'_>, subjects: &[SubjectRef], users: Vec<Option<User>>) -> Result<Vec<Named>, Fault> {
    let (read, app) = (call.engine.read(), &call.app.id);
    let profiles = hosted_profiles::of_subjects(read, app, subjects).await?;
    let named = profiles.into_iter().zip(users).map(|(profile, user)| {
        let hosted = profile.and_then(|profile| profile.fields.into_iter().find(|(name, _)| name.0 == "name"));
        // The friendship remains for a moment after the friend is deactivated; the name must not be shown.
        let registered = user.filter(User::is_active).and_then(|user| user.name);
        Named { hosted: hosted.map(|(_, sealed)| sealed), registered }
    });
    Ok(named.collect())
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
    let known: Vec<_> = subjects.iter().copied().flatten().collect();
    let (read, app) = (call.engine.read(), &call.app.id);
    let friends = match call.engine.find(app, &user_id).await? {
        Some(owner) => friend_graph::check(read, owner, &known).await?,
        None => vec![],
    };
    let users = user_directory::by_subjects(read, app, &known).await?;
    let mut friends = friends.into_iter().zip(&users).map(|(are_friends, user)| are_friends && !is_fenced(user));
    let results = targets.iter().zip(subjects).map(|(target, subject)| Relationship {
        user_id: target.as_str(),
        result: if subject.and_then(|_| friends.next()) == Some(true) { 4 } else { 1 },
    });
    Answer::of(&Checked { code: OK, results: results.collect() })
}

/// `friend/permission/set`: who may become a friend of users.
pub(super) async fn permit_friends(call: &Call<'_>) -> Result<Answer, Fault> {
    let form = call.form()?;
    let who = form.user_ids("userIds", TARGETS_MAX)?;
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
    let who = call.form()?.user_ids("userIds", TARGETS_MAX)?;
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
