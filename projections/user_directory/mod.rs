//! Who is there? Every user of an app: found by the tag of the userId, listed by registration, counted.
//!
//! A userId names one person. A log may hold several subjects of one nevertheless (docs/decisions/0017-in-doubt.md): all of
//! them have its tag, and it names the one that was introduced first.
//!
//! A deactivated user stays, without name and portrait; a forgotten one is deleted. During a rebuild a tag is NULL where
//! the key that gives it is destroyed; the event that deletes the row comes later in the log.

mod projector;
mod queries;

pub use projector::UserDirectory;
pub use queries::{
    Introduced, User, all_subjects_of, ambiguous, by_subject, by_subjects, by_tag, listed, registered,
    registered_count, subject_of, subjects_of, tag_count, tags, user_ids,
};
