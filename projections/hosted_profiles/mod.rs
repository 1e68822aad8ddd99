//! What do users say about themselves? The fields of hosted profiles, by user and by order of registration.
//!
//! Reads `user.registered` for that order, `user.profile_set`, `user.profile_cleaned`, `user.deactivated`,
//! `user.forgotten` and `erasure.scrubbed`. The version grows with each change and survives a cleaning, so that a
//! client never takes a new profile for one it has; a deactivation starts it over.

mod projector;
mod queries;

pub use projector::HostedProfiles;
pub use queries::{Profile, of_subjects, page};
