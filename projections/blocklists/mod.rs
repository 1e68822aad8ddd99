//! Whom does a user block, and who blocks a user? Listed newest first.
//!
//! An entry stays when its target is deactivated or forgotten: it is the owner's safety choice, and only a reference.

mod projector;
mod queries;

pub use projector::Blocklists;
pub use queries::{Blocked, entries, owners, page};
