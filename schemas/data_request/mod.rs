//! One request of a person about their data, from its receipt to its answer (GDPR, Articles 12 and 15 to 21).

use chrono::{DateTime, Utc};

use crate::declare::events;
use crate::ids::{DataRequestId, SubjectRef};
use crate::personal::Personal;
use crate::plain::DataRequestKind;

events! { "data_request", "What happens to a request of a person about their data.";
    /// It was received.
    Received = "received" 1 {
        /// Which.
        request: plain => DataRequestId,
        /// Whose data.
        subject: plain => SubjectRef,
        /// What is asked.
        kind: plain => DataRequestKind,
        /// By when it has to be answered.
        due_at: plain => DateTime<Utc>,
    }
    /// There is more time to answer it, because it is complex or there are many.
    Extended = "extended" 1 {
        /// Which.
        request: plain => DataRequestId,
        /// Whose data.
        subject: plain => SubjectRef,
        /// By when it has to be answered now.
        due_at: plain => DateTime<Utc>,
    }
    /// What was asked was done.
    Answered = "answered" 1 {
        /// Which.
        request: plain => DataRequestId,
        /// Whose data.
        subject: plain => SubjectRef,
    }
    /// What was asked was not done.
    Refused = "refused" 1 {
        /// Which.
        request: plain => DataRequestId,
        /// Whose data.
        subject: plain => SubjectRef,
        /// Why, as the person was told.
        reason: moderation of subject => Option<Personal<String>>,
    }
}
