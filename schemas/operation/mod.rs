//! One bulk operation: the same act for many users, one after the other.

use chrono::{DateTime, Utc};

use crate::declare::events;
use crate::ids::{BatchId, SubjectRef};
use crate::personal::Personal;
use crate::plain::OwnText;
use crate::words::recorded;

crate::words! {
    /// What is done to each user of an operation.
    Act {
        /// It is banned from now on.
        Ban = "ban",
        /// Its ban is lifted or called off.
        Unban = "unban",
        /// It is deactivated.
        Deactivate = "deactivate",
    }
}

recorded! { Act }

events! { "operation", "What happens to a bulk operation.";
    /// It was requested.
    Requested = "requested" 1 {
        /// Which.
        batch: plain => BatchId,
        /// What is to be done.
        act: plain => Act,
        /// To whom, in order.
        subjects: plain => Vec<SubjectRef>,
        /// When bans end by themselves; absent: never.
        ends_at: plain => Option<DateTime<Utc>>,
    }
    /// Why, for one of the users; each has a copy that is erased with that user.
    ReasonGiven = "reason_given" 1 {
        /// Which operation.
        batch: plain => BatchId,
        /// The user's place among those whom it is about, from 0.
        number: plain => u32,
        /// Who.
        subject: plain => SubjectRef,
        /// Why, in a moderator's words.
        reason: moderation of subject => Personal<String>,
    }
    /// The next users were dealt with.
    Progressed = "progressed" 1 {
        /// Which.
        batch: plain => BatchId,
        /// How many were dealt with before.
        from: plain => u32,
        /// What became of each: what was done, `unchanged`, or `refused:` with the type of the problem.
        results: plain => Vec<OwnText>,
    }
    /// It is to be taken back, as far as nobody has changed anything since.
    UndoRequested = "undo_requested" 1 {
        /// Which.
        batch: plain => BatchId,
    }
    /// For the next users it was taken back, or not.
    UndoProgressed = "undo_progressed" 1 {
        /// Which.
        batch: plain => BatchId,
        /// How many were dealt with before.
        from: plain => u32,
        /// What became of each: `undone`, `unchanged`, or `refused:` with the reason.
        results: plain => Vec<OwnText>,
    }
}
