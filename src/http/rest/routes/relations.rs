//! What users are to each other: blocklists, allowlists, friends and groups of them.

use super::super::operations::BatchAnswer;
use super::super::{friend_groups, friends, graph, lists, past};
use super::{ApiScope, Endpoint, Untyped, shape};

endpoints! {
    "GET" "users/{id}/blocklist" => lists::blocklist, "getBlocklist" Server ["cursor", "limit"]
        () => lists::ListPage, "Whom a user blocks, the newest entry first.";
    "GET" "users/{id}/blocked-by" => lists::blocked_by, "listBlockedBy" Moderator ["cursor", "limit"]
        () => lists::ListPage, "Who blocks a user, in a stable order.";
    "GET" "users/{id}/allowed-by" => lists::allowed_by, "listAllowedBy" Moderator ["cursor", "limit"]
        () => lists::ListPage, "Who allows a user, in a stable order.";
    "POST" "users/{id}/blocklist/batch" => lists::block_many, "changeBlocklist" Server []
        lists::ListBatch => BatchAnswer, "Block up to 1,000 users, or block them no more; all or none. With dry_run, tell what would happen.";
    "GET" "users/{id}/blocklist/{target}" => lists::is_blocked, "getBlocked" Server []
        () => lists::Entry, "Whether a user blocks another one.";
    "PUT" "users/{id}/blocklist/{target}" => lists::block, "blockUser" Server []
        () => (), "Block a user.";
    "DELETE" "users/{id}/blocklist/{target}" => lists::unblock, "unblockUser" Server []
        () => (), "Block a user no more.";
    "POST" "blocks/check" => lists::check_blocks, "checkBlocks" Server []
        lists::ListPairs => lists::CheckedBlocks, "Which of up to 1,000 pairs of users block each other, in both directions.";
    "GET" "users/{id}/allowlist" => lists::allowlist, "getAllowlist" Server ["cursor", "limit"]
        () => lists::ListPage, "Whom a user allows, the newest entry first.";
    "POST" "users/{id}/allowlist/batch" => lists::allow_many, "changeAllowlist" Server []
        lists::ListBatch => BatchAnswer, "Allow up to 1,000 users, or allow them no more; all or none. With dry_run, tell what would happen.";
    "POST" "allows/check" => lists::check_allows, "checkAllows" Server []
        lists::ListPairs => lists::CheckedAllows, "Which of up to 1,000 pairs of users have each other on their allowlists, in both directions.";
    "GET" "users/{id}/allowlist/{target}" => lists::is_allowed, "getAllowed" Server []
        () => lists::Entry, "Whether a user allows another one.";
    "PUT" "users/{id}/allowlist/{target}" => lists::allow, "allowUser" Server []
        () => (), "Allow a user.";
    "DELETE" "users/{id}/allowlist/{target}" => lists::disallow, "disallowUser" Server []
        () => (), "Allow a user no more.";
    "GET" "users/{id}/allowlist-setting" => lists::setting, "getAllowlistSetting" Server []
        () => lists::AllowlistSetting, "Whether the allowlist of a user is in force.";
    "PUT" "users/{id}/allowlist-setting" => lists::set, "setAllowlist" Server []
        lists::AllowlistSetting => (), "Put the allowlist of a user in force, or out of it.";
    "GET" "users/{id}/friends/as-of" => past::friends, "getFriendsAsOf" Compliance ["at"]
        () => Untyped, "The friends of a user at a position or a time.";
    "GET" "users/{id}/friends/suggestions" => graph::suggestions, "suggestFriends" Server ["cursor", "limit"]
        () => graph::Suggestions, "Whom a user may know: friends of friends, those with the most mutual friends first.";
    // Behind the paths whose last word would be taken for a friend.
    "GET" "users/{id}/friends" => friends::list, "listFriends" Server ["cursor", "limit", "order", "q"]
        () => friends::Friends, "The friends of a user, the oldest friendship first; with q those who have that text.";
    "POST" "users/{id}/friends" => friends::befriend, "befriendUser" Server []
        friends::FriendWanted => friends::Wished, "Befriend another user as that one permits: at once, or by a request.";
    "DELETE" "users/{id}/friends" => friends::clear, "clearFriends" Server []
        () => (), "End all friendships of a user.";
    "GET" "users/{id}/friends/{target}" => friends::show, "getFriend" Server []
        () => friends::Friend, "One friend; 404 where the two are not friends.";
    "PUT" "users/{id}/friends/{target}" => friends::add, "addFriend" Server []
        () => friends::Friend, "Make two users friends, whether they permit it or not.";
    "PATCH" "users/{id}/friends/{target}" => friends::describe, "describeFriend" Server []
        friends::FriendPatch => friends::Friend, "Change what a user writes about a friend.";
    "DELETE" "users/{id}/friends/{target}" => friends::remove, "removeFriend" Server []
        () => (), "End a friendship.";
    "GET" "users/{id}/friends/mutual/{other}" => graph::mutual, "listMutualFriends" Server ["cursor", "limit"]
        () => graph::MutualFriends, "Who is a friend of both users.";
    "GET" "friends/path" => graph::path, "findFriendPath" Server ["from", "to"]
        () => graph::FriendPath, "The shortest path from one user to another over at most four friendships; 404 where there is none.";
    "GET" "users/{id}/friend-groups" => friend_groups::list, "listFriendGroups" Server []
        () => friend_groups::FriendGroups, "The friend groups of a user, in the order of their numbers.";
    "GET" "users/{id}/friend-groups/{group_id}" => friend_groups::show, "getFriendGroup" Server ["cursor", "limit"]
        () => friend_groups::FriendGroup, "One friend group and who is in it.";
    "PUT" "users/{id}/friend-groups/{group_id}" => friend_groups::label, "labelFriendGroup" Server []
        friend_groups::GroupBody => (), "Make a friend group, numbered from 1 to 100, or give it another label.";
    "DELETE" "users/{id}/friend-groups/{group_id}" => friend_groups::remove, "removeFriendGroup" Server []
        () => (), "Remove a friend group; the friends in it stay friends.";
    "PUT" "users/{id}/friend-groups/{group_id}/friends/{target}" => friend_groups::add, "groupFriend" Server []
        () => (), "Put a friend into a friend group.";
    "DELETE" "users/{id}/friend-groups/{group_id}/friends/{target}" => friend_groups::take_out, "ungroupFriend" Server []
        () => (), "Take a friend out of a friend group.";
    "POST" "friends/check" => friends::check, "checkFriends" Server []
        friends::Pairs => friends::CheckedPairs, "Which pairs of users are friends.";
    "GET" "users/{id}/friend-requests" => friends::list_requests, "listFriendRequests" Server ["direction", "state", "cursor", "limit"]
        () => friends::FriendRequests, "The friend requests of a user, the latest first; ended ones for 90 days.";
    "POST" "users/{id}/friend-requests/{request_id}/accept" => friends::accept, "acceptFriendRequest" Server []
        () => crate::http::friend_requests::ShownRequest, "Accept a request that the user received.";
    "POST" "users/{id}/friend-requests/{request_id}/refuse" => friends::refuse, "refuseFriendRequest" Server []
        () => crate::http::friend_requests::ShownRequest, "Refuse a request that the user received.";
    "POST" "users/{id}/friend-requests/{request_id}/cancel" => friends::cancel, "cancelFriendRequest" Server []
        () => crate::http::friend_requests::ShownRequest, "Take back a request that the user sent.";
}
