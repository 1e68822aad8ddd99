//! Which tags does a user carry? All of them in one sealed value.

mod projector;
mod queries;

pub use projector::UserTags;
pub use queries::of_subjects;
