//! What has changed for the user: as it is asked for, and as it is pushed.

use std::collections::HashMap;

use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::plain::{EndCause, RequestState};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Call;
use super::me::time;
use super::people;
use super::problem::{Answer, Problem};
use crate::http::at_most::{AtMost, INT64_MAX};
use crate::live::change::{Change, GroupChange, List, Notice};
use crate::live::gap;

/// A request to become friends is pending.
#[derive(Serialize, ToSchema)]
pub(super) struct FriendRequested {
    user_id: String,
    /// sent or received.
    direction: &'static str,
    expires_at: String,
    position: u64,
}

/// A request to become friends has ended.
#[derive(Serialize, ToSchema)]
pub(super) struct RequestEnded {
    user_id: String,
    /// sent or received.
    direction: &'static str,
    position: u64,
}

/// A friend, or one who is not any more.
#[derive(Serialize, ToSchema)]
pub(super) struct OfFriend {
    user_id: String,
    /// Why it ended: removed, cleared or deactivated.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    position: u64,
}

/// What has changed on a list.
#[derive(Serialize, ToSchema)]
pub(super) struct ListChanged {
    /// Who is on it now.
    added: Vec<String>,
    /// Who is not on it any more.
    removed: Vec<String>,
    /// Whether nobody is on it any more.
    emptied: bool,
    /// Whether it counts now, where that has changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    enabled: Option<bool>,
    position: u64,
}

/// What has changed in a friend group; `friend_groups.get` tells how it is now. Who is a friend no more is in no group: that is
/// told by `friend.removed` alone.
#[derive(Serialize, ToSchema)]
pub(super) struct FriendGroupChanged {
    group_id: u32,
    /// labelled (made, or given another label), removed, friend_added or friend_removed.
    change: &'static str,
    /// Who was added or removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<String>,
    position: u64,
}

/// What has changed of the user itself; `me.get` tells how it is now.
#[derive(Serialize, ToSchema)]
pub(super) struct MeUpdated {
    /// name, portrait_uri, profile, friend_permission, visibility.
    fields: Vec<&'static str>,
    position: u64,
}

/// Any change.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Params {
    Requested(FriendRequested),
    Ended(RequestEnded),
    Friend(OfFriend),
    List(ListChanged),
    Group(FriendGroupChanged),
    Me(MeUpdated),
}

/// A change as a client is told of it.
#[derive(Serialize)]
pub(super) struct Told {
    /// The name of the notification.
    pub(super) method: &'static str,
    pub(super) params: Params,
}

/// Changes as the client of the call is told of them, in their order. One that names only somebody who was forgotten meanwhile
/// is left out.
pub(super) async fn told(call: &Call<'_>, notices: &[Notice]) -> Result<Vec<Told>, Problem> {
    let mut others: Vec<_> = notices.iter().flat_map(|notice| notice.change.others()).collect();
    others.sort_unstable();
    others.dedup();
    let ids = if others.is_empty() { vec![] } else { people::ids_of(call, &others).await? };
    let ids: HashMap<_, _> = others.into_iter().zip(ids).filter_map(|(other, id)| Some((other, id?))).collect();
    Ok(notices.iter().filter_map(|notice| told_with(&ids, notice)).collect())
}

fn told_with(ids: &HashMap<SubjectRef, String>, notice: &Notice) -> Option<Told> {
    let position = notice.position;
    let id = |other: &SubjectRef| ids.get(other).cloned();
    let of_friend = |method, other: &SubjectRef, cause: Option<EndCause>| {
        let friend = OfFriend { user_id: id(other)?, cause: cause.map(EndCause::as_str), position };
        Some(Told { method, params: Params::Friend(friend) })
    };
    match &notice.change {
        Change::FriendRequested { other, sent, expires_at } => {
            let direction = if *sent { "sent" } else { "received" };
            let requested = FriendRequested { user_id: id(other)?, direction, expires_at: time(*expires_at), position };
            Some(Told { method: "friend.requested", params: Params::Requested(requested) })
        }
        Change::FriendRequestEnded { other, how, sent } => {
            let method = match how {
                RequestState::Accepted => "friend.accepted",
                RequestState::Refused => "friend.refused",
                RequestState::Cancelled => "friend.cancelled",
                RequestState::Expired => "friend.expired",
                RequestState::Pending => return None,
            };
            let direction = if *sent { "sent" } else { "received" };
            let ended = RequestEnded { user_id: id(other)?, direction, position };
            Some(Told { method, params: Params::Ended(ended) })
        }
        Change::FriendAdded { other } => of_friend("friend.added", other, None),
        Change::FriendRemoved { other, cause } => of_friend("friend.removed", other, Some(*cause)),
        Change::FriendRemarked { other } => of_friend("friend.remarked", other, None),
        Change::ListChanged { list, added, removed, emptied, enabled } => {
            let named = |others: &[SubjectRef]| others.iter().filter_map(id).collect();
            let (added, removed) = (named(added), named(removed));
            let changed = ListChanged { added, removed, emptied: *emptied, enabled: *enabled, position };
            let method = match list {
                List::Blocklist => "blocklist.changed",
                List::Allowlist => "allowlist.changed",
            };
            Some(Told { method, params: Params::List(changed) })
        }
        Change::GroupChanged { group, change } => {
            let (change, user_id) = match change {
                GroupChange::Labelled => ("labelled", None),
                GroupChange::Removed => ("removed", None),
                GroupChange::FriendAdded(friend) => ("friend_added", Some(id(friend)?)),
                GroupChange::FriendRemoved(friend) => ("friend_removed", Some(id(friend)?)),
            };
            let changed = FriendGroupChanged { group_id: *group, change, user_id, position };
            Some(Told { method: "friend_groups.changed", params: Params::Group(changed) })
        }
        Change::MeUpdated { fields } => {
            let updated = MeUpdated { fields: fields.clone(), position };
            Some(Told { method: "me.updated", params: Params::Me(updated) })
        }
    }
}

/// Since when.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Since {
    /// The newest `position` that the client has seen.
    #[schema(value_type = u64)]
    since: AtMost<INT64_MAX>,
}

/// What has changed.
#[derive(Serialize)]
struct Changes {
    /// All changes, the earliest first, each as the notification that tells of it; empty with `reload`.
    changes: Vec<Told>,
    /// Whether it is too much: everything is to be read again.
    reload: bool,
    /// Up to where: the `since` of the next call.
    position: u64,
}

/// What has changed, for the documentation.
#[derive(ToSchema)]
#[allow(dead_code)]
pub(super) struct ChangesShape {
    /// All changes, the earliest first, each as the notification that tells of it; empty with `reload`.
    changes: Vec<NotificationShape>,
    /// Whether it is too much: everything is to be read again.
    reload: bool,
    /// Up to where: the `since` of the next call.
    position: u64,
}

/// A notification.
#[derive(ToSchema)]
#[allow(dead_code)]
pub(super) struct NotificationShape {
    method: String,
    params: serde_json::Map<String, serde_json::Value>,
}

/// `changes.get`.
pub(super) async fn since(call: &Call<'_>, asked: Since) -> Result<Answer, Problem> {
    call.engine.caught_up(&call.app.id).await?;
    let position = *call.engine.watch_applied().borrow();
    let missed = gap::between(call.engine, &call.app.id, call.subject, asked.since.into(), position).await?;
    let (changes, reload) = match missed {
        Some(notices) => (told(call, &notices).await?, false),
        None => (vec![], true),
    };
    Answer::query(&Changes { changes, reload, position })
}
