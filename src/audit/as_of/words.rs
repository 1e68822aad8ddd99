//! A command in words, as somebody asks why it is refused: `befriend ada bob`.

use std::collections::BTreeMap;

use rollcall_schemas::ids::{FieldName, OperationId};
use rollcall_schemas::plain::FriendPermission;
use serde_json::Value;

use super::past::Who;
use crate::domain::erasure::Request;
use crate::domain::values::{BanMinutes, Invalid, Name, Remark, UserId};
use crate::domain::{Command, Person, ban, user};

/// Every command that can be asked about, with what follows it.
pub const ASKED: &str = "register, issue-token, rename, tag, mute, permit-friends, deactivate, forget, reactivate, \
    place-hold, release-hold, ban, unban, clean-profile, clear-friends, invalidate-tokens USER; \
    set-profile USER FIELD; befriend, befriend-directly, unfriend, describe, remark, block, unblock, allow, \
    disallow USER OTHER";

/// Why words are no command. The message does not repeat the ids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAsked {
    /// No such command, or not so many words after it.
    #[error("this is no command that can be explained; there are: {ASKED}")]
    Words,
    /// A word is no userId.
    #[error("a user is named by its userId, or as subject:REFERENCE: {0}")]
    User(String),
}

impl From<Invalid> for NotAsked {
    fn from(invalid: Invalid) -> Self {
        Self::User(invalid.to_string())
    }
}

/// Reads a command. Values that no refusal depends on, such as a name or the text of a remark, are made up.
///
/// # Errors
/// The words are no command.
pub fn command(words: &[&str]) -> Result<Command, NotAsked> {
    match words {
        [verb, who] => of_one(verb, person(who)?),
        ["set-profile", who, field] => {
            let changes = BTreeMap::from([(FieldName((*field).to_owned()), Some(Value::Null))]);
            Ok(Command::User(vec![person(who)?], user::Command::SetProfile(changes)))
        }
        [verb, who, other] => of_two(verb, person(who)?, person(other)?),
        _ => Err(NotAsked::Words),
    }
}

fn of_one(verb: &str, who: Person) -> Result<Command, NotAsked> {
    let change = |who, command| Ok(Command::User(vec![who], command));
    match verb {
        // The platform issues a token by registering, be it again.
        "register" | "issue-token" => Ok(Command::Register(who, Name::parse("-")?, None)),
        "rename" => change(who, user::Command::Modify(Some(Name::parse("-")?), None)),
        "tag" => change(who, user::Command::Tag(vec![])),
        "mute" => change(who, user::Command::MuteDirectMessages(true)),
        "permit-friends" => change(who, user::Command::PermitFriends(FriendPermission::Anyone)),
        "clean-profile" => change(who, user::Command::CleanProfile),
        "reactivate" => change(who, user::Command::Reactivate(OperationId(String::new()))),
        "place-hold" => change(who, user::Command::PlaceHold(None)),
        "release-hold" => change(who, user::Command::ReleaseHold),
        "deactivate" => Ok(Command::Deactivate(vec![who], Request::default())),
        "forget" => Ok(Command::Forget(vec![who], Request::default())),
        "ban" => Ok(Command::Ban(vec![who], ban::Command::Ban(BanMinutes::new(1)?, None))),
        "unban" => Ok(Command::Ban(vec![who], ban::Command::Lift)),
        "clear-friends" => Ok(Command::ClearFriends(who, vec![])),
        "invalidate-tokens" => Ok(Command::InvalidateTokens(vec![who], chrono::DateTime::UNIX_EPOCH)),
        _ => Err(NotAsked::Words),
    }
}

fn of_two(verb: &str, who: Person, other: Person) -> Result<Command, NotAsked> {
    let befriend = |who, target, direct| Ok(Command::Befriend { who, target, direct, text: None });
    match verb {
        "befriend" => befriend(who, other, false),
        "befriend-directly" => befriend(who, other, true),
        "unfriend" => Ok(Command::Unfriend(who, vec![other])),
        "describe" => Ok(Command::DescribeFriend(who, other, Some(None), BTreeMap::new())),
        "remark" => Ok(Command::Remark(who, vec![(other, Remark::parse("-")?)])),
        "block" => Ok(Command::Block(who, vec![other])),
        "unblock" => Ok(Command::Unblock(who, vec![other])),
        "allow" => Ok(Command::Allow(who, vec![other])),
        "disallow" => Ok(Command::Disallow(who, vec![other])),
        _ => Err(NotAsked::Words),
    }
}

fn person(word: &str) -> Result<Person, NotAsked> {
    Ok(match word.parse()? {
        Who::UserId(user_id) => user_id.into(),
        // A forgotten person has no userId any more; the reference stands for it.
        Who::Subject(subject) => {
            Person { user_id: UserId::parse("userId", &subject.to_string())?, subject: Some(subject) }
        }
    })
}
