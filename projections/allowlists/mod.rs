//! Whom does a user allow, and is that list in force? Listed newest first.
//!
//! An entry stays when its target is deactivated or forgotten, as in a blocklist.

mod projector;
mod queries;

pub use projector::Allowlists;
pub use queries::{Allowed, entries, in_force_since, owners, page};
