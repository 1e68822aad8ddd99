//! The friendship of two users: one stream for the pair.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use crate::declare::events;
use crate::ids::{FieldName, SubjectRef};
use crate::personal::Personal;
use crate::words::recorded;

crate::words! {
    /// Why a friendship or a request ended.
    EndCause {
        /// One of the two removed the other.
        Removed = "removed",
        /// One of the two cleared the whole list.
        Cleared = "cleared",
        /// One of the two was deactivated.
        Deactivated = "deactivated",
    }

    /// How far a request has come.
    RequestState {
        /// It waits for its answer.
        Pending = "pending",
        /// The two became friends.
        Accepted = "accepted",
        /// Who was asked did not want it.
        Refused = "refused",
        /// Who asked took it back.
        Cancelled = "cancelled",
        /// Nobody answered in time.
        Expired = "expired",
    }
}

recorded! { EndCause, RequestState }

events! { "friendship", "What happens to the friendship of two users.";
    /// One asked the other.
    Requested = "requested" 1 {
        /// Who asked.
        from: plain => SubjectRef,
        /// Who was asked.
        to: plain => SubjectRef,
        /// The text of the request.
        text: profile of from => Option<Personal<String>>,
        /// When the request lapses.
        expires_at: plain => DateTime<Utc>,
    }
    /// Who was asked accepted the request; that the two are friends is recorded next to it.
    Accepted = "accepted" 1 {
        /// Who was asked.
        by: plain => SubjectRef,
        /// Who asked.
        other: plain => SubjectRef,
    }
    /// Who was asked refused the request, or blocked who asked.
    Refused = "refused" 1 {
        /// Who was asked.
        by: plain => SubjectRef,
        /// Who asked.
        other: plain => SubjectRef,
    }
    /// Who asked took the request back, or blocked who was asked.
    Cancelled = "cancelled" 1 {
        /// Who asked.
        by: plain => SubjectRef,
        /// Who was asked.
        other: plain => SubjectRef,
    }
    /// The request was not answered in time.
    Expired = "expired" 1 {
        /// Who asked.
        from: plain => SubjectRef,
        /// Who was asked.
        to: plain => SubjectRef,
        /// When the request lapsed.
        expires_at: plain => DateTime<Utc>,
    }
    /// The two are friends.
    Befriended = "befriended" 1 {
        /// Who asked or was added for.
        from: plain => SubjectRef,
        /// The other.
        to: plain => SubjectRef,
    }
    /// The two are friends no longer, or the request is void.
    Ended = "ended" 1 {
        /// Whose doing it was.
        by: plain => SubjectRef,
        /// The other.
        other: plain => SubjectRef,
        /// Why.
        cause: plain => EndCause,
    }
    /// One described the other for itself: a remark name and own fields; what is not given stays.
    Described = "described" 1 {
        /// Who describes.
        owner: plain => SubjectRef,
        /// Whom.
        about: plain => SubjectRef,
        /// The remark name.
        remark: profile of about => Option<Personal<String>>,
        /// Whether the remark name is taken away.
        remark_cleared: plain => bool,
        /// New values by field.
        fields: profile of about => BTreeMap<FieldName, Personal<String>>,
        /// Fields that have no value any more.
        cleared: plain => BTreeSet<FieldName>,
    }
}
