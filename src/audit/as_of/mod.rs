//! The state at any position or time of the past, shown with today's keys.
//!
//! The ordinary projections are applied to a scratch store up to a position, and the ordinary queries are asked there.
//! What was erased since shows as erased, also for dates before the erasure. Nothing here appends an event, makes a
//! key or writes the live read models.
//!
//! `error`, `when`, `past`, `shown` and `scratch` are used by the other modules and use none of them.

mod beside;
mod diff;
mod error;
mod explain;
mod groups;
mod history;
mod lists;
mod past;
mod scratch;
mod shown;
mod tracks;
mod user;
mod when;
mod whole_lists;
mod words;

pub use beside::{Connections, connections};
pub use diff::{Change, Diff, diff};
pub use error::Error;
pub use explain::{Explanation, explain};
pub use groups::FriendGroup;
pub use history::{Happened, PersonalField, Range, Revealed, Told, describe_events, history};
pub use lists::{
    BannedUser, BansAt, DeactivatedAt, DeactivatedUser, Friend, FriendsAt, Other, bans_at, deactivated_at, friends_at,
};
pub use past::{Past, Who};
pub use scratch::{AsOf, Parked};
pub use shown::{Erased, Shown};
pub use tracks::Fact;
pub use user::{Ban, QuietHours, Status, UserAt, UserReplay, user_at};
pub use when::{Moment, When, resolve};
pub use whole_lists::WholeLists;
pub use words::{ASKED, NotAsked, Part, Question, command, verbs};
