//! Who is banned, from when until when, and by whom? Listed by the end of the ban, or by its start where that is to come; and
//! what became of the bans that do not last. Bans that the clock has begun or ended are found for the sweeper.
//!
//! A ban outlives the deactivation of its user; only its reason and its note are deleted.

mod projector;
mod queries;

pub use projector::BannedUsers;
pub use queries::{
    Ban, BanCursor, End, Ending, banned_until, due, ended, history, of, of_subjects, running, scheduled,
};
