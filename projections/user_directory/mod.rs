//! Who is there? Every user of an app: found by the tag of the userId, listed by registration, counted.
//!
//! Reads `user.named`, `user.registered`, `user.reregistered`, `user.modified`, `user.deactivated`,
//! `user.reactivated`, `user.forgotten` and `erasure.scrubbed`. A deactivated user stays, without name and
//! portrait; a forgotten one does not. A tag may be NULL for a moment of a rebuild: the key that gives it is gone,
//! and the event that removes the row is still to come.

mod projector;
mod queries;

pub use projector::UserDirectory;
pub use queries::{
    User, by_subject, by_subjects, by_tag, registered, registered_after, registered_count, subject_of, subjects_of,
    user_ids,
};
