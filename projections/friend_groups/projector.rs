//! What events change in friend groups.

use rollcall_schemas::friend_groups;
use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::personal::Class;

use super::queries;
use crate::{Changes, Entry, projection, statements};

statements! {
    set_label = "INSERT INTO friend_groups_v1 (owner, number, label) VALUES ($1, $2, $3)
        ON CONFLICT (owner, number) DO UPDATE SET label = excluded.label";
    remove_group = "DELETE FROM friend_groups_v1 WHERE owner = $1 AND number = $2";
    remove_groups = "DELETE FROM friend_groups_v1 WHERE owner = $1";
    add_member = "INSERT INTO friend_groups_members_v1 (owner, number, friend) VALUES ($1, $2, $3)
        ON CONFLICT (owner, number, friend) DO NOTHING";
    take_out = "DELETE FROM friend_groups_members_v1 WHERE owner = $1 AND number = $2 AND friend = $3";
    empty_group = "DELETE FROM friend_groups_members_v1 WHERE owner = $1 AND number = $2";
    empty_groups = "DELETE FROM friend_groups_members_v1 WHERE owner = $1";
    end_friendship = "DELETE FROM friend_groups_members_v1
        WHERE (owner = $1 AND friend = $2) OR (owner = $2 AND friend = $1)";
}

projection! {
    /// Groups of friends.
    FriendGroups: "friend_groups" version 1, tables ["friend_groups_v1", "friend_groups_members_v1"],
        remains queries::REMAINS;
    reads(entry, changes) {
        friend_groups::Labelled(e) => set_label_of(e, entry, changes),
        friend_groups::Removed(e) => {
            changes.push(remove_group, [e.owner.into(), e.group.into()]);
            changes.push(empty_group, [e.owner.into(), e.group.into()]);
        },
        friend_groups::Added(e) => changes.push(add_member, [e.owner.into(), e.group.into(), e.friend.into()]),
        friend_groups::TakenOut(e) => changes.push(take_out, [e.owner.into(), e.group.into(), e.friend.into()]),
        friend_groups::Emptied(e) => remove_all(e.owner, changes),
        friendship::Ended(e) => changes.push(end_friendship, [e.by.into(), e.other.into()]),
        // From the fence on, not only once the keys are destroyed: that may take a while.
        erasure::Begun(e) => remove_all(e.subject, changes),
        erasure::Scrubbed(e) => if e.classes.contains(&Class::Profile) { remove_all(e.subject, changes) },
    }
}

fn set_label_of(e: &friend_groups::Labelled, entry: &Entry<'_>, changes: &mut Changes) {
    // Where its ciphertext is gone it was erased, and the group with it.
    if let Some(label) = entry.recorded.stored("label", &e.label) {
        changes.push(set_label, [e.owner.into(), e.group.into(), label.into()]);
    }
}

fn remove_all(owner: SubjectRef, changes: &mut Changes) {
    changes.push(remove_groups, [owner.into()]);
    changes.push(empty_groups, [owner.into()]);
}
