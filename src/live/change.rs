//! What an event means to a user who is connected: about the user itself, its lists and its friends.

use chrono::{DateTime, Utc};
use rollcall_schemas::envelope::Recorded;
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::plain::{EndCause, RequestState};
use rollcall_schemas::{Event, allowlist, blocklist, friend_groups, friendship, user};

/// One of a user's lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum List {
    /// Whom the user blocks.
    Blocklist,
    /// Whom the user allows.
    Allowlist,
}

/// What has changed in a friend group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupChange {
    /// It was made, or has another label.
    Labelled,
    /// It is no more.
    Removed,
    /// A friend is in it now.
    FriendAdded(SubjectRef),
    /// A friend is in it no longer.
    FriendRemoved(SubjectRef),
}

/// What has changed for a user. Others are named by their subjects; nothing in it is personal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A request to become friends is pending.
    FriendRequested {
        /// The other one.
        other: SubjectRef,
        /// Whether the user asked.
        sent: bool,
        /// When the request lapses.
        expires_at: DateTime<Utc>,
    },
    /// A request has ended: it was accepted, refused, taken back, or lapsed.
    FriendRequestEnded {
        /// The other one.
        other: SubjectRef,
        /// How.
        how: RequestState,
        /// Whether the user had asked.
        sent: bool,
    },
    /// The two are friends.
    FriendAdded {
        /// The other one.
        other: SubjectRef,
    },
    /// The two are friends no longer, or the request is void.
    FriendRemoved {
        /// The other one.
        other: SubjectRef,
        /// Why.
        cause: EndCause,
    },
    /// The user described a friend: remark and own fields.
    FriendRemarked {
        /// Whom.
        other: SubjectRef,
    },
    /// A list of the user has changed.
    ListChanged {
        /// Which.
        list: List,
        /// Who is on it now.
        added: Vec<SubjectRef>,
        /// Who is not on it any more.
        removed: Vec<SubjectRef>,
        /// Whether nobody is on it any more.
        emptied: bool,
        /// Whether it is in force now, where that has changed.
        enabled: Option<bool>,
    },
    /// A friend group of the user has changed. That somebody is in no group any more because the friendship has ended is not
    /// told once more.
    GroupChanged {
        /// Its number.
        group: u32,
        /// What has changed.
        change: GroupChange,
    },
    /// The user itself has changed: which of `name`, `portrait_uri`, `profile`, `friend_permission`, `visibility`.
    MeUpdated {
        /// Which.
        fields: Vec<&'static str>,
    },
}

/// A change with its place in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Position of the event.
    pub position: u64,
    /// When it was recorded.
    pub at: DateTime<Utc>,
    /// What has changed.
    pub change: Change,
}

impl Change {
    /// The others whom it names.
    #[must_use]
    pub fn others(&self) -> Vec<SubjectRef> {
        match self {
            Self::FriendRequested { other, .. }
            | Self::FriendRequestEnded { other, .. }
            | Self::FriendAdded { other }
            | Self::FriendRemoved { other, .. }
            | Self::FriendRemarked { other } => vec![*other],
            Self::ListChanged { added, removed, .. } => added.iter().chain(removed).copied().collect(),
            Self::GroupChanged { change, .. } => match change {
                GroupChange::FriendAdded(friend) | GroupChange::FriendRemoved(friend) => vec![*friend],
                GroupChange::Labelled | GroupChange::Removed => vec![],
            },
            Self::MeUpdated { .. } => vec![],
        }
    }
}

impl Notice {
    /// What an event means to a subject; `None`: nothing that it is told. Nobody is told by whom it is blocked, allowed,
    /// described or put into a group.
    #[must_use]
    pub fn of(subject: SubjectRef, recorded: &Recorded<Event>) -> Option<Self> {
        let change = match &recorded.event {
            Event::Friendship(event) => of_friendship(subject, event),
            Event::Blocklist(event) => of_blocklist(subject, event),
            Event::Allowlist(event) => of_allowlist(subject, event),
            Event::FriendGroups(event) => of_groups(subject, event),
            Event::User(event) if recorded.event.about().0 == Some(subject) => of_user(event),
            _ => None,
        };
        change.map(|change| Self { position: recorded.position, at: recorded.recorded_at, change })
    }
}

/// The other one of two, if the subject is one of them.
fn other_of(subject: SubjectRef, one: SubjectRef, other: SubjectRef) -> Option<SubjectRef> {
    match subject {
        _ if subject == one => Some(other),
        _ if subject == other => Some(one),
        _ => None,
    }
}

fn of_friendship(subject: SubjectRef, event: &friendship::Event) -> Option<Change> {
    match event {
        friendship::Event::Requested(e) => other_of(subject, e.from, e.to).map(|other| Change::FriendRequested {
            other,
            sent: subject == e.from,
            expires_at: e.expires_at,
        }),
        // Who accepts or refuses was asked; who cancels had asked.
        friendship::Event::Accepted(e) => ended(subject, (e.other, e.by), RequestState::Accepted),
        friendship::Event::Refused(e) => ended(subject, (e.other, e.by), RequestState::Refused),
        friendship::Event::Cancelled(e) => ended(subject, (e.by, e.other), RequestState::Cancelled),
        friendship::Event::Expired(e) => ended(subject, (e.from, e.to), RequestState::Expired),
        friendship::Event::Befriended(e) => other_of(subject, e.from, e.to).map(|other| Change::FriendAdded { other }),
        friendship::Event::Ended(e) => {
            other_of(subject, e.by, e.other).map(|other| Change::FriendRemoved { other, cause: e.cause })
        }
        friendship::Event::Described(e) => (e.owner == subject).then_some(Change::FriendRemarked { other: e.about }),
    }
}

