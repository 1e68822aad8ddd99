//! Every endpoint of the face, in one table: the dispatch, the OpenAPI document and the tests read it.

use std::any::TypeId;
use std::sync::LazyLock;
use std::time::Duration;

use actix_web::http::Method;
use futures_util::future::LocalBoxFuture;
use rollcall_schemas::plain::ApiScope;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::problem::{Answer, Problem};
use super::{
    Call, admission, app, ban_lists, bans, compliance, credentials, deactivated, erasures, events, export,
    friend_groups, friends, graph, imports, lists, mutes, operating, operations, past, presence, profile, requests,
    tokens, user_batches, user_lists, users, webhooks,
};
use crate::engine;
use crate::http::router::{Match, Place, Router};
use crate::http::{exchange, upload};

/// A schema with its name, and those it refers to.
pub(super) type Named = Vec<(String, RefOr<Schema>)>;

/// One endpoint.
pub(super) struct Endpoint {
    /// `GET`, `PUT`, `PATCH`, `POST` or `DELETE`; who may `GET` may `HEAD`.
    pub(super) method: &'static str,
    /// Below `/api/v1/`; a parameter stands in braces.
    pub(super) path: &'static str,
    /// Its name.
    pub(super) operation: &'static str,
    /// What a caller needs.
    pub(super) scope: ApiScope,
    /// What it is for.
    pub(super) summary: &'static str,
    /// Parameters of the query.
    pub(super) query: &'static [&'static str],
    /// Shape of the request's body, last in the list; none where it takes no body.
    pub(super) takes: fn() -> Named,
    /// Shape of the answer, last in the list; none where it is no JSON.
    pub(super) answers: fn() -> Named,
    /// Answers it.
    pub(super) handler: for<'c> fn(&'c Call<'c>) -> LocalBoxFuture<'c, Result<Answer, Problem>>,
}

impl Endpoint {
    /// Whether the log may have to be read from its beginning to answer it.
    pub(super) fn replays(&self) -> bool {
        const REPLAYS: &[&str] = &[
            "getHistory",
            "getUserAsOf",
            "getFriendsAsOf",
            "diffUser",
            "exportUser",
            "listBansAsOf",
            "explainCommand",
            "getEstate",
        ];
        REPLAYS.contains(&self.operation)
    }

    /// Whether its answer has an `ETag`: then who asks may send `If-None-Match`, and who changes it `If-Match`.
    pub(super) fn is_versioned(&self) -> bool {
        const VERSIONED: &[&str] = &["users/{id}", "users/{id}/profile", "app"];
        VERSIONED.contains(&self.path) && matches!(self.method, "GET" | "PATCH")
    }

    /// Whether it reads its body while that arrives.
    pub(super) fn uploads(&self) -> bool {
        self.operation == "importRecords"
    }

    /// Whether its answer tells a token, a key or another secret.
    pub(super) fn tells_secret(&self) -> bool {
        const TELL_SECRETS: &[&str] = &[
            "registerUser",
            "registerUsers",
            "issueToken",
            "addApiKey",
            "addSecret",
            "registerWebhook",
            "rotateWebhookSecret",
            "requestErasure",
        ];
        TELL_SECRETS.contains(&self.operation)
    }

    /// Whether its answer may take long by its nature: then it is not called slow.
    pub(super) fn may_wait(&self) -> bool {
        self.replays() || self.operation == "listEvents"
    }

    /// How long its answer may take, where others may take `usual`.
    pub(super) fn answer_max(&self, usual: Duration) -> Duration {
        match self.operation {
            "listEvents" => usual + events::WAIT_MAX,
            _ if self.uploads() => upload::ANSWER_MAX,
            _ if self.replays() => exchange::REPLAY_MAX,
            _ => usual,
        }
    }

