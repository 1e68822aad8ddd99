//! What do users say about themselves? The fields of hosted profiles, by user and by order of registration.
//!
//! The version of a profile grows with each change and survives a cleaning, so that a client never takes a new profile
//! for one it has; a deactivation sets it back to 0.

mod projector;
mod queries;

pub use projector::HostedProfiles;
pub use queries::{Profile, listed, of_subjects, page};
