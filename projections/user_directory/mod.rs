//! Who is there? Every user of an app: found by the tag of the userId, listed by registration, counted.
//!
//! A deactivated user stays, without name and portrait; a forgotten one is deleted. During a rebuild a tag is NULL where
//! the key that gives it is destroyed; the event that deletes the row comes later in the log.

mod projector;
mod queries;

pub use projector::UserDirectory;
pub use queries::{
    User, by_subject, by_subjects, by_tag, registered, registered_after, registered_count, subject_of, user_ids,
};