fn ended(subject: SubjectRef, (from, to): (SubjectRef, SubjectRef), how: RequestState) -> Option<Change> {
    other_of(subject, from, to).map(|other| Change::FriendRequestEnded { other, how, sent: subject == from })
}

fn list(list: List) -> impl Fn(&[SubjectRef], &[SubjectRef], bool, Option<bool>) -> Change {
    move |added, removed, emptied, enabled| Change::ListChanged {
        list,
        added: added.to_vec(),
        removed: removed.to_vec(),
        emptied,
        enabled,
    }
}

fn of_blocklist(subject: SubjectRef, event: &blocklist::Event) -> Option<Change> {
    let changed = list(List::Blocklist);
    let (owner, change) = match event {
        blocklist::Event::Blocked(e) => (e.subject, changed(&e.targets, &[], false, None)),
        blocklist::Event::Unblocked(e) => (e.subject, changed(&[], &e.targets, false, None)),
        blocklist::Event::Emptied(e) => (e.subject, changed(&[], &[], true, None)),
    };
    (owner == subject).then_some(change)
}

fn of_allowlist(subject: SubjectRef, event: &allowlist::Event) -> Option<Change> {
    let changed = list(List::Allowlist);
    let (owner, change) = match event {
        allowlist::Event::Allowed(e) => (e.subject, changed(&e.targets, &[], false, None)),
        allowlist::Event::Disallowed(e) => (e.subject, changed(&[], &e.targets, false, None)),
        allowlist::Event::Emptied(e) => (e.subject, changed(&[], &[], true, Some(false))),
        allowlist::Event::Enabled(e) => (e.subject, changed(&[], &[], false, Some(true))),
        allowlist::Event::Disabled(e) => (e.subject, changed(&[], &[], false, Some(false))),
    };
    (owner == subject).then_some(change)
}

fn of_groups(subject: SubjectRef, event: &friend_groups::Event) -> Option<Change> {
    let (owner, group, change) = match event {
        friend_groups::Event::Labelled(e) => (e.owner, e.group, GroupChange::Labelled),
        friend_groups::Event::Removed(e) => (e.owner, e.group, GroupChange::Removed),
        friend_groups::Event::Added(e) => (e.owner, e.group, GroupChange::FriendAdded(e.friend)),
        friend_groups::Event::TakenOut(e) => (e.owner, e.group, GroupChange::FriendRemoved(e.friend)),
        // The user is deactivated and connected no more.
        friend_groups::Event::Emptied(_) => return None,
    };
    (owner == subject).then_some(Change::GroupChanged { group, change })
}

fn of_user(event: &user::Event) -> Option<Change> {
    let fields = match event {
        user::Event::Reregistered(e) => modified(true, e.portrait.is_some()),
        user::Event::Modified(e) => modified(e.name.is_some(), e.portrait.is_some()),
        user::Event::ProfileSet(_) | user::Event::ProfileCleaned(_) => vec!["profile"],
        user::Event::FriendPermissionSet(_) => vec!["friend_permission"],
        user::Event::VisibilitySet(_) => vec!["visibility"],
        _ => return None,
    };
    Some(Change::MeUpdated { fields })
}

fn modified(name: bool, portrait: bool) -> Vec<&'static str> {
    [("name", name), ("portrait_uri", portrait)].into_iter().filter(|(_, is)| *is).map(|(field, _)| field).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rollcall_schemas::envelope::{Actor, Metadata};
    use rollcall_schemas::ids::EventId;
    use rollcall_schemas::stream::Stream;
    use uuid::Uuid;

    use super::*;

    fn subject(number: u128) -> SubjectRef {
        SubjectRef(Uuid::from_u128(number))
    }

    fn told(to: u128, event: impl Into<Event>) -> Option<Change> {
        let recorded = Recorded {
            position: 7,
            stream: Stream::User(subject(1)),
            revision: 1,
            id: EventId(Uuid::nil()),
            recorded_at: DateTime::UNIX_EPOCH,
            metadata: Metadata {
                app: "app".parse().unwrap(),
                actor: Actor::System,
                correlation: Uuid::nil(),
                causation: None,
            },
            name: "any",
            version: 1,
            event: event.into(),
        };
        Notice::of(subject(to), &recorded).map(|notice| notice.change)
    }

    #[test]
    fn nobody_is_told_by_whom_it_is_blocked_allowed_described_or_put_into_a_group() {
        let blocked: blocklist::Event = blocklist::Blocked { subject: subject(1), targets: vec![subject(2)] }.into();
        let allowed: allowlist::Event = allowlist::Allowed { subject: subject(1), targets: vec![subject(2)] }.into();
        let described: friendship::Event = friendship::Described {
            owner: subject(1),
            about: subject(2),
            remark: None,
            remark_cleared: true,
            fields: [].into(),
            cleared: [].into(),
        }
        .into();
        let grouped: friend_groups::Event =
            friend_groups::Added { owner: subject(1), friend: subject(2), group: 1 }.into();
        for event in [Event::from(blocked), allowed.into(), described.into(), grouped.into()] {
            assert!(told(1, event.clone()).is_some());
            assert_eq!(told(2, event), None);
        }
    }

    #[test]
    fn both_are_told_of_a_friendship_each_of_the_other_and_nobody_else_is() {
        let befriended = || friendship::Event::from(friendship::Befriended { from: subject(1), to: subject(2) });
        assert_eq!(told(1, befriended()), Some(Change::FriendAdded { other: subject(2) }));
        assert_eq!(told(2, befriended()), Some(Change::FriendAdded { other: subject(1) }));
        assert_eq!(told(3, befriended()), None);
    }
}
