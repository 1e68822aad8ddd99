//! One user: registration, profile, tags, own settings, deactivation.

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, ErasureId, FieldName, OperationId, SubjectRef};
use rollcall_schemas::personal::Personal;
use rollcall_schemas::plain::{FriendPermission, Scope, Visibility};
use rollcall_schemas::stream::Stream;
use rollcall_schemas::user::{
    Deactivated, Event, Forgotten, FriendPermissionSet, HoldPlaced, HoldReleased, Modified, Named, ProfileCleaned,
    ProfileSet, PushQuieted, PushUnquieted, Restored, Restricted, Tagged, VisibilitySet,
};
use serde::{Deserialize, Serialize};

use super::command::{Command, Decide, Found, Person};
use super::state::Recorded;
use super::values::{MuteMinutes, Name, Portrait, ProfileChanges, QuietHours, Reason, Tag, UserId};
use super::{Error, Reads, Refusal, UnitOfWork};

mod import;
mod mute;
mod reactivate;
mod register;

pub use import::{Import, Imported};
pub use mute::{ExpireMute, ImportMute, Mute, MuteEnd};
pub use reactivate::Reactivate;
pub use register::Register;

/// A change of a user.
#[derive(Debug, Clone)]
pub enum Change {
    /// Replace what is given.
    Modify(Option<Name>, Option<Portrait>),
    /// Set or clear fields of the hosted profile.
    SetProfile(ProfileChanges),
    /// Clear the whole hosted profile.
    CleanProfile,
    /// Replace all tags.
    Tag(Vec<Tag>),
    /// Mute direct messages for so long; `None`: until they are unmuted. A mute that runs gets this end.
    MuteDirectMessages(Option<MuteMinutes>),
    /// Unmute direct messages.
    UnmuteDirectMessages,
    /// Set or remove the quiet hours.
    QuietPushes(Option<QuietHours>),
    /// What a user changes of itself at once: name, portrait and fields of the hosted profile.
    Update {
        /// The new name.
        name: Option<Name>,
        /// The new portrait.
        portrait: Option<Portrait>,
        /// Fields of the hosted profile that change.
        profile: ProfileChanges,
    },
    /// Set who sees more than name and portrait.
    SetVisibility(Visibility),
    /// Set who may become a friend.
    PermitFriends(FriendPermission),
    /// Keep the user's data for legal reasons: no erasure of it begins.
    PlaceHold(Option<Reason>),
    /// Let erasures go on.
    ReleaseHold,
}

/// How far a user has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Nothing is known.
    #[default]
    Unknown,
    /// Only the userId is known.
    Named,
    /// Registered.
    Registered,
    /// Behind the fence, the data still there: an erasure waits.
    Restricted,
    /// Behind the fence.
    Deactivated {
        /// Since when.
        at: DateTime<Utc>,
    },
    /// Unlinked.
    Forgotten,
}

/// What a user is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// How far the user has come.
    pub status: Status,
    /// Which of the subject's keys count.
    pub epoch: u32,
    /// Own setting of who may become a friend.
    pub permission: Option<FriendPermission>,
    /// Own setting of who sees more than name and portrait.
    pub visibility: Option<Visibility>,
    /// Whether the user's data must be kept for legal reasons.
    pub held: bool,
    /// Whether the user was not registered when an erasure was requested.
    was_named: bool,
    mute: Option<Mute>,
    quiet: bool,
    tagged: bool,
}

impl State {
    /// Whether a list may refer to the user as an acting person.
    ///
    /// # Errors
    /// The user is behind the fence.
    pub fn unfenced(&self) -> Result<(), Refusal> {
        match self.status {
            Status::Restricted | Status::Deactivated { .. } => Err(Refusal::Deactivated),
            Status::Forgotten => Err(Refusal::NotRegistered),
            Status::Unknown | Status::Named | Status::Registered => Ok(()),
        }
    }
}