    /// What a caller is told who was not answered in time. Whoever only asks need not hear of what was recorded.
    pub(super) fn late(&self, late: engine::Error) -> Problem {
        if self.method == "GET" { Problem::unavailable(&late) } else { late.into() }
    }
}

/// An object whose members the documentation of the replay tells.
#[derive(ToSchema)]
pub(super) struct Untyped {}

fn shape<T: ToSchema + PartialSchema + 'static>() -> Named {
    let mut shapes = Vec::new();
    if TypeId::of::<T>() != TypeId::of::<()>() {
        T::schemas(&mut shapes);
        shapes.push((T::name().into_owned(), T::schema()));
    }
    shapes
}

macro_rules! endpoints {
    ($(
        $method:literal $path:literal => $handler:path,
        $operation:literal $scope:ident [$($query:literal),*] $takes:ty => $answers:ty, $summary:literal;
    )*) => {
        /// The table.
        pub(super) static ENDPOINTS: &[Endpoint] = &[$(
            Endpoint {
                method: $method,
                path: $path,
                operation: $operation,
                scope: ApiScope::$scope,
                summary: $summary,
                query: &[$($query),*],
                takes: shape::<$takes>,
                answers: shape::<$answers>,
                handler: |call| Box::pin($handler(call)),
            },
        )*];
    };
}

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
    "GET" "app" => app::show, "getApp" Server []
        () => app::AppView, "The caller's app and its settings.";
    "PATCH" "app" => app::change, "changeApp" Server []
        app::AppPatch => app::AppView, "Change settings of the app; the safeguards need `operator` as well.";
    "PUT" "users/{id}/ban" => bans::impose, "banUser" Moderator []
        bans::BanBody => bans::Ban, "Ban a user from now on or later, or give the ban that runs another end.";
    "GET" "users/{id}/ban" => bans::show, "getBan" Moderator []
        () => bans::Ban, "The ban of a user that runs or is to begin; 404 where there is none.";
    "DELETE" "users/{id}/ban" => bans::lift, "liftBan" Moderator []
        () => (), "Lift the ban of a user, or call it off.";
    "GET" "users/{id}/bans" => bans::history, "listBansOfUser" Moderator ["cursor", "limit"]
        () => bans::Bans, "Every ban of a user and how it ended, the one that was set last first.";
    "GET" "bans" => ban_lists::list, "listBans" Moderator ["cursor", "limit", "state", "actor", "reason"]
        () => bans::Bans, "Bans that run, the latest end first; with state, those that are to begin or have ended.";
    "POST" "bans/batch" => operations::ban, "banUsers" Moderator []
        operations::BanBatch => operations::BatchAnswer, "Ban up to 1,000 users by an operation; with dry_run, tell what would happen.";
    "POST" "unbans/batch" => operations::unban, "liftBans" Moderator []
        operations::UserBatch => operations::BatchAnswer, "Lift the bans of up to 1,000 users by an operation; with dry_run, tell what would happen.";
    "POST" "deactivations/batch" => operations::deactivate, "deactivateUsers" Moderator []
        operations::UserBatch => operations::BatchAnswer, "Deactivate up to 1,000 users by an operation; with dry_run, tell what would happen.";
    "GET" "operations" => operations::list, "listOperations" Moderator ["cursor", "limit"]
        () => operations::Page, "The bulk operations, the latest first.";
    "GET" "operations/{id}" => operations::show, "getOperation" Moderator ["cursor", "limit"]
        () => operations::Detailed, "How far a bulk operation is, and what became of its users.";
    "POST" "operations/{id}/undo" => operations::undo, "undoOperation" Moderator []
        () => operations::Resource, "Take the bans of an operation back, except those that were changed since.";
    "POST" "imports" => imports::send, "importRecords" Server ["kind", "on_conflict", "dry_run"]
        imports::Records => imports::ImportSent, "Bring in users, friendships, blocks or bans (these need `moderator` as well), \
         a record a line, while they arrive; with dry_run, tell what would be refused. Sent again with the same \
         Idempotency-Key, it goes on.";
    "GET" "imports/{id}" => imports::show, "getImport" Server ["cursor", "limit"]
        () => operations::Detailed, "How far an import is, and which of its records were refused.";
    "GET" "users/{id}/blocklist" => lists::blocklist, "getBlocklist" Server ["cursor", "limit"]
        () => lists::ListPage, "Whom a user blocks, the newest entry first.";
    "GET" "users/{id}/blocked-by" => lists::blocked_by, "listBlockedBy" Moderator ["cursor", "limit"]
        () => lists::ListPage, "Who blocks a user, in a stable order.";
    "GET" "users/{id}/allowed-by" => lists::allowed_by, "listAllowedBy" Moderator ["cursor", "limit"]
        () => lists::ListPage, "Who allows a user, in a stable order.";
    "POST" "users/{id}/blocklist/batch" => lists::block_many, "changeBlocklist" Server []
        lists::ListBatch => (), "Block up to 1,000 users, or block them no more; all or none.";
    "GET" "users/{id}/blocklist/{target}" => lists::is_blocked, "getBlocked" Server []
        () => lists::Entry, "Whether a user blocks another one.";
    "PUT" "users/{id}/blocklist/{target}" => lists::block, "blockUser" Server []
        () => (), "Block a user.";
    "DELETE" "users/{id}/blocklist/{target}" => lists::unblock, "unblockUser" Server []
        () => (), "Block a user no more.";
    "POST" "blocks/check" => lists::check, "checkBlocks" Server []
        lists::BlockPairs => lists::CheckedBlocks, "Which of up to 1,000 pairs of users block each other, in both directions.";
    "GET" "users/{id}/allowlist" => lists::allowlist, "getAllowlist" Server ["cursor", "limit"]
        () => lists::ListPage, "Whom a user allows, the newest entry first.";
    "POST" "users/{id}/allowlist/batch" => lists::allow_many, "changeAllowlist" Server []
        lists::ListBatch => (), "Allow up to 1,000 users, or allow them no more; all or none.";
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
    "GET" "users/{id}/profile" => profile::show, "getProfile" Server []
        () => profile::Profile, "The hosted profile of a user.";
    "PATCH" "users/{id}/profile" => profile::change, "changeProfile" Server []
        Untyped => profile::Profile, "Change fields of a hosted profile: a merge patch (RFC 7396).";
    "GET" "users/{id}/tags" => profile::tags, "getTags" Server []
        () => profile::Tags, "The tags of a user.";
    "PUT" "users/{id}/tags" => profile::tag, "tagUser" Server []
        profile::Tags => (), "Replace the tags of a user.";
    "PUT" "users/{id}/mute" => mutes::mute, "muteUser" Moderator []
        mutes::MuteBody => (), "Take direct messages from a user for some minutes, or until it is unmuted; a mute that runs gets this end.";
    "GET" "users/{id}/mute" => mutes::show, "getMute" Moderator []
        () => mutes::Mute, "The mute of a user that runs; 404 where there is none.";
    "DELETE" "users/{id}/mute" => mutes::unmute, "unmuteUser" Moderator []
        () => (), "Let a user send direct messages again.";
    "GET" "mutes" => mutes::list, "listMutes" Moderator ["cursor", "limit"]
        () => mutes::Mutes, "Who is muted, in the order of muting.";
    "PUT" "users/{id}/push-quiet-hours" => profile::quiet, "quietPushes" Server []
        profile::Quiet => (), "Hold pushes to a user back during some hours of each day.";
    "DELETE" "users/{id}/push-quiet-hours" => profile::unquiet, "unquietPushes" Server []
        () => (), "Hold pushes back no more.";
    "PUT" "users/{id}/remarks/{target}" => profile::remark, "remarkUser" Server []
        profile::RemarkBody => (), "What a user calls another one.";
    "DELETE" "users/{id}/remarks/{target}" => profile::unremark, "unremarkUser" Server []
        () => (), "Take a remark away.";
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
    "POST" "erasures" => erasures::request, "requestErasure" Compliance []
        erasures::ErasureRequest => erasures::Accepted, "Request the erasure of a user's data. The salt is told only once.";
    "GET" "erasures" => erasures::list, "listErasures" Compliance ["cursor", "limit"]
        () => erasures::Page, "The erasures, the latest first.";
    "GET" "erasures/{id}" => erasures::show, "getErasure" Compliance []
        () => erasures::Resource, "How far an erasure has come.";
    "POST" "erasures/{id}/cancel" => erasures::cancel, "cancelErasure" Compliance []
        () => erasures::Resource, "Call an erasure off that has not begun.";
    "GET" "erasures/{id}/report" => erasures::report, "getErasureReport" Compliance []
        () => (), "The newest signed report (DSSE); of one that is not done, a report made now.";
    "GET" "erasures/{id}/letter" => erasures::letter, "getErasureLetter" Compliance []
        () => (), "The letter to the person, as HTML.";
    "GET" "erasures/{id}/certificate" => erasures::certificate, "getErasureCertificate" Compliance []
        () => (), "The certificate for an auditor, as HTML.";
    "GET" "users/{id}/erasure-preview" => erasures::preview, "previewErasure" Compliance ["scope"]
        () => erasures::Preview, "What an erasure would erase and what it would keep.";
    "PUT" "users/{id}/legal-hold" => erasures::hold, "placeLegalHold" Compliance []
        erasures::Hold => (), "Keep a user's data for legal reasons: no erasure of it begins.";
    "DELETE" "users/{id}/legal-hold" => erasures::release, "releaseLegalHold" Compliance []
        () => (), "Let the erasures of a user go on.";
    "GET" "events" => events::list, "listEvents" Server
        ["cursor", "limit", "type", "subject", "wait_seconds", "include"]
        () => events::EventPage<'static>, "The events of the app in order, as CloudEvents; a stream where it is asked for.";
    "GET" "users/{id}/history" => past::history, "getHistory" Compliance ["cursor", "limit"]
        () => Untyped, "What happened to a user, by whom and in which request, the earliest first.";
    "GET" "users/{id}/as-of" => past::user, "getUserAsOf" Compliance ["at"]
        () => Untyped, "A user at a position or a time; what was erased since is told as erased.";
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
    "GET" "users/{id}/diff" => past::diff, "diffUser" Compliance ["from", "to"]
        () => Untyped, "What changed about a user between two positions or times.";
    "GET" "users/{id}/export" => export::export, "exportUser" Compliance []
        () => (), "Everything that is held about a user (GDPR, Articles 15 and 20), as a ZIP of JSON.";
    "GET" "bans/as-of" => past::bans, "listBansAsOf" Moderator ["at", "page"]
        () => Untyped, "Who was banned at a position or a time; reads the whole log, one call at a time.";
    "POST" "explain" => past::explain, "explainCommand" Compliance []
        past::ExplainBody => Untyped, "Whether a command is allowed, and if not, the facts that make it so.";
    "GET" "compliance/data-map" => compliance::data_map, "getDataMap" Compliance []
        () => compliance::DataMap, "Every personal field that can be recorded (GDPR, Article 30); HTML where it is asked for.";
    "GET" "compliance/estate" => compliance::estate, "getEstate" Compliance ["month"]
        () => crate::audit::estate::Estate, "The erasures of a month in figures.";
    "POST" "compliance/drills" => erasures::drill, "beginDrill" Compliance []
        () => erasures::Resource, "Erase a person that is made up for it, to see that the whole way is open.";
    "POST" "compliance/requests" => requests::receive, "receiveRequest" Compliance []
        requests::DataRequestBody => requests::Resource, "Record what a person asks about their data.";
    "GET" "compliance/requests" => requests::list, "listRequests" Compliance ["cursor", "limit", "due_before"]
        () => requests::Requests, "The requests, the latest first; with due_before, the open ones that are due before then.";
    "GET" "compliance/requests/{id}" => requests::show, "getRequest" Compliance []
        () => requests::Resource, "One request.";
    "POST" "compliance/requests/{id}/extend" => requests::extend, "extendRequest" Compliance []
        () => requests::Resource, "Take two more months, once (GDPR, Article 12(3)).";
    "POST" "compliance/requests/{id}/answer" => requests::answer, "answerRequest" Compliance []
        () => requests::Resource, "Record that what was asked was done.";
    "POST" "compliance/requests/{id}/refuse" => requests::refuse, "refuseRequest" Compliance []
        requests::Why => requests::Resource, "Record that what was asked was not done, and why.";
    "GET" "api-keys" => credentials::list_keys, "listApiKeys" Operator []
        () => credentials::ApiKeys, "The API keys of the app that are valid, the oldest first.";
    "POST" "api-keys" => credentials::add_key, "addApiKey" Operator []
        credentials::NewApiKey => credentials::AddedApiKey, "Make another API key valid. The key is told only once.";
    "DELETE" "api-keys/{number}" => credentials::retire_key, "retireApiKey" Operator []
        () => (), "End an API key.";
    "GET" "apps/{key}/secrets" => credentials::list_secrets, "listSecrets" Operator []
        () => credentials::Secrets, "The secrets of the app that are valid, the oldest first.";
    "POST" "apps/{key}/secrets" => credentials::add_secret, "addSecret" Operator []
        () => credentials::AddedSecret, "Make another secret valid and current. The secret is told only once.";
    "DELETE" "apps/{key}/secrets/{number}" => credentials::retire_secret, "retireSecret" Operator []
        () => (), "End a secret and the access tokens issued under it; not the last one.";
    "POST" "webhooks" => webhooks::register, "registerWebhook" Operator []
        webhooks::NewWebhook => webhooks::Resource, "Tell a URL of events from here on. The secret is told only once.";
    "GET" "webhooks" => webhooks::list, "listWebhooks" Operator ["cursor", "limit"]
        () => webhooks::Page, "The webhooks of the app, the oldest first, and how far each is.";
    "GET" "webhooks/{id}" => webhooks::show, "getWebhook" Operator []
        () => webhooks::Resource, "One webhook, and how far it is.";
    "PATCH" "webhooks/{id}" => webhooks::change, "changeWebhook" Operator []
        webhooks::WebhookPatch => webhooks::Resource, "Change what a webhook is told, or where; disable or enable it.";
    "DELETE" "webhooks/{id}" => webhooks::remove, "removeWebhook" Operator []
        () => (), "End a webhook.";
    "POST" "webhooks/{id}/secret/rotate" => webhooks::rotate, "rotateWebhookSecret" Operator []
        webhooks::Overlap => webhooks::Resource, "Sign with new keys, for a while with the ones before as well. The secret is told only once.";
    "GET" "webhooks/{id}/deliveries" => webhooks::deliveries, "listWebhookDeliveries" Operator ["state", "cursor", "limit"]
        () => webhooks::Deliveries, "What could not be delivered yet, or was given up.";
    "POST" "webhooks/{id}/replay" => webhooks::replay, "replayWebhook" Operator []
        webhooks::Range => webhooks::Replay, "Send events of the past once more; with dry_run, count them.";
    "POST" "webhooks/{id}/test" => webhooks::test, "testWebhook" Operator []
        () => webhooks::Test, "Send a made-up event now, and tell what became of it.";
    "GET" "status" => operating::status, "getStatus" Operator []
        () => operating::Status, "How the node is that answers.";
    "GET" "read-models" => operating::read_models, "listReadModels" Operator []
        () => operating::ReadModels, "The read models, how far each is, and what it could not apply.";
    "POST" "read-models/{name}/rebuild" => operating::rebuild, "rebuildReadModel" Operator []
        () => operating::RebuildBegun, "Build a read model of a data directory anew, beside the one that answers meanwhile; 409 for one on a server.";
    "GET" "parked" => operating::parked, "listParked" Operator ["cursor", "limit"]
        () => operating::ParkedPage, "The streams that read models could not apply, the oldest first.";
    "POST" "parked/{stream}/retry" => operating::retry, "retryParked" Operator []
        () => operating::ParkedResults, "Apply the events of a parked stream again.";
    "POST" "parked/{stream}/resolve" => operating::resolve, "resolveParked" Operator []
        operating::Resolution => operating::ParkedResults, "Skip the parked events of a stream from now on.";
    "GET" "nodes" => operating::nodes, "listNodes" Operator []
        () => operating::Nodes, "The nodes of the service.";
    "GET" "apps" => operating::apps, "listApps" Operator ["cursor", "limit"]
        () => operating::Apps, "Every app of the service, by key.";
    "POST" "apps" => operating::create_app, "createApp" Operator []
        operating::NewApp => operating::CreatedApp, "Create an app. Its secret and its API key are told only once.";
    "GET" "audit/proof" => compliance::proof, "proveEvent" Compliance ["position", "since"]
        () => crate::audit::proof::Proof, "The proof that the log holds an event of the app.";
}

