//! Which imports were sent over REST, how far is each, and which of its records were refused?

mod projector;
mod queries;

pub use projector::Imports;
pub use queries::{Import, Refused, by_id, listed, refused};
