//! The ban of one user.

use chrono::{DateTime, Utc};

use crate::declare::events;
use crate::ids::SubjectRef;
use crate::personal::Personal;

events! { "ban", "What happens to the ban of a user.";
    /// The user is banned.
    Imposed = "imposed" 1 {
        /// Who.
        subject: plain => SubjectRef,
        /// When the ban ends by itself.
        until: plain => DateTime<Utc>,
        /// Why, in a moderator's words.
        reason: moderation of subject => Option<Personal<String>>,
    }
    /// A banned user got another end.
    Replaced = "replaced" 1 {
        /// Who.
        subject: plain => SubjectRef,
        /// When the ban ends by itself now.
        until: plain => DateTime<Utc>,
        /// Why, in a moderator's words.
        reason: moderation of subject => Option<Personal<String>>,
    }
    /// The ban was lifted before its end.
    Lifted = "lifted" 1 {
        /// Who.
        subject: plain => SubjectRef,
    }
    /// The ban came to its end.
    Expired = "expired" 1 {
        /// Who.
        subject: plain => SubjectRef,
        /// When it ended.
        until: plain => DateTime<Utc>,
    }
}
