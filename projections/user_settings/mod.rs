//! What did a user set for itself? The quiet hours of pushes, and who may befriend it.

mod projector;
mod queries;

pub use projector::UserSettings;
pub use queries::{QuietHours, Settings, of, of_subjects};
