//! The groups in which one user keeps friends: numbered, with labels of the user's own.

use crate::declare::events;
use crate::ids::SubjectRef;
use crate::personal::Personal;

events! { "friend_groups", "What happens to the friend groups of a user.";
    /// The user has a group of that number, with that label.
    Labelled = "labelled" 1 {
        /// Whose group.
        owner: plain => SubjectRef,
        /// Its number, from 1 to 100.
        group: plain => u32,
        /// What the user calls it.
        label: profile of owner => Personal<String>,
    }
    /// The user has no group of that number any more; nobody is in it.
    Removed = "removed" 1 {
        /// Whose group.
        owner: plain => SubjectRef,
        /// Its number.
        group: plain => u32,
    }
    /// A friend is in a group, until it is taken out, the group is removed, or the friendship ends.
    Added = "added" 1 {
        /// Whose group.
        owner: plain => SubjectRef,
        /// Who is in it.
        friend: plain => SubjectRef,
        /// Its number.
        group: plain => u32,
    }
    /// A friend is in a group no more.
    TakenOut = "taken_out" 1 {
        /// Whose group.
        owner: plain => SubjectRef,
        /// Who is in it no more.
        friend: plain => SubjectRef,
        /// Its number.
        group: plain => u32,
    }
    /// The user has no groups any more.
    Emptied = "emptied" 1 {
        /// Whose groups.
        owner: plain => SubjectRef,
    }
}