/// The first mention of a userId; nothing when it is known.
#[must_use]
pub fn mention(state: &State, subject: SubjectRef, user_id: &UserId) -> Option<Event> {
    (state.status == Status::Unknown)
        .then(|| Named { subject, user_id: Personal::Present(user_id.as_str().into()) }.into())
}

/// Decides a change of `subject` at a time.
///
/// # Errors
/// Why the state of the user does not allow it.
fn change(state: &State, subject: SubjectRef, change: Change, now: DateTime<Utc>) -> Result<Vec<Event>, Refusal> {
    match (state.status, change) {
        (Status::Forgotten, _) => Err(Refusal::NotRegistered),
        (Status::Registered, Change::Modify(name, portrait)) => Ok(modify(subject, name, portrait)),
        (Status::Registered, Change::Update { name, portrait, profile }) => {
            let mut events = modify(subject, name, portrait);
            events.extend(set_profile(subject, profile));
            Ok(events)
        }
        (Status::Registered, Change::SetProfile(changes)) => Ok(set_profile(subject, changes)),
        (Status::Registered, Change::CleanProfile) => Ok(vec![ProfileCleaned { subject }.into()]),
        (Status::Unknown, Change::PlaceHold(_) | Change::ReleaseHold) => Err(Refusal::NotRegistered),
        (_, Change::PlaceHold(reason)) => {
            let reason = reason.map(|reason| Personal::Present(reason.as_str().to_owned()));
            Ok(vec![HoldPlaced { subject, reason }.into()])
        }
        (_, Change::ReleaseHold) => Ok(state.held.then(|| HoldReleased { subject }.into()).into_iter().collect()),
        (Status::Restricted | Status::Deactivated { .. }, _) => Err(Refusal::Deactivated),

        // Settings are taken for a userId that is not registered yet, as the platform does.
        (_, Change::Tag(tags)) => {
            let tags: Option<Vec<_>> =
                (!tags.is_empty()).then(|| tags.iter().map(|tag| tag.as_str().to_owned()).collect());
            let changes = tags.is_some() || state.tagged;
            Ok(changes.then(|| Tagged { subject, tags: tags.map(Personal::Present) }.into()).into_iter().collect())
        }
        (_, Change::MuteDirectMessages(minutes)) => {
            Ok(mute::mute(state.mute, subject, minutes.map(|minutes| now + minutes.duration()), now))
        }
        (_, Change::UnmuteDirectMessages) => Ok(mute::unmute(state.mute, subject, now)),
        (_, Change::QuietPushes(Some(QuietHours { start, minutes, level }))) => {
            Ok(vec![PushQuieted { subject, start, minutes, level }.into()])
        }
        (_, Change::QuietPushes(None)) => {
            Ok(state.quiet.then(|| PushUnquieted { subject }.into()).into_iter().collect())
        }
        (_, Change::SetVisibility(visibility)) if state.visibility == Some(visibility) => Ok(vec![]),
        (Status::Registered, Change::SetVisibility(visibility)) => {
            Ok(vec![VisibilitySet { subject, visibility }.into()])
        }
        (_, Change::PermitFriends(permission)) if state.permission == Some(permission) => Ok(vec![]),
        (_, Change::PermitFriends(permission)) => Ok(vec![FriendPermissionSet { subject, permission }.into()]),

        (
            Status::Unknown | Status::Named,
            Change::Modify(..)
            | Change::Update { .. }
            | Change::SetProfile(_)
            | Change::SetVisibility(_)
            | Change::CleanProfile,
        ) => Err(Refusal::NotRegistered),
    }
}

fn modify(subject: SubjectRef, name: Option<Name>, portrait: Option<Portrait>) -> Vec<Event> {
    if name.is_none() && portrait.is_none() {
        return vec![];
    }
    let (name, portrait) = (name.as_ref().map(personal_name), portrait.as_ref().map(personal_portrait));
    vec![Modified { subject, name, portrait }.into()]
}

