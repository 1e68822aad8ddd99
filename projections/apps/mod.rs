//! Which apps are there, and how is each set up?

mod projector;
mod queries;

pub use projector::Apps;
pub use queries::{App, all, of};
