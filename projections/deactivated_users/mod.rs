//! Who is deactivated? Listed by app, the latest deactivation first.
//!
//! Reads `user.restricted`, `user.restored`, `user.deactivated`, `user.reactivated` and `user.forgotten`.

mod projector;
mod queries;

pub use projector::DeactivatedUsers;
pub use queries::{Deactivated, is_restricted, of, of_subjects, page, restricted};
