//! What does a user call others, friends or not? Listed in the order first remarked.
//!
//! A remark is data about its target and is sealed with the target's key: it is deleted as soon as the erasure of the target
//! begins.

mod projector;
mod queries;

pub use projector::Remarks;
pub use queries::{Remark, RemarkCursor, listed, of, page, total};
