//! Which events concern a subject? Their positions, as the one an event is about or as the one other it concerns.
//!
//! What such an event says, when and by whom, stands in the log. The positions of a forgotten subject stay: a reference that
//! resolves to nobody.

mod projector;
mod queries;

pub use projector::AuditTrail;
pub use queries::{positions_about, positions_up_to};
