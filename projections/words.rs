//! How the plain enumerations of events are written in columns.

use rollcall_schemas::plain::{Environment, FriendPermission, Plan, Scope};

macro_rules! words {
    ($($type:ident: $write:ident, $read:ident { $($variant:ident = $word:literal),* $(,)? })*) => {$(
        pub(crate) const fn $write(value: $type) -> &'static str {
            match value { $($type::$variant => $word),* }
        }
        pub(crate) fn $read(word: &str) -> Option<$type> {
            match word { $($word => Some($type::$variant),)* _ => None }
        }
    )*};
}

words! {
    Environment: environment, read_environment { Development = "development", Production = "production" }
    Plan: plan, read_plan { Starter = "starter", Pro = "pro" }
    FriendPermission: friend_permission, read_friend_permission {
        Anyone = "anyone", Approval = "approval", Nobody = "nobody",
    }
    Scope: scope, read_scope { Deactivate = "deactivate", Forget = "forget" }
}