fn personal_name(name: &Name) -> Personal<String> {
    Personal::Present(name.as_str().to_owned())
}

fn personal_portrait(portrait: &Portrait) -> Personal<String> {
    Personal::Present(portrait.as_str().to_owned())
}

/// Whether an erasure may be requested, and is not requested already.
///
/// # Errors
/// There is nobody to erase.
pub fn may_erase(state: &State, scope: Scope) -> Result<bool, Refusal> {
    match (state.status, scope) {
        (Status::Unknown | Status::Forgotten, _) | (Status::Named, Scope::Deactivate) => Err(Refusal::NotRegistered),
        (Status::Named, Scope::Forget) | (Status::Registered, _) => Ok(true),
        (Status::Restricted | Status::Deactivated { .. }, scope) => Ok(scope == Scope::Forget),
    }
}

/// The fence of an erasure that begins.
#[must_use]
pub fn fence(
    state: &State,
    subject: SubjectRef,
    scope: Scope,
    erasure: ErasureId,
    operation: &OperationId,
) -> Vec<Event> {
    let mut events = vec![];
    match state.status {
        Status::Unknown | Status::Forgotten => return events,
        Status::Deactivated { .. } => {}
        Status::Named | Status::Registered | Status::Restricted => {
            events.push(Deactivated { subject, erasure, operation: operation.clone() }.into());
        }
    }
    if scope == Scope::Forget {
        events.push(Forgotten { subject, erasure }.into());
    }
    events
}

/// The fence of an erasure that waits.
#[must_use]
pub fn restrict(state: &State, subject: SubjectRef, erasure: ErasureId, operation: &OperationId) -> Vec<Event> {
    match state.status {
        Status::Named | Status::Registered => {
            vec![Restricted { subject, erasure, operation: operation.clone() }.into()]
        }
        Status::Unknown | Status::Restricted | Status::Deactivated { .. } | Status::Forgotten => vec![],
    }
}

/// Lifts the fence of an erasure that was called off.
#[must_use]
pub fn restore(state: &State, subject: SubjectRef, erasure: ErasureId) -> Vec<Event> {
    (state.status == Status::Restricted).then(|| Restored { subject, erasure }.into()).into_iter().collect()
}

/// Whether the app has declared the extension fields that change.
fn check_declared(work: &UnitOfWork<'_>, changes: &ProfileChanges) -> Result<(), Error> {
    let declared = &work.application()?.user_fields;
    let is_undeclared = |key: &&FieldName| key.0.starts_with("ext_") && !declared.contains(*key);
    match changes.keys().find(is_undeclared) {
        Some(key) => Err(Refusal::UndeclaredField(key.0.clone()).into()),
        None => Ok(()),
    }
}

fn set_profile(subject: SubjectRef, changes: ProfileChanges) -> Vec<Event> {
    if changes.is_empty() {
        return vec![];
    }
    let cleared = changes.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key.clone()).collect();
    let fields =
        changes.into_iter().filter_map(|(key, value)| value.map(|value| (key, Personal::Present(value)))).collect();
    vec![ProfileSet { subject, fields, cleared }.into()]
}

impl Recorded for State {
    const VERSION: u32 = 3;
}

