//! What may the users of an app do by themselves, and how are they connected? As an operator set it; an app that has no row
//! has the defaults.

mod projector;
mod queries;

pub use projector::ClientRules;
pub use queries::of;
