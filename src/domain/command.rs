//! Every command and the streams it reads.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, DataRequestId, ErasureId, FieldName, Pair, SubjectRef};
use rollcall_schemas::plain::DataRequestKind;
use rollcall_schemas::stream::Stream;

use super::erasure::{self, Request};
use super::values::{Name, Portrait, ProfileChanges, Remark, RequestText, UserId};
use super::{Refusal, app, ban, data_request, user};

/// A user as a caller names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The app's id.
    pub user_id: UserId,
    /// Its subject: found by the engine before the decision; `None`: the userId was never used.
    pub subject: Option<SubjectRef>,
}

impl From<UserId> for Person {
    fn from(user_id: UserId) -> Self {
        Self { user_id, subject: None }
    }
}

impl Person {
    pub(super) fn known(&self) -> Result<SubjectRef, Refusal> {
        self.subject.ok_or(Refusal::NotRegistered)
    }
}

/// A step of an erasure, taken by the service itself.
#[derive(Debug, Clone)]
pub struct ErasureStep {
    /// Which erasure.
    pub erasure: ErasureId,
    /// Whose data.
    pub subject: SubjectRef,
    /// The step.
    pub step: erasure::Step,
    /// Whose friendships and requests with the subject end with it.
    pub friends: Vec<SubjectRef>,
}

/// Everything that may be asked.
#[derive(Debug, Clone)]
pub enum Command {
    /// Of an application, by its operator.
    App(app::Command),
    /// Register a user, or register it again; answers a token.
    Register(Person, Name, Option<Portrait>),
    /// Change users, each the same way. Not for registration, deactivation and forgetting.
    User(Vec<Person>, user::Command),
    /// Deactivate users: fence them and erase their data.
    Deactivate(Vec<Person>, Request),
    /// Forget users: deactivate and unlink their userIds.
    Forget(Vec<Person>, Request),
    /// Call an erasure off.
    CancelErasure {
        /// Which.
        erasure: ErasureId,
        /// Whose data; the engine fills it in.
        subject: SubjectRef,
        /// Whether another erasure of the same person waits.
        others_wait: bool,
    },
    /// Invalidate the tokens issued to users before a time.
    InvalidateTokens(Vec<Person>, DateTime<Utc>),
    /// Ban users or lift their bans.
    Ban(Vec<Person>, ban::Command),
    /// Record that a ban came to its end.
    ExpireBan(SubjectRef),
    /// Add to a blocklist.
    Block(Person, Vec<Person>),
    /// Remove from a blocklist.
    Unblock(Person, Vec<Person>),
    /// Add to an allowlist.
    Allow(Person, Vec<Person>),
    /// Remove from an allowlist.
    Disallow(Person, Vec<Person>),
    /// Put the allowlists of users in force, or out of it.
    SetAllowlist(Vec<Person>, bool),
    /// Make a user the friend of another: directly, or as the other permits.
    Befriend {
        /// Who wants a friend.
        who: Person,
        /// Whom.
        target: Person,
        /// Without asking.
        direct: bool,
        /// The text of the request.
        text: Option<RequestText>,
    },
    /// End friendships.
    Unfriend(Person, Vec<Person>),
    /// End all friendships; the engine fills in with whom.
    ClearFriends(Person, Vec<SubjectRef>),
    /// Describe a friend for oneself: `Some(None)` takes the remark away.
    DescribeFriend(Person, Person, Option<Option<Remark>>, ProfileChanges),
    /// Set remarks about others.
    Remark(Person, Vec<(Person, Remark)>),
    /// Take a remark away.
    Unremark(Person, Person),
    /// A step of an erasure.
    Erasure(ErasureStep),
    /// A person asked something about their data; it is due in a month unless another time is given.
    ReceiveDataRequest(Person, DataRequestKind, Option<DateTime<Utc>>),
    /// Extend, answer or refuse such a request.
    ChangeDataRequest {
        /// Which.
        request: DataRequestId,
        /// Whose data; the engine fills it in.
        subject: SubjectRef,
        /// What to do.
        change: data_request::Change,
    },
    /// Record that fields of subjects are answered to the caller.
    RecordReads(Vec<(SubjectRef, BTreeSet<FieldName>)>),
}

impl Command {
    /// Calls an erasure off. Whose it is and whether others wait, the engine fills in.
    #[must_use]
    pub fn cancel_erasure(erasure: ErasureId) -> Self {
        Self::CancelErasure { erasure, subject: SubjectRef(uuid::Uuid::nil()), others_wait: false }
    }

