//! Which bulk operations are there, how far is each, and what became of each of its users?

mod projector;
mod queries;

pub use projector::Operations;
pub use queries::{Item, Operation, by_id, items, listed, open};
