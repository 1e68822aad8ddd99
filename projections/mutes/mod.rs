//! Who may not send direct messages, and until when? Listed by app in the order of muting, and counted. Mutes whose time is over
//! are found for the sweeper.
//!
//! A deactivation ends the mute with everything else that was set about the user.

mod projector;
mod queries;

pub use projector::Mutes;
pub use queries::{Mute, due, listed, of, of_subjects, page, total};