    /// Every person the command names.
    pub fn persons_mut(&mut self) -> Vec<&mut Person> {
        match self {
            Self::App(_)
            | Self::ExpireBan(_)
            | Self::CancelErasure { .. }
            | Self::Erasure(_)
            | Self::RecordReads(_)
            | Self::ChangeDataRequest { .. } => vec![],
            Self::ReceiveDataRequest(who, ..) | Self::Register(who, ..) | Self::ClearFriends(who, _) => vec![who],
            Self::User(who, _)
            | Self::Deactivate(who, _)
            | Self::Forget(who, _)
            | Self::InvalidateTokens(who, _)
            | Self::Ban(who, _)
            | Self::SetAllowlist(who, _) => who.iter_mut().collect(),
            Self::Block(who, targets)
            | Self::Unblock(who, targets)
            | Self::Allow(who, targets)
            | Self::Disallow(who, targets)
            | Self::Unfriend(who, targets) => std::iter::once(who).chain(targets).collect(),
            Self::Befriend { who, target, .. }
            | Self::DescribeFriend(who, target, ..)
            | Self::Unremark(who, target) => vec![who, target],
            Self::Remark(who, remarks) => std::iter::once(who).chain(remarks.iter_mut().map(|(p, _)| p)).collect(),
        }
    }

    /// Whether a userId that was never used is known from this command on. The platform lets a back end block, ban,
    /// tag or befriend a userId it has not registered yet.
    #[must_use]
    pub fn introduces(&self) -> bool {
        match self {
            Self::User(_, command) => match command {
                user::Command::Tag(tags) => !tags.is_empty(),
                user::Command::MuteDirectMessages(muted) => *muted,
                user::Command::QuietPushes(hours) => hours.is_some(),
                user::Command::PermitFriends(_) => true,
                user::Command::Register(..)
                | user::Command::Modify(..)
                | user::Command::SetProfile(_)
                | user::Command::CleanProfile
                | user::Command::PlaceHold(_)
                | user::Command::ReleaseHold
                | user::Command::Reactivate(_) => false,
            },
            Self::Ban(_, command) => matches!(command, ban::Command::Ban(..)),
            Self::SetAllowlist(_, enabled) => *enabled,
            Self::Register(..) | Self::Block(..) | Self::Allow(..) | Self::Befriend { .. } | Self::Remark(..) => true,
            Self::App(_)
            | Self::Deactivate(..)
            | Self::Forget(..)
            | Self::InvalidateTokens(..)
            | Self::ExpireBan(_)
            | Self::Unblock(..)
            | Self::Disallow(..)
            | Self::Unfriend(..)
            | Self::ClearFriends(..)
            | Self::DescribeFriend(..)
            | Self::Unremark(..)
            | Self::CancelErasure { .. }
            | Self::Erasure(_)
            | Self::RecordReads(_)
            | Self::ReceiveDataRequest(..)
            | Self::ChangeDataRequest { .. } => false,
        }
    }

    /// Whether the caller is told how the operation is called.
    #[must_use]
    pub fn is_operation(&self) -> bool {
        matches!(self, Self::Deactivate(..) | Self::Forget(..) | Self::User(_, user::Command::Reactivate(_)))
    }

    /// How many fresh ids the decision needs.
    #[must_use]
    pub fn fresh_ids(&self) -> usize {
        match self {
            Self::Register(..) | Self::ReceiveDataRequest(..) => 1,
            Self::Deactivate(who, _) | Self::Forget(who, _) => who.len(),
            _ => 0,
        }
    }

