//! The groups in which one user keeps friends.
//!
//! A group is named by a number that the caller chooses, so that no label, which is a text of the user's own, has to be known
//! to find it. The state holds the numbers alone.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rollcall_schemas::friend_groups::{Added, Emptied, Event, Labelled, Removed, TakenOut};
use rollcall_schemas::ids::{AppId, Pair, SubjectRef};
use rollcall_schemas::personal::Personal;
use rollcall_schemas::stream::Stream;
use serde::{Deserialize, Serialize};

use super::command::{Command, Decide, Found, Person};
use super::state::Recorded;
use super::values::{GroupNumber, Label, UserId};
use super::{Error, Reads, Refusal, UnitOfWork, friendship, user};

/// The numbers of the groups that exist. Who is in a group is not part of the state: membership ends with the friendship, which
/// is another stream, and the read model derives the one from the other.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    groups: BTreeSet<u32>,
}

impl Recorded for State {
    const VERSION: u32 = 1;

    fn entries(&self) -> usize {
        self.groups.len()
    }
}

/// What an event makes of the state.
pub fn evolve(state: &mut State, event: &Event, _: DateTime<Utc>) {
    match event {
        Event::Labelled(e) => {
            state.groups.insert(e.group);
        }
        Event::Removed(e) => {
            state.groups.remove(&e.group);
        }
        Event::Emptied(_) => state.groups.clear(),
        Event::Added(_) | Event::TakenOut(_) => {}
    }
}

/// Removes all groups.
#[must_use]
pub fn empty(state: &State, owner: SubjectRef) -> Vec<Event> {
    if state.groups.is_empty() { vec![] } else { vec![Emptied { owner }.into()] }
}

/// Make a group, or give one another label.
#[derive(Debug, Clone)]
pub struct LabelGroup<P = UserId> {
    /// Whose group.
    pub owner: P,
    /// Which.
    pub group: GroupNumber,
    /// What the user calls it.
    pub label: Label,
    /// Whether a group that exists gets the label as well.
    pub relabels: bool,
}

impl Command for LabelGroup {
    type Resolved = LabelGroup<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        vec![&self.owner]
    }

    fn resolve(&self, found: &Found) -> Result<LabelGroup<Person>, Error> {
        let (owner, label) = (found.person(&self.owner)?, self.label.clone());
        Ok(LabelGroup { owner, group: self.group, label, relabels: self.relabels })
    }
}

impl Decide for LabelGroup<Person> {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        reads.person(&self.owner, &[Stream::User, Stream::FriendGroups]);
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        let owner = self.owner.subject.ok_or(Refusal::NotRegistered)?;
        let group = self.group.get();
        work.state::<user::State>(owner)?.unfenced()?;
        if !self.relabels && work.state::<State>(owner)?.groups.contains(&group) {
            return Err(Refusal::FriendGroupExists.into());
        }
        let label = Personal::Present(self.label.as_str().to_owned());
        Ok(work.record::<State>(owner, [Labelled { owner, group, label }.into()])?)
    }
}

/// Remove a group; the friends in it stay friends.
#[derive(Debug, Clone)]
pub struct RemoveGroup<P = UserId> {
    /// Whose group.
    pub owner: P,
    /// Which.
    pub group: GroupNumber,
}

impl Command for RemoveGroup {
    type Resolved = RemoveGroup<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        vec![&self.owner]
    }

    fn resolve(&self, found: &Found) -> Result<RemoveGroup<Person>, Error> {
        Ok(RemoveGroup { owner: found.person(&self.owner)?, group: self.group })
    }
}

impl Decide for RemoveGroup<Person> {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        reads.person(&self.owner, &[Stream::User, Stream::FriendGroups]);
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        let Some(owner) = self.owner.subject else { return Ok(()) };
        let group = self.group.get();
        let is_there = work.state::<State>(owner)?.groups.contains(&group);
        let removed = is_there.then(|| Removed { owner, group }.into());
        Ok(work.record::<State>(owner, removed)?)
    }
}

/// Put a friend into a group, or take it out.
#[derive(Debug, Clone)]
pub struct GroupFriend<P = UserId> {
    /// Whose group.
    pub owner: P,
    /// Which.
    pub group: GroupNumber,
    /// Whom.
    pub friend: P,
    /// Whether the friend is to be in the group.
    pub is_in: bool,
}

impl Command for GroupFriend {
    type Resolved = GroupFriend<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        vec![&self.owner, &self.friend]
    }

    fn resolve(&self, found: &Found) -> Result<GroupFriend<Person>, Error> {
        let (owner, friend) = (found.person(&self.owner)?, found.person(&self.friend)?);
        Ok(GroupFriend { owner, friend, group: self.group, is_in: self.is_in })
    }
}

impl Decide for GroupFriend<Person> {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        reads.person(&self.owner, &[Stream::User, Stream::FriendGroups]);
        reads.person(&self.friend, &[Stream::User]);
        if let Some(owner) = self.owner.subject {
            friendship::read_pairs(reads, owner, self.friend.subject);
        }
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        let owner = self.owner.subject.ok_or(Refusal::NoSuchFriendGroup)?;
        let group = self.group.get();
        work.state::<user::State>(owner)?.unfenced()?;
        if !work.state::<State>(owner)?.groups.contains(&group) {
            return Err(Refusal::NoSuchFriendGroup.into());
        }
        let event = match (self.known_friend(work, owner)?, self.is_in) {
            (Some(friend), true) => {
                work.state::<user::State>(friend)?.unfenced()?;
                Added { owner, friend, group }.into()
            }
            (Some(friend), false) => TakenOut { owner, friend, group }.into(),
            (None, true) => return Err(Refusal::NotFriends.into()),
            // Who is no friend is in no group.
            (None, false) => return Ok(()),
        };
        Ok(work.record::<State>(owner, [event])?)
    }
}

impl GroupFriend<Person> {
    /// The friend's subject; `None`: the two are not friends.
    fn known_friend(&self, work: &UnitOfWork<'_>, owner: SubjectRef) -> Result<Option<SubjectRef>, Error> {
        let pair = self.friend.subject.and_then(|friend| Some((friend, Pair::of(owner, friend)?)));
        let Some((friend, pair)) = pair else { return Ok(None) };
        let are_friends = *work.state::<friendship::State>(pair)? == friendship::State::Friends;
        Ok(are_friends.then_some(friend))
    }
}
