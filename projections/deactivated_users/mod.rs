//! Who is deactivated? Listed by app, the latest deactivation first, and counted.

mod projector;
mod queries;

pub use projector::DeactivatedUsers;
pub use queries::{Deactivated, count, is_restricted, of, page, restricted};
