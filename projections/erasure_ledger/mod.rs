//! Which erasures are there, and how far is each? One row per erasure; what each step did stands in its events.

mod projector;
mod queries;

pub use projector::ErasureLedger;
pub use queries::{Erasure, Step, by_id, due, latest_drill, of, of_operation, page, requested_between, untold};
