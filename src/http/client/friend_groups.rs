//! The groups in which the user keeps friends.

use rollcall_projections::{friend_graph, friend_groups};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Call;
use super::friends::{self, Friend};
use super::me::Nothing;
use super::people::{self, opened};
use super::problem::{Answer, Problem};
use crate::domain::Refusal;
use crate::domain::friend_groups::{GroupFriend, LabelGroup, RemoveGroup};
use crate::domain::values::{GroupNumber, Label};
use crate::http::cursor::GroupMember;

/// As which field a label is recorded as read.
const FIELD: &str = "friend_groups";

/// A group.
#[derive(Serialize, ToSchema)]
#[schema(as = FriendGroupSummary)]
pub(super) struct Summary {
    group_id: u32,
    label: String,
    /// How many friends are in it.
    friends: u64,
}

/// All groups, in the order of their numbers.
#[derive(Serialize, ToSchema)]
#[schema(as = FriendGroupList)]
pub(super) struct List {
    friend_groups: Vec<Summary>,
    /// Always null: a user has 100 groups at most.
    next: Option<String>,
}

/// A group and a page of its friends.
#[derive(Serialize, ToSchema)]
#[schema(as = FriendGroup)]
pub(super) struct Group {
    group_id: u32,
    label: String,
    friends: Vec<Friend>,
    next: Option<String>,
}

/// Which group, and which page of its friends.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FriendGroupPageParams)]
pub(super) struct PageOf {
    /// From 1 to 100.
    group_id: u32,
    /// The `next` of an earlier answer.
    cursor: Option<String>,
    /// How many, from 1 to 100; 50 where it is not said.
    limit: Option<u32>,
}

/// Which group.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FriendGroupParams)]
pub(super) struct Which {
    /// From 1 to 100.
    group_id: u32,
}

/// A group and what it is called.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FriendGroupLabel)]
pub(super) struct Labelled {
    /// From 1 to 100.
    group_id: u32,
    /// At most 64 characters.
    label: String,
}

/// A group and a friend.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = FriendInGroupParams)]
pub(super) struct Member {
    /// From 1 to 100.
    group_id: u32,
    user_id: String,
}

/// `friend_groups.list`.
pub(super) async fn list(call: &Call<'_>, _: Nothing) -> Result<Answer, Problem> {
    call.engine.caught_up(&call.app.id).await?;
    let groups = friend_groups::all(call.engine.read(), call.subject).await?;
    let whose = [call.subject];
    let listed = call.engine.disclose(&call.caller, &whose, |opener| {
        let mut listed = Vec::with_capacity(groups.len());
        for group in &groups {
            let label = opened(opener, call.subject, FIELD, Some(&group.label))?;
            listed.extend(label.map(|label| Summary { group_id: group.number, label, friends: group.members }));
        }
        Ok::<_, Problem>(listed)
    });
    Answer::query(&List { friend_groups: listed.await?, next: None })
}

/// `friend_groups.get`.
pub(super) async fn show(call: &Call<'_>, asked: PageOf) -> Result<Answer, Problem> {
    let group = GroupNumber::new(asked.group_id)?.get();
    let limit = people::limit(asked.limit, 50, 100)?;
    let after = people::cursor(asked.cursor.as_deref())?.map(|GroupMember(subject)| subject);
    call.engine.caught_up(&call.app.id).await?;
    let read = call.engine.read();
    let no_such_group = || Problem::Engine(Refusal::NoSuchFriendGroup.into());
    let sealed = friend_groups::label(read, call.subject, group).await?.ok_or_else(no_such_group)?;
    let whose = [call.subject];
    let label = call.engine.disclose(&call.caller, &whose, |opener| opened(opener, call.subject, FIELD, Some(&sealed)));
    let label = label.await?.ok_or_else(no_such_group)?;
    let mut members = friend_groups::members(read, (call.subject, group), after, limit + 1).await?;
    let next = people::cut(&mut members, limit, |member| GroupMember(*member));
    let rows = friend_graph::among(read, call.subject, &members).await?;
    let rows: Vec<_> = rows.into_iter().flatten().collect();
    Answer::query(&Group { group_id: group, label, friends: friends::described(call, &rows).await?, next })
}

/// `friend_groups.set`.
pub(super) async fn set(call: &Call<'_>, asked: Labelled) -> Result<Answer, Problem> {
    let (group, label) = (GroupNumber::new(asked.group_id)?, Label::parse(&asked.label)?);
    let command = LabelGroup { owner: call.me.clone(), group, label, relabels: true };
    Ok(Answer::done(call.engine.execute(&call.caller, command).await?.position))
}

/// `friend_groups.remove`.
pub(super) async fn remove(call: &Call<'_>, asked: Which) -> Result<Answer, Problem> {
    let command = RemoveGroup { owner: call.me.clone(), group: GroupNumber::new(asked.group_id)? };
    Ok(Answer::done(call.engine.execute(&call.caller, command).await?.position))
}

async fn change(call: &Call<'_>, asked: Member, is_in: bool) -> Result<Answer, Problem> {
    let (group, friend) = (GroupNumber::new(asked.group_id)?, people::user_id(&asked.user_id)?);
    let command = GroupFriend { owner: call.me.clone(), group, friend, is_in };
    Ok(Answer::done(call.engine.execute(&call.caller, command).await?.position))
}

/// `friend_groups.add_friend`.
pub(super) async fn add_friend(call: &Call<'_>, asked: Member) -> Result<Answer, Problem> {
    change(call, asked, true).await
}

/// `friend_groups.remove_friend`.
pub(super) async fn remove_friend(call: &Call<'_>, asked: Member) -> Result<Answer, Problem> {
    change(call, asked, false).await
}
