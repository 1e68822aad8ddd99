//! Who read what of a user, where the app asks for it to be recorded.

use std::collections::BTreeSet;

use crate::declare::events;
use crate::ids::{FieldName, SubjectRef};

events! { "access", "Who read personal data of a user. Who it was stands in the envelope.";
    /// Personal data of the user was answered to a caller.
    Read = "read" 1 {
        /// Of whom.
        subject: plain => SubjectRef,
        /// Which fields; never their values.
        fields: plain => BTreeSet<FieldName>,
    }
}
