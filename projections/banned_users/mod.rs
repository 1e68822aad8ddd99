//! Who is banned, and until when? Listed by the end of the ban; bans that are over are found for the sweeper.
//!
//! A ban outlives the deactivation of its user; only its reason is deleted.

mod projector;
mod queries;

pub use projector::BannedUsers;
pub use queries::{Ban, BanCursor, banned_until, due, of, of_subjects, running};
