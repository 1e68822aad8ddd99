//! Who may not send direct messages? Listed by app in the order of muting, and counted.
//!
//! A deactivation ends the mute with everything else that was set about the user.

mod projector;
mod queries;

pub use projector::Mutes;
pub use queries::{of, page, since, total};
