//! Which erasures are there, and how far is each? One row per erasure; what each step did stands in its events.
//!
//! Reads every event of the erasure, `user.deactivated`, `user.restricted`,
//! `user.forgotten`, `user.hold_placed` and `user.hold_released`.

mod projector;
mod queries;

pub use projector::ErasureLedger;
pub use queries::{
    Erasure, Step, by_id, due, due_after, latest_drill, of, of_operation, page, requested_between, untold,
};