    /// The streams the decision reads: those it writes, and those that must not change meanwhile.
    #[must_use]
    pub fn streams(&self, app: &AppId) -> Vec<Stream> {
        let mut streams = vec![];
        let mut of = |person: &Person, kinds: &[fn(SubjectRef) -> Stream]| {
            if let Some(subject) = person.subject {
                streams.extend(kinds.iter().map(|kind| kind(subject)));
            }
        };
        const FENCED: [fn(SubjectRef) -> Stream; 5] =
            [Stream::User, Stream::Blocklist, Stream::Allowlist, Stream::Remarks, Stream::Token];
        const RELATIONS: [fn(SubjectRef) -> Stream; 3] = [Stream::User, Stream::Blocklist, Stream::Allowlist];
        match self {
            Self::App(_) => {}
            Self::RecordReads(reads) => streams.extend(reads.iter().map(|(subject, _)| Stream::Access(*subject))),
            Self::Register(who, ..) | Self::ReceiveDataRequest(who, ..) => of(who, &[Stream::User]),
            Self::ChangeDataRequest { request, subject, .. } => {
                streams.extend([Stream::DataRequest(*request), Stream::User(*subject)]);
            }
            Self::User(who, _) => who.iter().for_each(|who| of(who, &[Stream::User])),
            Self::Deactivate(who, _) | Self::Forget(who, _) => who.iter().for_each(|who| {
                of(who, &FENCED);
            }),
            Self::InvalidateTokens(who, _) => who.iter().for_each(|who| of(who, &[Stream::User, Stream::Token])),
            Self::Ban(who, _) => who.iter().for_each(|who| of(who, &[Stream::User, Stream::Ban])),
            Self::SetAllowlist(who, _) => who.iter().for_each(|who| of(who, &[Stream::User, Stream::Allowlist])),
            Self::Block(who, targets) | Self::Unblock(who, targets) => {
                of(who, &[Stream::User, Stream::Blocklist]);
                targets.iter().for_each(|target| of(target, &[Stream::User]));
            }
            Self::Allow(who, targets) | Self::Disallow(who, targets) => {
                of(who, &[Stream::User, Stream::Allowlist]);
                targets.iter().for_each(|target| of(target, &[Stream::User]));
            }
            Self::Befriend { who, target, .. } => {
                of(who, &RELATIONS);
                of(target, &RELATIONS);
            }
            Self::Unfriend(who, _) | Self::ClearFriends(who, _) => of(who, &[Stream::User]),
            Self::DescribeFriend(who, target, ..) => {
                of(who, &[Stream::User]);
                of(target, &[Stream::User]);
            }
            Self::Remark(who, remarks) => {
                of(who, &[Stream::User, Stream::Remarks]);
                remarks.iter().for_each(|(target, _)| of(target, &[Stream::User]));
            }
            Self::Unremark(who, _) => of(who, &[Stream::User, Stream::Remarks]),
            Self::ExpireBan(subject) => streams.push(Stream::Ban(*subject)),
            Self::CancelErasure { erasure, subject, .. } => {
                streams.extend([Stream::Erasure(*erasure), Stream::User(*subject)]);
            }
            Self::Erasure(step) => {
                streams.push(Stream::Erasure(step.erasure));
                if matches!(step.step, erasure::Step::Begin(..)) {
                    streams.extend(FENCED.iter().map(|kind| kind(step.subject)));
                    streams.push(Stream::Roster(app.clone()));
                }
            }
        }
        streams.extend(self.pairs().into_iter().map(Stream::Friendship));
        // A token is issued whatever was issued before, so its stream is written without being read for a new user;
        // it still has to be known to append at its end.
        match self {
            Self::Register(who, ..) => {
                streams.extend(who.subject.map(Stream::Token));
                streams.push(Stream::Roster(app.clone()));
            }
            Self::Deactivate(..) | Self::Forget(..) => streams.push(Stream::Roster(app.clone())),
            _ => {}
        }
        streams.push(Stream::App(app.clone()));
        streams.sort_unstable();
        streams.dedup();
        streams
    }

    /// The subjects whose number of friends the decision needs.
    #[must_use]
    pub fn tallies(&self) -> Vec<SubjectRef> {
        match self {
            Self::Befriend { who, target, .. } => who.subject.into_iter().chain(target.subject).collect(),
            _ => vec![],
        }
    }

    fn pairs(&self) -> Vec<Pair> {
        let with = |who: &Person, others: &mut dyn Iterator<Item = SubjectRef>| {
            who.subject.map_or(vec![], |who| others.filter_map(|other| Pair::of(who, other)).collect())
        };
        match self {
            Self::Befriend { who, target, .. } | Self::DescribeFriend(who, target, ..) => {
                with(who, &mut target.subject.into_iter())
            }
            Self::Unfriend(who, targets) => with(who, &mut targets.iter().filter_map(|target| target.subject)),
            Self::ClearFriends(who, friends) => with(who, &mut friends.iter().copied()),
            Self::Erasure(step) => step.friends.iter().filter_map(|other| Pair::of(step.subject, *other)).collect(),
            _ => vec![],
        }
    }
}
