//! Which erasures are there, and how far is each? One row per erasure; what each step did stands in its events.

mod projector;
mod queries;

pub use projector::ErasureLedger;
pub use queries::{
    Durations, Erasure, Open, Quantiles, Step, Tally, by_id, by_ids, due, durations, latest_drill, of, of_operation,
    open_by_step, page, requested_since, tally, untold,
};
