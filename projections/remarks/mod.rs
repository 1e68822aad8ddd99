//! What does a user call others, friends or not? Listed in the order first remarked.
//!
//! Reads every event of the remarks, `erasure.requested` and `erasure.scrubbed`: a remark is data about its target, is
//! sealed with the target's key, is shown no more from the fence on and gone for good when that key is destroyed.

mod projector;
mod queries;

pub use projector::Remarks;
pub use queries::{Remark, page, total};
