//! Which requests of people about their data are there, and what is due? Why one was refused stands in its event only.

mod projector;
mod queries;

pub use projector::DataRequests;
pub use queries::{DataRequest, Status, by_id, due_before, page};
