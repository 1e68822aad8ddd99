//! What did a user set for itself? The quiet hours of pushes, who may befriend it, and who sees more of it than name and
//! portrait.

mod projector;
mod queries;

pub use projector::UserSettings;
pub use queries::{QuietHours, Settings, of, of_subjects};
