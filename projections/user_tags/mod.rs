//! Which tags does a user carry? All of them in one sealed value.
//!
//! Reads `user.tagged`, `user.deactivated`, `user.forgotten` and `erasure.scrubbed`.

mod projector;
mod queries;

pub use projector::UserTags;
pub use queries::of_subjects;