/// What an event, recorded at `at`, makes of the state.
pub fn evolve(state: &mut State, event: &Event, at: DateTime<Utc>) {
    match event {
        Event::Named(_) => state.status = Status::Named,
        Event::Registered(_) => state.status = Status::Registered,
        Event::Reregistered(_) | Event::Modified(_) | Event::ProfileSet(_) | Event::ProfileCleaned(_) => {}
        Event::Tagged(e) => state.tagged = e.tags.is_some(),
        Event::DirectMessagesMuted(_) => state.mute = Some(Mute { ends_at: None }),
        Event::DirectMessagesMutedV2(e) => state.mute = Some(Mute { ends_at: e.ends_at }),
        Event::DirectMessagesUnmuted(_) | Event::DirectMessagesMuteExpired(_) => state.mute = None,
        Event::PushQuieted(_) => state.quiet = true,
        Event::PushUnquieted(_) => state.quiet = false,
        Event::VisibilitySet(e) => state.visibility = Some(e.visibility),
        Event::FriendPermissionSet(e) => state.permission = Some(e.permission),
        Event::Restricted(_) => {
            state.was_named = state.status == Status::Named;
            state.status = Status::Restricted;
        }
        Event::Restored(_) if state.was_named => state.status = Status::Named,
        Event::Restored(_) => state.status = Status::Registered,
        Event::HoldPlaced(_) => state.held = true,
        Event::HoldReleased(_) => state.held = false,
        Event::Deactivated(_) => {
            let State { epoch, held, .. } = *state;
            *state = State { status: Status::Deactivated { at }, epoch, held, ..State::default() };
        }
        Event::Reactivated(e) => {
            *state = State { status: Status::Registered, epoch: e.epoch, held: state.held, ..State::default() };
        }
        Event::Forgotten(_) => state.status = Status::Forgotten,
    }
}

/// Change users, each the same way.
#[derive(Debug, Clone)]
pub struct ChangeUsers<P = UserId> {
    /// Whom.
    pub who: Vec<P>,
    /// How.
    pub change: Change,
}

impl Change {
    /// The command that makes this change of these users.
    #[must_use]
    pub fn of(self, who: Vec<UserId>) -> ChangeUsers {
        ChangeUsers { who, change: self }
    }

    /// Whether the change is taken for a userId that was never used: it makes it known.
    fn introduces(&self) -> bool {
        match self {
            Self::Tag(tags) => !tags.is_empty(),
            Self::QuietPushes(hours) => hours.is_some(),
            Self::MuteDirectMessages(_) | Self::PermitFriends(_) => true,
            Self::Modify(..)
            | Self::Update { .. }
            | Self::SetProfile(_)
            | Self::CleanProfile
            | Self::UnmuteDirectMessages
            | Self::SetVisibility(_)
            | Self::PlaceHold(_)
            | Self::ReleaseHold => false,
        }
    }

    /// Whether it decides about erasures, and so about every subject of a userId.
    fn is_hold(&self) -> bool {
        matches!(self, Self::PlaceHold(_) | Self::ReleaseHold)
    }

    /// Whether the change is nothing for a userId that was never used, instead of refused.
    fn is_lenient(&self) -> bool {
        matches!(self, Self::Tag(_) | Self::MuteDirectMessages(_) | Self::UnmuteDirectMessages | Self::QuietPushes(_))
    }
}

impl Command for ChangeUsers {
    type Resolved = ChangeUsers<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        self.who.iter().collect()
    }

    fn introduces(&self) -> bool {
        self.change.introduces()
    }

    fn covers_every_subject(&self) -> bool {
        self.change.is_hold()
    }

    fn resolve(&self, found: &Found) -> Result<ChangeUsers<Person>, Error> {
        Ok(ChangeUsers { who: found.people(&self.who)?, change: self.change.clone() })
    }
}

impl Decide for ChangeUsers<Person> {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        self.who.iter().for_each(|person| reads.person(person, &[Stream::User]));
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        if let Change::SetProfile(changes) | Change::Update { profile: changes, .. } = &self.change {
            check_declared(work, changes)?;
        }
        for person in &self.who {
            let subject = match person.subject {
                Some(subject) => subject,
                None if self.change.is_lenient() => continue,
                None => return Err(Refusal::NotRegistered.into()),
            };
            let changed = change(work.state(subject)?, subject, self.change.clone(), work.now())?;
            if !changed.is_empty() {
                work.mentioned(person)?;
                work.record::<State>(subject, changed)?;
            }
            for further in &person.further {
                let state = work.state::<State>(*further)?;
                if state.status != Status::Forgotten {
                    work.record::<State>(*further, change(state, *further, self.change.clone(), work.now())?)?;
                }
            }
        }
        Ok(())
    }
}