static ROUTER: LazyLock<Router<Endpoint>> = LazyLock::new(|| Router::new(ENDPOINTS));

impl Place for Endpoint {
    fn method(&self) -> &'static str {
        self.method
    }
    fn path(&self) -> &'static str {
        self.path
    }
}

/// An endpoint, and the parameters of a path that it fits.
pub(super) type Found = (&'static Endpoint, Vec<String>);

/// The endpoint of a method and a path, and the parameters of the path.
pub(super) fn find(method: &Method, path: &str) -> Result<Found, Problem> {
    match ROUTER.find(method, path) {
        Match::Place(endpoint, parameters) => Ok((endpoint, parameters.into_iter().map(|(_, value)| value).collect())),
        Match::OtherMethods(methods) => Err(Problem::Method(methods)),
        Match::Nothing => Err(Problem::NoSuchEndpoint),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_path_finds_its_endpoint_and_another_method_is_told_which_ones_there_are() {
        let (endpoint, parameters) = find(&Method::HEAD, "users/a%2Fb").unwrap();
        assert_eq!((endpoint.operation, parameters), ("getUser", vec!["a/b".to_owned()]));
        assert!(matches!(find(&Method::DELETE, "users/a"), Err(Problem::Method(m)) if m == "GET, HEAD, PUT, PATCH"));
        assert!(matches!(find(&Method::GET, "nothing"), Err(Problem::NoSuchEndpoint)));
        assert!(matches!(find(&Method::GET, "users/a/b/c"), Err(Problem::NoSuchEndpoint)));
    }

    #[test]
    fn an_endpoint_that_replays_is_in_the_table() {
        let replaying = ENDPOINTS.iter().filter(|endpoint| endpoint.replays());
        assert_eq!(replaying.count(), 8);
        assert_eq!(ENDPOINTS.iter().filter(|endpoint| endpoint.tells_secret()).count(), 8);
    }

    #[test]
    fn no_two_endpoints_have_the_same_name_or_place() {
        let mut names: Vec<_> = ENDPOINTS.iter().map(|endpoint| endpoint.operation).collect();
        let mut places: Vec<_> = ENDPOINTS.iter().map(|endpoint| (endpoint.method, endpoint.path)).collect();
        names.sort_unstable();
        places.sort_unstable();
        assert!(names.is_sorted_by(|a, b| a < b) && places.is_sorted_by(|a, b| a < b));
    }
}
