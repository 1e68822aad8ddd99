//! The ban of one user.

use chrono::{DateTime, Utc};

use crate::declare::events;
use crate::ids::SubjectRef;
use crate::personal::Personal;

events! { "ban", "What happens to the ban of a user.";
    /// The user is banned from now on, until a time.
    Imposed = "imposed" 1 {
        /// Who.
        subject: plain => SubjectRef,
        /// When the ban ends by itself.
        until: plain => DateTime<Utc>,
        /// Why, in a moderator's words.
        reason: moderation of subject => Option<Personal<String>>,
    }
    /// The user is banned from now on: a ban that has no end, or a note.
    ImposedV2 = "imposed" 2 {
        /// Who.
        subject: plain => SubjectRef,
        /// When the ban ends by itself; absent: never.
        ends_at: plain => Option<DateTime<Utc>>,
        /// Why, in a moderator's words.
        reason: moderation of subject => Option<Personal<String>>,
        /// What moderators tell each other.
        note: moderation of subject => Option<Personal<String>>,
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
    /// A banned user got another ban: one that has no end, or a note.
    ReplacedV2 = "replaced" 2 {
        /// Who.
        subject: plain => SubjectRef,
        /// When the ban ends by itself now; absent: never.
        ends_at: plain => Option<DateTime<Utc>>,
        /// Why, in a moderator's words.
        reason: moderation of subject => Option<Personal<String>>,
        /// What moderators tell each other.
        note: moderation of subject => Option<Personal<String>>,
    }
    /// A ban of the user is to begin later; it takes the place of one that was to begin.
    Scheduled = "scheduled" 1 {
        /// Who.
        subject: plain => SubjectRef,
        /// When the ban begins.
        starts_at: plain => DateTime<Utc>,
        /// When it ends by itself; absent: never.
        ends_at: plain => Option<DateTime<Utc>>,
        /// Why, in a moderator's words.
        reason: moderation of subject => Option<Personal<String>>,
        /// What moderators tell each other.
        note: moderation of subject => Option<Personal<String>>,
    }
    /// A scheduled ban has begun.
    Started = "started" 1 {
        /// Who.
        subject: plain => SubjectRef,
        /// When it began.
        starts_at: plain => DateTime<Utc>,
        /// When it ends by itself; absent: never.
        ends_at: plain => Option<DateTime<Utc>>,
    }
    /// A scheduled ban was called off before it began.
    Cancelled = "cancelled" 1 {
        /// Who.
        subject: plain => SubjectRef,
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
