//! Who read what of a user, where the app asks for it to be recorded.

use std::collections::BTreeSet;

use crate::declare::events;
use crate::ids::{FieldName, SubjectRef, WebhookId};
use crate::plain::OwnText;

events! { "access", "Who read personal data of a user. Who it was stands in the envelope.";
    /// Personal data of the user was answered to a caller.
    Read = "read" 1 {
        /// Of whom.
        subject: plain => SubjectRef,
        /// Which fields; never their values.
        fields: plain => BTreeSet<FieldName>,
    }
    /// Personal data of the user is sent to a recipient outside, from now on; recorded once for each.
    Disclosed = "disclosed" 1 {
        /// Of whom.
        subject: plain => SubjectRef,
        /// By which webhook.
        webhook: plain => WebhookId,
        /// To whom: the host that the webhook is sent to.
        recipient: plain => OwnText,
    }
}
