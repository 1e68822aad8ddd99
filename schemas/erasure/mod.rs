//! One erasure: requested, begun, relations ended, scrubbed, verified, reported, finalised.

use chrono::{DateTime, Utc};

use crate::declare::events;
use crate::ids::{ErasureId, OperationId, SubjectRef};
use crate::personal::{Class, DestroyedKey};
use crate::plain::{Finality, LegalBasis, LinkedSubject, OwnText, ReportStatus, Requester, Scope, StoreCount};

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
        /// On what ground.
        basis: plain => LegalBasis,
        /// In whose name.
        requester: plain => Requester,
        /// SHA-256 of a random salt that only the requester was given, and the userId; 64 hexadecimal digits.
        commitment: plain => Option<OwnText>,
        /// When the grace period ends; without one the erasure begins at once.
        not_before: plain => Option<DateTime<Utc>>,
        /// By when it has to be done.
        due_at: plain => DateTime<Utc>,
        /// Whether a legal hold keeps it waiting.
        held: plain => bool,
    }
    /// The userId has further subjects, because appends that were taken for lost were recorded nevertheless; what is left
    /// of each is erased with it.
    Linked = "linked" 1 {
        /// Which.
        erasure: plain => ErasureId,
        /// Whose.
        subject: plain => SubjectRef,
        /// The further subjects.
        further: plain => Vec<LinkedSubject>,
    }
    /// The erasure was called off within its grace period.
    Cancelled = "cancelled" 1 {
        /// Which.
        erasure: plain => ErasureId,
        /// Whose.
        subject: plain => SubjectRef,
    }
    /// The erasure can no longer be called off: its subject is deactivated, in the same append.
    Begun = "begun" 1 {
        /// Which.
        erasure: plain => ErasureId,
        /// Whose.
        subject: plain => SubjectRef,
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
        /// The keys, over all epochs.
        keys: plain => Vec<DestroyedKey>,
        /// What the root key lives in.
        root_cell: plain => OwnText,
        /// Generation of the root key before.
        generation_before: plain => u64,
        /// Generation of the root key after.
        generation_after: plain => u64,
        /// How many events held ciphertexts that were detached.
        events_detached: plain => u32,
        /// How many ciphertexts were detached.
        values_detached: plain => u32,
    }
    /// No read model holds a value of the erased classes any more.
    ReadModelsScrubbed = "read_models_scrubbed" 1 {
        /// Which.
        erasure: plain => ErasureId,
        /// Whose.
        subject: plain => SubjectRef,
        /// What each read model still holds about the subject.
        stores: plain => Vec<StoreCount>,
    }
    /// It was tried to read what is erased, and it cannot be read.
    Verified = "verified" 1 {
        /// Which.
        erasure: plain => ErasureId,
        /// Whose.
        subject: plain => SubjectRef,
        /// How many sealed values of the log were tried.
        tried: plain => u32,
        /// How many of them opened: none.
        opened: plain => u32,
        /// Whether a value that is not erased opened, so that the trial means something.
        control_opened: plain => bool,
    }
    /// A report was issued.
    ReportIssued = "report_issued" 1 {
        /// Which.
        erasure: plain => ErasureId,
        /// Whose.
        subject: plain => SubjectRef,
        /// Number of the report: a later one takes the place of an earlier one.
        number: plain => u32,
        /// What it says of the erasure.
        status: plain => ReportStatus,
        /// SHA-256 of its envelope, 64 hexadecimal digits.
        sha256: plain => OwnText,
        /// The envelope (DSSE).
        envelope: plain => OwnText,
    }
    /// Every step is done.
    Finalised = "finalised" 1 {
        /// Which.
        erasure: plain => ErasureId,
        /// Whose.
        subject: plain => SubjectRef,
        /// How final the destruction of the keys is.
        finality: plain => Finality,
    }
    /// A recipient was told that the erasure is done, and acknowledged it.
    Notified = "notified" 1 {
        /// Which.
        erasure: plain => ErasureId,
        /// Whose.
        subject: plain => SubjectRef,
        /// Who was told: the host of the app's callback.
        recipient: plain => OwnText,
    }
}
