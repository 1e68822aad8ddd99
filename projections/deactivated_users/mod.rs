//! Who is deactivated? Listed by app, the latest deactivation first.

mod projector;
mod queries;

pub use projector::DeactivatedUsers;
pub use queries::{Deactivated, before, is_restricted, of, of_subjects, page, restricted};
