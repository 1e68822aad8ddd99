//! A command in words, as somebody asks why it is refused: `befriend ada bob`.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rollcall_schemas::ids::{FieldName, SubjectRef};
use rollcall_schemas::plain::{FriendPermission, Scope};
use serde_json::Value;

use super::past::Who;
use crate::domain::allowlist::{Allow, Disallow};
use crate::domain::ban::{Ban, Length, Lift, Term};
use crate::domain::blocklist::{Block, Unblock};
use crate::domain::erasure::{Erase, Request};
use crate::domain::friendship::{Befriend, ClearFriends, Describe, Unfriend};
use crate::domain::user::{Change, Reactivate, Register};
use crate::domain::values::{BanMinutes, Invalid, Name, Remark, UserId};
use crate::domain::{DynCommand, remarks, token};

/// A command that is asked about.
#[derive(Debug, Clone)]
pub struct Question {
    /// The command.
    pub(super) command: Arc<dyn DynCommand>,
    /// Who is named by reference: a forgotten person has no userId any more, so that the reference stands for it in the
    /// command.
    pub(super) subjects: HashMap<UserId, SubjectRef>,
}

impl From<Arc<dyn DynCommand>> for Question {
    fn from(command: Arc<dyn DynCommand>) -> Self {
        Self { command, subjects: HashMap::new() }
    }
}

/// Every command that can be asked about, with what follows it.
pub const ASKED: &str = "register, issue-token, rename, tag, mute, permit-friends, deactivate, forget, reactivate, \
    place-hold, release-hold, ban, schedule-ban, unban, clean-profile, clear-friends, invalidate-tokens USER; \
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
pub fn command(words: &[&str]) -> Result<Question, NotAsked> {
    let mut subjects = HashMap::new();
    let mut user_id = |word: &str| user_id(word, &mut subjects);
    let command = match words {
        [verb, who] => of_one(verb, user_id(who)?)?,
        ["set-profile", who, field] => {
            let changes = BTreeMap::from([(FieldName((*field).to_owned()), Some(Value::Null))]);
            Arc::new(Change::SetProfile(changes).of(vec![user_id(who)?]))
        }
        [verb, who, other] => of_two(verb, user_id(who)?, user_id(other)?)?,
        _ => return Err(NotAsked::Words),
    };
    Ok(Question { command, subjects })
}

fn of_one(verb: &str, user_id: UserId) -> Result<Arc<dyn DynCommand>, NotAsked> {
    let who = vec![user_id.clone()];
    let changed = |change: Change| Arc::new(change.of(vec![user_id.clone()])) as Arc<dyn DynCommand>;
    let erased = |scope| Arc::new(Erase { who: who.clone(), scope, request: Request::default() });
    Ok(match verb {
        // On the platform, a token is issued by registering, also a user who is registered already.
        "register" | "issue-token" => Arc::new(Register { who: user_id, name: Name::parse("-")?, portrait: None }),
        "rename" => changed(Change::Modify(Some(Name::parse("-")?), None)),
        "tag" => changed(Change::Tag(vec![])),
        "mute" => changed(Change::MuteDirectMessages(None)),
        "permit-friends" => changed(Change::PermitFriends(FriendPermission::Anyone)),
        "clean-profile" => changed(Change::CleanProfile),
        "reactivate" => Arc::new(Reactivate { who }),
        "place-hold" => changed(Change::PlaceHold(None)),
        "release-hold" => changed(Change::ReleaseHold),
        "deactivate" => erased(Scope::Deactivate),
        "forget" => erased(Scope::Forget),
        "ban" => Arc::new(Ban::minutes(who, BanMinutes::new(1)?)),
        "schedule-ban" => {
            let term = Term { starts_at: Some(chrono::DateTime::<chrono::Utc>::MAX_UTC), length: Length::Permanent };
            Arc::new(Ban { term, ..Ban::minutes(who, BanMinutes::new(1)?) })
        }
        "unban" => Arc::new(Lift { who, scheduled: true, only: None }),
        "clear-friends" => Arc::new(ClearFriends { who: user_id }),
        "invalidate-tokens" => Arc::new(token::Invalidate { who, before: chrono::DateTime::UNIX_EPOCH }),
        _ => return Err(NotAsked::Words),
    })
}

fn of_two(verb: &str, who: UserId, other: UserId) -> Result<Arc<dyn DynCommand>, NotAsked> {
    let befriended =
        |who, target, direct| Arc::new(Befriend { who, target, direct, text: None }) as Arc<dyn DynCommand>;
    let targets = vec![other.clone()];
    Ok(match verb {
        "befriend" => befriended(who, other, false),
        "befriend-directly" => befriended(who, other, true),
        "unfriend" => Arc::new(Unfriend { who, targets }),
        "describe" => Arc::new(Describe { owner: who, about: other, remark: Some(None), changes: BTreeMap::new() }),
        "remark" => Arc::new(remarks::Remark { owner: who, remarks: vec![(other, Remark::parse("-")?)] }),
        "block" => Arc::new(Block { owner: who, targets }),
        "unblock" => Arc::new(Unblock { owner: who, targets }),
        "allow" => Arc::new(Allow { owner: who, targets }),
        "disallow" => Arc::new(Disallow { owner: who, targets }),
        _ => return Err(NotAsked::Words),
    })
}

fn user_id(word: &str, subjects: &mut HashMap<UserId, SubjectRef>) -> Result<UserId, NotAsked> {
    match word.parse()? {
        Who::UserId(user_id) => Ok(user_id),
        Who::Subject(subject) => {
            let user_id = UserId::parse("userId", &subject.to_string())?;
            subjects.insert(user_id.clone(), subject);
            Ok(user_id)
        }
    }
}
