//! A record of a file, checked as a call of the API would be.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Kind;
use crate::domain::ban::{Length, Term};
use crate::domain::user::MuteEnd;
use crate::domain::values::{
    BanMinutes, GroupNumber, Invalid, Label, MuteMinutes, Name, Note, Portrait, ProfileChanges, Reason, Remark, UserId,
    extension_fields, profile_fields,
};

/// Members that a report of refused records adds; the report can be imported again as it is.
pub(super) const PROBLEM: &str = "_problem";
pub(super) const NUMBER: &str = "_record";
const NO_END: &str = "give one of minutes, ends_at and permanent";
/// Extension fields of one profile.
const EXTENSIONS_MAX: usize = 20;

/// What one record asks for.
#[derive(Debug)]
pub(super) enum Record {
    User { who: UserId, name: Name, portrait: Option<Portrait>, profile: ProfileChanges },
    Friend { who: UserId, friend: UserId, remark: Option<Remark> },
    Group { who: UserId, group: GroupNumber, label: Option<Label>, friend: Option<UserId> },
    Block { who: UserId, target: UserId },
    Allow { who: UserId, target: UserId },
    Allowlist { who: UserId, enabled: bool },
    Ban { who: UserId, term: Term, reason: Option<Reason>, note: Option<Note> },
    Mute { who: UserId, end: MuteEnd },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserFields {
    user_id: String,
    name: String,
    portrait_uri: Option<String>,
    profile: Option<Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FriendFields {
    user_id: String,
    #[serde(alias = "target")]
    friend_id: String,
    remark: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct GroupFields {
    user_id: String,
    group_id: u32,
    label: Option<String>,
    friend_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AllowFields {
    user_id: String,
    target_id: Option<String>,
    enabled: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BlockFields {
    user_id: String,
    #[serde(alias = "target")]
    target_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BanFields {
    user_id: String,
    starts_at: Option<DateTime<Utc>>,
    minutes: Option<i64>,
    ends_at: Option<DateTime<Utc>>,
    #[serde(default)]
    permanent: bool,
    reason: Option<String>,
    note: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MuteFields {
    user_id: String,
    minutes: Option<i64>,
    ends_at: Option<DateTime<Utc>>,
    #[serde(default)]
    permanent: bool,
}

impl Record {
    /// Checks a record; the error says in words what is wrong with it.
    pub(super) fn parse(kind: Kind, mut fields: Map<String, Value>) -> Result<Self, String> {
        fields.remove(PROBLEM);
        fields.remove(NUMBER);
        match kind {
            Kind::Users => user(typed(fields)?),
            Kind::Friends => friend(typed(fields)?).map_err(|invalid| invalid.to_string()),
            Kind::FriendGroups => group(typed(fields)?),
            Kind::Allows => allow(typed(fields)?),
            Kind::Blocks => block(typed(fields)?).map_err(|invalid| invalid.to_string()),
            Kind::Bans => ban(typed(fields)?),
            Kind::Mutes => mute(typed(fields)?),
        }
    }

    /// What it is about: of two records about the same, the order counts.
    pub(super) fn about(&self) -> String {
        match self {
            Self::User { who, .. } | Self::Allowlist { who, .. } | Self::Ban { who, .. } | Self::Mute { who, .. } => {
                who.as_str().to_owned()
            }
            Self::Group { who, group, .. } => format!("{} {}", who.as_str(), group.get()),
            Self::Friend { who, friend: other, .. }
            | Self::Block { who, target: other }
            | Self::Allow { who, target: other } => format!("{} {}", who.as_str(), other.as_str()),
        }
    }
}

fn typed<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, String> {
    serde_json::from_value(Value::Object(fields)).map_err(|error| error.to_string())
}

fn user(fields: UserFields) -> Result<Record, String> {
    let text = |invalid: Invalid| invalid.to_string();
    let (extensions, fixed): (Map<_, _>, Map<_, _>) =
        fields.profile.unwrap_or_default().into_iter().partition(|(name, _)| name.starts_with("ext_"));
    let keyed = |invalid: Invalid| match &invalid.key {
        Some(key) => format!("profile.{key}: {invalid}"),
        None => invalid.to_string(),
    };
    let mut profile = profile_fields(&fixed).map_err(keyed)?;
    profile.extend(extension_fields("profile", &extensions, EXTENSIONS_MAX).map_err(keyed)?);
    Ok(Record::User {
        who: UserId::parse("user_id", &fields.user_id).map_err(text)?,
        name: Name::parse(&fields.name).map_err(text)?,
        portrait: fields.portrait_uri.as_deref().map(Portrait::parse).transpose().map_err(text)?,
        profile,
    })
}

fn friend(fields: FriendFields) -> Result<Record, Invalid> {
    Ok(Record::Friend {
        who: UserId::parse("user_id", &fields.user_id)?,
        friend: UserId::parse("friend_id", &fields.friend_id)?,
        remark: fields.remark.as_deref().map(Remark::parse).transpose()?,
    })
}

fn group(fields: GroupFields) -> Result<Record, String> {
    let text = |invalid: Invalid| invalid.to_string();
    if fields.label.is_none() && fields.friend_id.is_none() {
        return Err("give label, friend_id or both".into());
    }
    let friend = fields.friend_id.as_deref().map(|id| UserId::parse("friend_id", id));
    Ok(Record::Group {
        who: UserId::parse("user_id", &fields.user_id).map_err(text)?,
        group: GroupNumber::new(fields.group_id).map_err(text)?,
        label: fields.label.as_deref().map(Label::parse).transpose().map_err(text)?,
        friend: friend.transpose().map_err(text)?,
    })
}

fn allow(fields: AllowFields) -> Result<Record, String> {
    let text = |invalid: Invalid| invalid.to_string();
    let who = UserId::parse("user_id", &fields.user_id).map_err(text)?;
    match (fields.target_id, fields.enabled) {
        (Some(target), None) => Ok(Record::Allow { who, target: UserId::parse("target_id", &target).map_err(text)? }),
        (None, Some(enabled)) => Ok(Record::Allowlist { who, enabled }),
        (Some(_), Some(_)) | (None, None) => Err("give one of target_id and enabled".into()),
    }
}

fn block(fields: BlockFields) -> Result<Record, Invalid> {
    Ok(Record::Block {
        who: UserId::parse("user_id", &fields.user_id)?,
        target: UserId::parse("target_id", &fields.target_id)?,
    })
}

fn ban(fields: BanFields) -> Result<Record, String> {
    let text = |invalid: Invalid| invalid.to_string();
    let length = match (fields.minutes, fields.ends_at, fields.permanent) {
        (Some(minutes), None, false) => Length::Minutes(BanMinutes::new(minutes).map_err(text)?),
        (None, Some(end), false) => Length::Until(end),
        (None, None, true) => Length::Permanent,
        _ => return Err(NO_END.into()),
    };
    Ok(Record::Ban {
        who: UserId::parse("user_id", &fields.user_id).map_err(text)?,
        term: Term { starts_at: fields.starts_at, length },
        reason: fields.reason.as_deref().map(Reason::parse).transpose().map_err(text)?,
        note: fields.note.as_deref().map(Note::parse).transpose().map_err(text)?,
    })
}

fn mute(fields: MuteFields) -> Result<Record, String> {
    let text = |invalid: Invalid| invalid.to_string();
    let end = match (fields.minutes, fields.ends_at, fields.permanent) {
        (Some(minutes), None, false) => MuteEnd::After(MuteMinutes::new(minutes).map_err(text)?),
        (None, Some(end), false) => MuteEnd::At(end),
        (None, None, true) => MuteEnd::Never,
        _ => return Err(NO_END.into()),
    };
    Ok(Record::Mute { who: UserId::parse("user_id", &fields.user_id).map_err(text)?, end })
}
