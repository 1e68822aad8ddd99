//! Users: themselves, their tokens, profiles and settings, who is online, what they may send.

use super::super::{
    admission, deactivated, presence, profile, profile_lists, remarks, tokens, user_batches, user_lists, users,
};
use super::{ApiScope, Endpoint, Untyped, shape};

endpoints! {
    "GET" "users" => user_lists::list, "listUsers" Server ["cursor", "limit", "prefix", "name", "state", "registered_after"]
        () => user_lists::Page, "The registered users, the earliest registration first; those that fit where something is \
         asked for: with what the userId begins, what the name holds, active or deactivated, after when.";
    "GET" "users/{id}" => users::show, "getUser" Server []
        () => users::ActiveUser, "One user; 410 for a deactivated one.";
    "PUT" "users/{id}" => users::register, "registerUser" Server []
        users::Registration => users::Registered, "Register a user, or register it again, and issue an access token.";
    "PATCH" "users/{id}" => users::modify, "modifyUser" Server []
        users::UserPatch => users::ActiveUser, "Change name, portrait or both.";
    "GET" "users/by-unique-id/{uniqueId}" => users::find, "findUserByUniqueId" Server []
        () => users::User, "The user with this uniqueId in its hosted profile; of several, the one that has had it longest.";
    "POST" "users/batch" => user_batches::register, "registerUsers" Server []
        user_batches::Registrations => user_batches::RegistrationsDone, "Register up to 1,000 users, each by itself.";
    "POST" "users/query" => user_batches::query, "queryUsers" Server []
        user_batches::UserQuery => user_batches::FoundUsers, "Up to 1,000 users by their userIds or their references.";
    "POST" "users/{id}/tokens" => tokens::issue, "issueToken" Server []
        tokens::TokenBody => tokens::Token, "Issue another access token to a user.";
    "GET" "users/{id}/tokens" => tokens::list, "listTokens" Server ["cursor", "limit"]
        () => tokens::Tokens, "The access tokens that a user was issued, the newest first, and which are good.";
    "DELETE" "users/{id}/tokens/{token_id}" => tokens::revoke, "revokeToken" Server []
        () => (), "End one access token of a user.";
    "POST" "tokens/invalidate" => tokens::invalidate_all, "invalidateAllTokens" Server []
        tokens::InvalidateBody => (), "End the access tokens of all users of the app that were issued before a time.";
    "DELETE" "users/{id}/tokens" => tokens::invalidate, "invalidateTokens" Server ["issued_before"]
        () => (), "End the access tokens of a user that were issued before a time, which is now where it is not said.";
    "POST" "tokens/introspect" => tokens::introspect, "introspectToken" Server []
        tokens::ShownToken => tokens::Introspection, "Whether an access token is valid, and whose it is (RFC 7662).";
    "GET" "users/{id}/profile" => profile::show, "getProfile" Server []
        () => profile::Profile, "The hosted profile of a user.";
    "PATCH" "users/{id}/profile" => profile::change, "changeProfile" Server []
        Untyped => profile::Profile, "Change fields of a hosted profile: a merge patch (RFC 7396).";
    "DELETE" "users/{id}/profile" => profile::clean, "cleanProfile" Server []
        () => (), "Clear the whole hosted profile of a user.";
    "POST" "profiles/query" => profile_lists::query, "queryProfiles" Server []
        profile_lists::ProfileQuery => profile_lists::FoundProfiles, "The hosted profiles of up to 1,000 users.";
    "GET" "profiles" => profile_lists::list, "listProfiles" Server ["cursor", "limit"]
        () => profile_lists::ProfilePage, "The hosted profiles of the app, the earliest registration first.";
    "GET" "users/{id}/tags" => profile::tags, "getTags" Server []
        () => profile::Tags, "The tags of a user.";
    "PUT" "users/{id}/tags" => profile::tag, "tagUser" Server []
        profile::Tags => (), "Replace the tags of a user.";
    "PUT" "users/{id}/push-quiet-hours" => profile::quiet, "quietPushes" Server []
        profile::Quiet => (), "Hold pushes to a user back during some hours of each day.";
    "GET" "users/{id}/push-quiet-hours" => profile::quiet_hours, "getQuietHours" Server []
        () => profile::QuietHoursSet, "When pushes to a user are held back; 404 where they never are.";
    "DELETE" "users/{id}/push-quiet-hours" => profile::unquiet, "unquietPushes" Server []
        () => (), "Hold pushes back no more.";
    "GET" "users/{id}/remarks" => remarks::list, "listRemarks" Server ["cursor", "limit"]
        () => remarks::Remarks, "What a user calls others, the earliest remark first.";
    "GET" "users/{id}/remarks/{target}" => remarks::show, "getRemark" Server []
        () => remarks::Remarked, "What a user calls another one; 404 where it has no remark about that one.";
    "PUT" "users/{id}/remarks/{target}" => remarks::remark, "remarkUser" Server []
        remarks::RemarkBody => (), "What a user calls another one.";
    "DELETE" "users/{id}/remarks/{target}" => remarks::unremark, "unremarkUser" Server []
        () => (), "Take a remark away.";
    "GET" "users/{id}/friend-permission" => profile::permission, "getFriendPermission" Server []
        () => profile::PermissionNow, "Who may befriend a user, as itself or its app has set it.";
    "PUT" "users/{id}/friend-permission" => profile::permit, "permitFriends" Server []
        profile::Permission => (), "Who may befriend a user.";
    "GET" "deactivated-users" => deactivated::list, "listDeactivatedUsers" Server ["cursor", "limit"]
        () => deactivated::DeactivatedUsers, "The deactivated users, the latest deactivation first.";
    "POST" "users/{id}/reactivation" => deactivated::reactivate, "reactivateUser" Server []
        () => deactivated::Reactivation, "Let a deactivated user be registered again; nothing that was erased comes back.";
    "POST" "users/{id}/deactivation" => users::deactivate, "deactivateUser" Server []
        () => users::Deactivation, "Deactivate a user and erase its data.";
    "POST" "presence/query" => presence::query, "queryPresence" Server []
        presence::PresenceQuery => presence::PresenceAnswer, "Which of up to 1,000 users are online, with what, and when they were seen last.";
    "POST" "messages/admission" => admission::check, "checkAdmission" Server []
        admission::Checks => admission::Admission, "Whether one user may message another, and what stands against it.";
}
