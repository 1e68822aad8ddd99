//! Whom one user blocks.

use crate::declare::events;
use crate::ids::SubjectRef;

events! { "blocklist", "What happens to the blocklist of a user.";
    /// The user blocks others.
    Blocked = "blocked" 1 {
        /// Who blocks.
        subject: plain => SubjectRef,
        /// Whom, newly.
        targets: plain => Vec<SubjectRef>,
    }
    /// The user blocks others no longer.
    Unblocked = "unblocked" 1 {
        /// Who blocked.
        subject: plain => SubjectRef,
        /// Whom.
        targets: plain => Vec<SubjectRef>,
    }
    /// The user blocks nobody any more.
    Emptied = "emptied" 1 {
        /// Who blocked.
        subject: plain => SubjectRef,
    }
}
