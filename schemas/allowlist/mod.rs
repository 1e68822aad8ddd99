//! Whom one user allows, and whether that list is in force.

use crate::declare::events;
use crate::ids::SubjectRef;

events! { "allowlist", "What happens to the allowlist of a user.";
    /// The user allows others.
    Allowed = "allowed" 1 {
        /// Who allows.
        subject: plain => SubjectRef,
        /// Whom, newly.
        targets: plain => Vec<SubjectRef>,
    }
    /// The user allows others no longer.
    Disallowed = "disallowed" 1 {
        /// Who allowed.
        subject: plain => SubjectRef,
        /// Whom.
        targets: plain => Vec<SubjectRef>,
    }
    /// The user allows nobody any more, and the list is not in force.
    Emptied = "emptied" 1 {
        /// Who allowed.
        subject: plain => SubjectRef,
    }
    /// The allowlist is in force instead of the blocklist.
    Enabled = "enabled" 1 {
        /// Whose.
        subject: plain => SubjectRef,
    }
    /// The blocklist is in force instead of the allowlist.
    Disabled = "disabled" 1 {
        /// Whose.
        subject: plain => SubjectRef,
    }
}
