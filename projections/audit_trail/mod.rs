//! What happened, when, and by whom? One row per event: references only, never a value.
//!
//! It keeps what is about a forgotten subject: a reference that resolves to nobody.

mod projector;
mod queries;

pub use projector::AuditTrail;
pub use queries::{Trace, of_subject, page, positions_about};
