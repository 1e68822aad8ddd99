//! Who has this uniqueId? The field of the hosted profile by which an app lets its users be found.
//!
//! It is found by its tag, a keyed hash that the engine makes, since the value itself is sealed. Nothing makes a uniqueId
//! unique: of several users with the same one, the one that has had it for the longest time is asked for first, so that nobody
//! takes it from another by having it too.

/// The field of the hosted profile that it is.
pub const FIELD: &str = "uniqueId";

mod projector;
mod queries;

pub use projector::UniqueIds;
pub use queries::holders;
