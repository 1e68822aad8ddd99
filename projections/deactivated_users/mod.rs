//! Who is deactivated? Listed by app, the latest deactivation first.

mod projector;
mod queries;

pub use projector::DeactivatedUsers;
pub use queries::{Deactivated, is_restricted, listed, of, of_subjects, page, restricted};
