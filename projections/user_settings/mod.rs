//! What did a user set for itself? The quiet hours of pushes, and who may befriend it.
//!
//! Reads `user.push_quieted`, `user.push_unquieted`, `user.friend_permission_set`, `user.deactivated` and
//! `user.forgotten`.

mod projector;
mod queries;

pub use projector::UserSettings;
pub use queries::{QuietHours, Settings, of, of_subjects};
