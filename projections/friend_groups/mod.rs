//! In which groups does a user keep friends, and who is in each?
//!
//! Labels are sealed with the key of the user whose groups they are. Who is a friend no more is in no group of the other.

mod projector;
mod queries;

pub use projector::FriendGroups;
pub use queries::{Group, all, label, members};
