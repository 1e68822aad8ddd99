//! Bans and mutes, and acts on many users at once.

use super::super::{ban_lists, bans, imports, mutes, operations};
use super::{ApiScope, Endpoint, shape};

endpoints! {
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
        imports::Records => imports::ImportSent, "Bring in users, friends, friend groups, blocks, allowlists, bans or mutes (the last two need \
         `moderator` as well), a record a line, while they arrive; with dry_run, tell what would be refused. Sent again with the same \
         Idempotency-Key, it goes on.";
    "GET" "imports/{id}" => imports::show, "getImport" Server ["cursor", "limit"]
        () => operations::Detailed, "How far an import is, and which of its records were refused.";
    "PUT" "users/{id}/mute" => mutes::mute, "muteUser" Moderator []
        mutes::MuteBody => (), "Take direct messages from a user for some minutes, or until it is unmuted; a mute that runs gets this end.";
    "GET" "users/{id}/mute" => mutes::show, "getMute" Moderator []
        () => mutes::Mute, "The mute of a user that runs; 404 where there is none.";
    "DELETE" "users/{id}/mute" => mutes::unmute, "unmuteUser" Moderator []
        () => (), "Let a user send direct messages again.";
    "GET" "mutes" => mutes::list, "listMutes" Moderator ["cursor", "limit"]
        () => mutes::Mutes, "Who is muted, in the order of muting.";
}
