//! The remarks one user keeps about others, friends or not.

use crate::declare::events;
use crate::ids::SubjectRef;
use crate::personal::Personal;

events! { "remarks", "What happens to the remarks of a user.";
    /// The user has a remark about another.
    Remarked = "remarked" 1 {
        /// Who remarks.
        owner: plain => SubjectRef,
        /// About whom.
        target: plain => SubjectRef,
        /// The remark: data about the target.
        remark: profile of target => Personal<String>,
    }
    /// The user has no remark about another any more.
    Unremarked = "unremarked" 1 {
        /// Who remarked.
        owner: plain => SubjectRef,
        /// About whom.
        target: plain => SubjectRef,
    }
    /// The user has no remarks any more.
    Emptied = "emptied" 1 {
        /// Who remarked.
        owner: plain => SubjectRef,
    }
}
