//! One erasure: requested, relations ended, scrubbed, finished.

use crate::declare::events;
use crate::ids::{ErasureId, OperationId, SubjectRef};
use crate::personal::Class;
use crate::plain::Scope;

events! { "erasure", "What happens to an erasure.";
    /// The erasure was requested, in one append with the fence of its subject.
    Requested = "requested" 1 {
        /// Which.
        erasure: plain => ErasureId,
        /// Whose data.
        subject: plain => SubjectRef,
        /// How far it goes.
        scope: plain => Scope,
        /// What the caller was told.
        operation: plain => OperationId,
    }
    /// Friendships, requests and own lists of the subject have ended.
    RelationsEnded = "relations_ended" 1 {
        /// Which.
        erasure: plain => ErasureId,
        /// Whose.
        subject: plain => SubjectRef,
        /// How many friendships and requests ended.
        friendships: plain => u32,
    }
    /// The scrubbing event: the keys are destroyed, whatever they sealed is unreadable everywhere.
    Scrubbed = "scrubbed" 1 {
        /// Which.
        erasure: plain => ErasureId,
        /// Whose.
        subject: plain => SubjectRef,
        /// Classes whose keys are destroyed.
        classes: plain => Vec<Class>,
        /// How many keys, over all epochs.
        keys_destroyed: plain => u32,
        /// Generation of the root key before.
        generation_before: plain => u64,
        /// Generation of the root key after.
        generation_after: plain => u64,
        /// How many events had ciphertexts detached.
        events_detached: plain => u32,
    }
    /// Every step is done.
    Finished = "finished" 1 {
        /// Which.
        erasure: plain => ErasureId,
        /// Whose.
        subject: plain => SubjectRef,
    }
}
