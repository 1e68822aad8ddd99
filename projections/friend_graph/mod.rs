//! Who is whose friend, who asked whom, and what does a user call a friend?
//!
//! A friendship is one stream and two rows here, one for each direction. What one wrote about the other is sealed with
//! the other's key and is deleted with the friendship. A request is one row; it is shown for 90 days after it ended and then
//! deleted by the requests that are recorded later. Those of somebody whose data is erased are deleted at once.

mod projector;
mod queries;

pub use projector::FriendGraph;
pub use queries::{
    Counts, Description, Direction, Friend, REMARK, Request, all_of, among, asked, count, counts, descriptions, due,
    friends_of_each, friendships, mutual, page, pending, request, requests,
};
