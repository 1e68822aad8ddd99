//! Whom does a user allow, and is that list in force? Listed newest first.
//!
//! Reads every event of the allowlist. An entry stays when its target is deactivated or forgotten, as in a blocklist.

mod projector;
mod queries;

pub use projector::Allowlists;
pub use queries::{Allowed, page, settings_of};
