//! A command in words, as somebody asks why it is refused: `befriend ada bob`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{FieldName, SubjectRef};
use rollcall_schemas::plain::{DataRequestKind, FriendPermission, Scope, Visibility};
use serde_json::Value;

use super::past::Who;
use crate::domain::allowlist::{Allow, Disallow, SetAllowlist};
use crate::domain::ban::{Ban, Length, Lift, Term};
use crate::domain::blocklist::{Block, Unblock};
use crate::domain::data_request::Receive;
use crate::domain::erasure::{Erase, Request};
use crate::domain::friend_groups::{GroupFriend, LabelGroup, RemoveGroup};
use crate::domain::friendship::{Befriend, ClearFriends, Describe, Unfriend};
use crate::domain::user::{Change, Import, ImportMute, MuteEnd, Reactivate, Register};
use crate::domain::values::{BanMinutes, GroupNumber, Invalid, Label, Name, Remark, UserId};
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

/// What a word after the verb names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// A user.
    User,
    /// A field of a hosted profile.
    Field,
    /// The number of a friend group.
    Group,
}

type Made = Result<Arc<dyn DynCommand>, Invalid>;

/// How a command is made of what its words name.
#[derive(Clone, Copy)]
enum Make {
    Of(fn(UserId) -> Made),
    OfField(fn(UserId, FieldName) -> Made),
    OfTwo(fn(UserId, UserId) -> Made),
    OfGroup(fn(UserId, GroupNumber) -> Made),
    OfMember(fn(UserId, UserId, GroupNumber) -> Made),
}

impl Make {
    const fn parts(self) -> &'static [Part] {
        match self {
            Self::Of(_) => &[Part::User],
            Self::OfField(_) => &[Part::User, Part::Field],
            Self::OfTwo(_) => &[Part::User, Part::User],
            Self::OfGroup(_) => &[Part::User, Part::Group],
            Self::OfMember(_) => &[Part::User, Part::User, Part::Group],
        }
    }
}

fn made(command: impl DynCommand + 'static) -> Made {
    Ok(Arc::new(command))
}

fn erase(who: UserId, scope: Scope) -> Made {
    made(Erase { who: vec![who], scope, request: Request::default() })
}

fn ban(who: UserId, starts_at: Option<DateTime<Utc>>) -> Made {
    let term = Term { starts_at, length: Length::Permanent };
    made(Ban { term, ..Ban::minutes(vec![who], BanMinutes::new(1)?) })
}

fn befriend(who: UserId, target: UserId, direct: bool) -> Made {
    made(Befriend { who, target, direct, text: None })
}

fn group_friend(owner: UserId, friend: UserId, group: GroupNumber, is_in: bool) -> Made {
    made(GroupFriend { owner, group, friend, is_in })
}

/// The commands, by their verbs. Values that no refusal depends on, such as a name or the text of a remark, are made up.
static COMMANDS: &[(&str, Make)] = &[
    ("register", Make::Of(|who| made(Register { who, name: Name::parse("-")?, portrait: None }))),
    (
        "import",
        Make::Of(|who| {
            let (portrait, profile) = (None, BTreeMap::new());
            made(Import { who, name: Name::parse("-")?, portrait, profile, updates: false })
        }),
    ),
    ("issue-token", Make::Of(|who| made(token::Issue { who, expires_in_seconds: None, label: None, scopes: None }))),
    ("invalidate-tokens", Make::Of(|who| made(token::Invalidate { who: vec![who], before: DateTime::UNIX_EPOCH }))),
    ("rename", Make::Of(|who| made(Change::Modify(Some(Name::parse("-")?), None).of(vec![who])))),
    ("clean-profile", Make::Of(|who| made(Change::CleanProfile.of(vec![who])))),
    ("set-visibility", Make::Of(|who| made(Change::SetVisibility(Visibility::All).of(vec![who])))),
    ("tag", Make::Of(|who| made(Change::Tag(vec![]).of(vec![who])))),
    ("mute", Make::Of(|who| made(Change::MuteDirectMessages(None).of(vec![who])))),
    ("import-mute", Make::Of(|who| made(ImportMute { who, end: MuteEnd::Never, updates: false }))),
    ("unmute", Make::Of(|who| made(Change::UnmuteDirectMessages.of(vec![who])))),
    ("quiet-pushes", Make::Of(|who| made(Change::QuietPushes(None).of(vec![who])))),
    ("permit-friends", Make::Of(|who| made(Change::PermitFriends(FriendPermission::Anyone).of(vec![who])))),
    ("set-allowlist", Make::Of(|who| made(SetAllowlist { who: vec![who], enabled: true }))),
    ("clear-friends", Make::Of(|who| made(ClearFriends { who }))),
    ("ban", Make::Of(|who| ban(who, None))),
    ("schedule-ban", Make::Of(|who| ban(who, Some(DateTime::<Utc>::MAX_UTC)))),
    ("unban", Make::Of(|who| made(Lift { who: vec![who], scheduled: true, only: None }))),
    ("deactivate", Make::Of(|who| erase(who, Scope::Deactivate))),
    ("forget", Make::Of(|who| erase(who, Scope::Forget))),
    ("reactivate", Make::Of(|who| made(Reactivate { who: vec![who] }))),
    ("place-hold", Make::Of(|who| made(Change::PlaceHold(None).of(vec![who])))),
    ("release-hold", Make::Of(|who| made(Change::ReleaseHold.of(vec![who])))),
    ("receive-request", Make::Of(|who| made(Receive { who, kind: DataRequestKind::Access, due_at: None }))),
    (
        "set-profile",
        Make::OfField(|who, field| made(Change::SetProfile([(field, Some(Value::Null))].into()).of(vec![who]))),
    ),
    ("befriend", Make::OfTwo(|who, target| befriend(who, target, false))),
    ("befriend-directly", Make::OfTwo(|who, target| befriend(who, target, true))),
    ("unfriend", Make::OfTwo(|who, target| made(Unfriend { who, targets: vec![target] }))),
    (
        "describe",
        Make::OfTwo(|owner, about| made(Describe { owner, about, remark: Some(None), changes: BTreeMap::new() })),
    ),
    (
        "remark",
        Make::OfTwo(|owner, target| made(remarks::Remark { owner, remarks: vec![(target, Remark::parse("-")?)] })),
    ),
    ("unremark", Make::OfTwo(|owner, target| made(remarks::Unremark { owner, target }))),
    ("block", Make::OfTwo(|owner, target| made(Block { owner, targets: vec![target] }))),
    ("unblock", Make::OfTwo(|owner, target| made(Unblock { owner, targets: vec![target] }))),
    ("allow", Make::OfTwo(|owner, target| made(Allow { owner, targets: vec![target] }))),
    ("disallow", Make::OfTwo(|owner, target| made(Disallow { owner, targets: vec![target] }))),
    (
        "label-group",
        Make::OfGroup(|owner, group| made(LabelGroup { owner, group, label: Label::parse("-")?, relabels: true })),
    ),
    ("remove-group", Make::OfGroup(|owner, group| made(RemoveGroup { owner, group }))),
    ("group-friend", Make::OfMember(|owner, friend, group| group_friend(owner, friend, group, true))),
    ("ungroup-friend", Make::OfMember(|owner, friend, group| group_friend(owner, friend, group, false))),
];

