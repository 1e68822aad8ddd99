//! The groups in which a user keeps friends, each under a number and with a label of the user's own.

use rollcall_projections::friend_groups::{self, Group};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Call;
use super::friends::Friend;
use super::paging::{PageLinks, PageQuery};
use super::problem::{Answer, Problem};
use super::users::{opened, owner, user_id};
use crate::domain::Refusal;
use crate::domain::friend_groups::{GroupFriend, LabelGroup, RemoveGroup};
use crate::domain::values::{GroupNumber, Label, UserId};
use crate::http::cursor::GroupMember;
use crate::http::friend_list;

/// One group.
#[derive(Serialize, ToSchema)]
pub(super) struct ListedGroup {
    /// From 1 to 100.
    group_id: u32,
    label: String,
    /// How many friends are in it.
    friends: u64,
}

/// All groups of a user.
#[derive(Serialize, ToSchema)]
pub(super) struct FriendGroups {
    friend_groups: Vec<ListedGroup>,
    /// Always null: a user has 100 groups at most.
    next: Option<String>,
}

/// One group, and a page of who is in it.
#[derive(Serialize, ToSchema)]
pub(super) struct FriendGroup {
    group_id: u32,
    label: String,
    friends: Vec<Friend>,
    #[serde(flatten)]
    links: PageLinks,
}

/// What a user calls a group.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupBody {
    /// At most 64 characters.
    label: String,
}

/// The group that a path names.
fn number(call: &Call<'_>) -> Result<GroupNumber, Problem> {
    GroupNumber::parse(call.parameter(1)).map_err(|invalid| Problem::Invalid("{group_id}", invalid))
}

/// `GET /users/{id}/friend-groups`.
pub(super) async fn list(call: &Call<'_>) -> Result<Answer, Problem> {
    let owner = owner(call).await?;
    let whose = [owner];
    let groups = friend_groups::all(call.engine.read(), owner).await?;
    let friend_groups = call.engine.disclose(&call.caller, &whose, |opener| {
        let mut listed = Vec::with_capacity(groups.len());
        for Group { number, label, members } in groups {
            let label = opened(opener, owner, "friend_groups", Some(&label))?;
            listed.extend(label.map(|label| ListedGroup { group_id: number, label, friends: members }));
        }
        Ok::<_, Problem>(listed)
    });
    Answer::query(&FriendGroups { friend_groups: friend_groups.await?, next: None })
}

/// `GET /users/{id}/friend-groups/{group_id}?cursor=&limit=`: its friends in an order that does not change.
pub(super) async fn show(call: &Call<'_>) -> Result<Answer, Problem> {
    let (asked, number) = (PageQuery::<GroupMember>::read(call.query)?, number(call)?.get());
    let owner = owner(call).await?;
    let whose = [owner];
    let sealed = friend_groups::label(call.engine.read(), owner, number).await?.ok_or(Refusal::NoSuchFriendGroup)?;
    let label =
        call.engine.disclose(&call.caller, &whose, |opener| opened(opener, owner, "friend_groups", Some(&sealed)));
    let label = label.await?.ok_or(Refusal::NoSuchFriendGroup)?;
    let seek = asked.seek.map(|place| place.0);
    let mut members = friend_groups::members(call.engine.read(), (owner, number), seek, asked.limit + 1).await?;
    let links = asked.cut(&mut members, |subject| Some(GroupMember(*subject)));
    let friends = friend_list::among(call.engine, &call.caller, owner, &members).await?;
    Answer::query(&FriendGroup {
        group_id: number,
        label,
        friends: friends.into_iter().map(Friend::of).collect(),
        links,
    })
}

/// `PUT /users/{id}/friend-groups/{group_id}`.
pub(super) async fn label(call: &Call<'_>) -> Result<Answer, Problem> {
    let (owner, group) = (user_id(call.parameter(0))?, number(call)?);
    let GroupBody { label } = call.json()?;
    let label = Label::parse(&label).map_err(|invalid| Problem::Invalid("#/label", invalid))?;
    Ok(Answer::done(
        call.engine.execute(&call.caller, LabelGroup { owner, group, label, relabels: true }).await?.position,
    ))
}

/// `DELETE /users/{id}/friend-groups/{group_id}`: harmless where there is none.
pub(super) async fn remove(call: &Call<'_>) -> Result<Answer, Problem> {
    let (owner, group) = (user_id(call.parameter(0))?, number(call)?);
    Ok(Answer::done(call.engine.execute(&call.caller, RemoveGroup { owner, group }).await?.position))
}

async fn group(call: &Call<'_>, is_in: bool) -> Result<Answer, Problem> {
    let (owner, group) = (user_id(call.parameter(0))?, number(call)?);
    let invalid = |invalid| Problem::Invalid("{target}", invalid);
    let friend = UserId::parse("target", call.parameter(2)).map_err(invalid)?;
    let command = GroupFriend { owner, group, friend, is_in };
    Ok(Answer::done(call.engine.execute(&call.caller, command).await?.position))
}

/// `PUT /users/{id}/friend-groups/{group_id}/friends/{target}`: repeating it changes nothing that is shown.
pub(super) async fn add(call: &Call<'_>) -> Result<Answer, Problem> {
    group(call, true).await
}

/// `DELETE /users/{id}/friend-groups/{group_id}/friends/{target}`: harmless where the friend is not in it.
pub(super) async fn take_out(call: &Call<'_>) -> Result<Answer, Problem> {
    group(call, false).await
}
