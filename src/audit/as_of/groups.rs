//! The groups in which a user kept friends.

use std::collections::HashMap;

use rollcall_projections::store::ReadStore;
use rollcall_projections::{PAGE_MAX, friend_groups};
use rollcall_schemas::ids::SubjectRef;
use serde::Serialize;

use super::error::Error;
use super::lists::{Friend, Other};
use super::shown::{Opener, Shown};

/// A group of friends.
#[derive(Debug, Clone, Serialize)]
pub struct FriendGroup {
    /// Its number.
    pub group_id: u32,
    /// What the user called it.
    pub label: Shown<String>,
    /// Who was in it, in an order that does not change.
    pub friends: Vec<Other>,
}

/// The groups of a user whose friends are known.
pub(super) async fn groups(
    store: &ReadStore,
    opener: &mut Opener<'_>,
    owner: SubjectRef,
    friends: &[Friend],
) -> Result<Vec<FriendGroup>, Error> {
    let ids: HashMap<_, _> = friends.iter().map(|friend| (friend.subject, &friend.user_id)).collect();
    let mut groups = vec![];
    for friend_groups::Group { number, label, .. } in friend_groups::all(store, owner).await? {
        let mut group = FriendGroup { group_id: number, label: opener.open(owner, &label).await?, friends: vec![] };
        let mut after = None;
        loop {
            let page = friend_groups::members(store, (owner, number), after, PAGE_MAX).await?;
            let Some(last) = page.last() else { break };
            after = Some(*last);
            // Who is in a group is a friend.
            let named = page.iter().filter_map(|friend| Some((*friend, *ids.get(friend)?)));
            group.friends.extend(named.map(|(subject, user_id)| Other { subject, user_id: user_id.clone() }));
        }
        groups.push(group);
    }
    Ok(groups)
}
