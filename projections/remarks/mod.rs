//! What does a user call others, friends or not? Listed in the order first remarked.
//!
//! Reads every event of the remarks, and `erasure.scrubbed`: a remark is data about its target, is sealed with the
//! target's key and goes when that is destroyed.

mod projector;
mod queries;

pub use projector::Remarks;
pub use queries::{Remark, about, of, page, total};
