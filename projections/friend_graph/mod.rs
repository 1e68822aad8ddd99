//! Who is whose friend, who asked whom, and what does a user call a friend?
//!
//! A friendship is one stream and two rows here, one for each direction. What one wrote about the other is sealed with
//! the other's key and is deleted with the friendship. A request that lapsed is deleted by the requests and friendships
//! that are recorded later.

mod projector;
mod queries;

pub use projector::FriendGraph;
pub use queries::{Description, Friend, REMARK, all_of, among, check, count, descriptions, page};
