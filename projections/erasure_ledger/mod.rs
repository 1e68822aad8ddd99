//! Which erasures are there, and how far is each? One row per erasure with the time of every step.
//!
//! Reads every event of the erasure.

mod projector;
mod queries;

pub use projector::ErasureLedger;
pub use queries::{Erasure, Scrubbed, Step, of, of_operation, open};
