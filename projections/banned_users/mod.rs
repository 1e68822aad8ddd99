//! Who is banned, and until when? Listed by the end of the ban; bans that are over are found for the sweeper.
//!
//! Reads `ban.imposed`, `ban.replaced`, `ban.lifted`, `ban.expired`, `user.forgotten` and `erasure.scrubbed`. A ban
//! outlives the deactivation of its user; only its reason goes.

mod projector;
mod queries;

pub use projector::BannedUsers;
pub use queries::{Ban, banned_until, due, of};