/// The verb of each command that can be asked about, and what follows it; commands that the same follows stand together.
pub fn verbs() -> impl Iterator<Item = (&'static str, &'static [Part])> {
    COMMANDS.iter().map(|(verb, make)| (*verb, make.parts()))
}

/// Every command that can be asked about, with what follows it.
pub static ASKED: LazyLock<String> = LazyLock::new(|| {
    let together = COMMANDS.chunk_by(|(_, one), (_, other)| one.parts() == other.parts());
    let told = together.filter_map(|commands| {
        let verbs: Vec<_> = commands.iter().map(|(verb, _)| *verb).collect();
        let mut told = verbs.join(", ");
        for (place, part) in commands.first()?.1.parts().iter().enumerate() {
            told.push_str(match (part, place) {
                (Part::User, 0) => " USER",
                (Part::User, _) => " OTHER",
                (Part::Field, _) => " FIELD",
                (Part::Group, _) => " GROUP",
            });
        }
        Some(told)
    });
    told.collect::<Vec<_>>().join("; ")
});

/// Why words are no command. The message does not repeat the ids.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAsked {
    /// No such command, or not so many words after it.
    #[error("this is no command that can be explained; there are: {}", *ASKED)]
    Words,
    /// A word is no userId.
    #[error("a user is named by its userId, or as subject:REFERENCE: {0}")]
    User(String),
    /// A word is no number of a friend group.
    #[error("a friend group is named by its number: {0}")]
    Group(String),
}

impl From<Invalid> for NotAsked {
    fn from(invalid: Invalid) -> Self {
        Self::User(invalid.to_string())
    }
}

/// Reads a command.
///
/// # Errors
/// The words are no command.
pub fn command(words: &[&str]) -> Result<Question, NotAsked> {
    let [verb, parts @ ..] = words else { return Err(NotAsked::Words) };
    let (_, make) = COMMANDS.iter().find(|(of, _)| of == verb).ok_or(NotAsked::Words)?;
    let mut subjects = HashMap::new();
    let mut user = |word: &str| user_id(word, &mut subjects);
    let command = match (*make, parts) {
        (Make::Of(make), [who]) => make(user(who)?)?,
        (Make::OfField(make), [who, field]) => make(user(who)?, FieldName((*field).to_owned()))?,
        (Make::OfTwo(make), [who, other]) => make(user(who)?, user(other)?)?,
        (Make::OfGroup(make), [who, number]) => make(user(who)?, group(number)?)?,
        (Make::OfMember(make), [who, other, number]) => make(user(who)?, user(other)?, group(number)?)?,
        _ => return Err(NotAsked::Words),
    };
    Ok(Question { command, subjects })
}

fn group(word: &str) -> Result<GroupNumber, NotAsked> {
    let number = word.parse().map_err(|_| NotAsked::Group("it must be digits only".into()))?;
    GroupNumber::new(number).map_err(|invalid| NotAsked::Group(invalid.to_string()))
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

#[cfg(test)]
mod tests;
