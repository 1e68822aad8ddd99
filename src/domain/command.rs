//! What a command is, in its two stages: as a caller asks for it, people named by userIds ([`Command`]), and as it is
//! decided, people named by subjects ([`Decide`]).
//!
//! To add one: a struct in its aggregate's file with an `impl` of both. Most are generic over how they name people, such
//! as `Block<UserId>` and `Block<Person>`. A command that names nobody implements [`Decide`] only.

use std::collections::HashMap;
use std::fmt::Debug;

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, DataRequestId, ErasureId, FriendRequestId, SubjectRef, TokenId};
use rollcall_schemas::plain::RequestState;
use serde::{Deserialize, Serialize};

use super::values::UserId;
use super::work::{Reads, UnitOfWork};
use super::{Defect, Error, Refusal, Reply, TypedReply};

/// A user whom a command names, once its userId was looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// The app's id.
    pub user_id: UserId,
    /// Its subject; `None`: the userId was never used, or is forgotten.
    pub subject: Option<SubjectRef>,
    /// Further subjects of the userId: only for a command that says [`Command::covers_every_subject`].
    pub further: Vec<SubjectRef>,
}

impl Person {
    /// The subject.
    ///
    /// # Errors
    /// The userId was never used, or is forgotten.
    pub(super) fn known(&self) -> Result<SubjectRef, Refusal> {
        self.subject.ok_or(Refusal::NotRegistered)
    }

    /// All its subjects, that which the userId names first.
    pub(super) fn subjects(&self) -> impl Iterator<Item = SubjectRef> {
        self.subject.into_iter().chain(self.further.iter().copied())
    }
}

/// What a command needs to know, beside the subjects of the userIds in it, that its streams do not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup {
    /// Nothing.
    Nothing,
    /// With whom the users it names have friendships or requests: [`Found::relations`].
    Relations,
    /// Whose this erasure is: [`Found::erasures`].
    Erasure(ErasureId),
    /// Whose this request is: [`Found::data_request`].
    DataRequest(DataRequestId),
    /// When this access token of the user it names was issued: [`Found::token`].
    Token(TokenId),
    /// Between whom this friend request is: [`Found::friend_request`].
    FriendRequest(FriendRequestId),
    /// Nothing, but the users it names need keys for their next epoch.
    NextKeys,
}

/// Whose an erasure is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErasureOwner {
    /// Which erasure.
    pub erasure: ErasureId,
    /// Whose data it erases.
    pub subject: SubjectRef,
    /// Whether another erasure of the same subject waits.
    pub others_wait: bool,
}

/// When an access token was issued, and when it ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenTimes {
    /// When it was issued.
    pub issued_at: DateTime<Utc>,
    /// When it ends by itself; `None`: never.
    pub expires_at: Option<DateTime<Utc>>,
}

impl TokenTimes {
    /// Whether it has not ended by itself.
    pub(super) fn last_at(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|at| at > now)
    }
}

/// Between whom a friend request is, and how far it was when it was looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FriendRequest {
    /// Who asked.
    pub from: SubjectRef,
    /// Who was asked.
    pub to: SubjectRef,
    /// When it lapses: tells it from another one between the same two.
    pub expires_at: DateTime<Utc>,
    /// How far it was.
    pub state: RequestState,
}

/// What was looked up for a command.
#[derive(Debug, Default)]
pub struct Found {
    subjects: HashMap<UserId, Option<SubjectRef>>,
    further: HashMap<UserId, Vec<SubjectRef>>,
    /// With whom the users have friendships or requests.
    pub relations: Vec<SubjectRef>,
    /// Whose the erasure is, and those that were requested with it of further subjects of the same userId; empty: there is
    /// none of that id.
    pub erasures: Vec<ErasureOwner>,
    /// Whose the request is; `None`: there is none of that id.
    pub data_request: Option<SubjectRef>,
    /// The access token; `None`: the user never had one of that id.
    pub token: Option<TokenTimes>,
    /// The friend request; `None`: there is none of that id.
    pub friend_request: Option<FriendRequest>,
}

impl Found {
    /// Keeps the subject of a userId; `None`: it was never used, or is forgotten.
    pub fn insert(&mut self, user_id: UserId, subject: Option<SubjectRef>) {
        self.subjects.insert(user_id, subject);
    }

    /// Keeps further subjects of a userId, without the one that it names.
    pub fn insert_further(&mut self, user_id: UserId, subjects: Vec<SubjectRef>) {
        self.further.insert(user_id, subjects);
    }

    /// Whether the userId was looked up.
    #[must_use]
    pub fn contains(&self, user_id: &UserId) -> bool {
        self.subjects.contains_key(user_id)
    }

    /// The subjects that were found, further ones too, each with its userId.
    pub fn subjects(&self) -> impl Iterator<Item = (&UserId, SubjectRef)> {
        let further = self.further.iter().flat_map(|(user_id, all)| all.iter().map(move |subject| (user_id, *subject)));
        self.subjects.iter().filter_map(|(user_id, subject)| Some((user_id, (*subject)?))).chain(further)
    }

    /// Who a userId is.
    ///
    /// # Errors
    /// The command does not name it.
    pub fn person(&self, user_id: &UserId) -> Result<Person, Defect> {
        let subject = *self.subjects.get(user_id).ok_or(Defect::UnnamedPerson)?;
        let further = self.further.get(user_id).cloned().unwrap_or_default();
        Ok(Person { user_id: user_id.clone(), subject, further })
    }

    /// Who userIds are, in their order.
    ///
    /// # Errors
    /// The command does not name one of them.
    pub fn people(&self, user_ids: &[UserId]) -> Result<Vec<Person>, Defect> {
        user_ids.iter().map(|user_id| self.person(user_id)).collect()
    }
}

/// A command as a caller asks for it.
pub trait Command: Debug + Send + Sync + 'static {
    /// The command as it is decided.
    type Resolved: Decide;

    /// Every userId it names.
    fn user_ids(&self) -> Vec<&UserId>;

    /// Whether a userId that was never used is known from this command on. The platform lets a back end block, ban, tag
    /// or befriend a userId it has not registered yet.
    fn introduces(&self) -> bool {
        false
    }

    /// Whether it is about all subjects of a userId, where a log has several (docs/decisions/0024-one-user-id.md), and not
    /// only about the one that the userId names.
    fn covers_every_subject(&self) -> bool {
        false
    }

    /// What else it needs to know.
    fn lookup(&self) -> Lookup {
        Lookup::Nothing
    }

    /// How many erasures it requests: they are limited per minute.
    fn erasures(&self) -> usize {
        0
    }

    /// The command as it is decided, given what was looked up for it.
    ///
    /// # Errors
    /// What it is about does not exist.
    fn resolve(&self, found: &Found) -> Result<Self::Resolved, Error>;
}

/// A command as it is decided: every person in it is resolved.
pub trait Decide: Debug + Send + Sync + 'static {
    /// What the caller is answered.
    type Reply: TypedReply;

    /// Declares the streams the decision reads: those it writes, and those that must not change meanwhile. The stream of
    /// the app is always among them.
    fn reads(&self, app: &AppId, reads: &mut Reads);

    /// How many fresh ids the decision needs at most.
    fn fresh_ids(&self) -> usize {
        0
    }

    /// Whether it is refused where there is no such app.
    fn needs_app(&self) -> bool {
        true
    }

    /// Whose userIds are free once the decision is recorded.
    fn forgets(&self) -> Vec<SubjectRef> {
        vec![]
    }

    /// Decides.
    ///
    /// # Errors
    /// Why the state of the world does not allow it.
    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<Self::Reply, Error>;
}

/// A command that names no userId is decided as it is asked for.
impl<C: Decide + Clone> Command for C {
    type Resolved = Self;

    fn user_ids(&self) -> Vec<&UserId> {
        vec![]
    }

    fn resolve(&self, _: &Found) -> Result<Self, Error> {
        Ok(self.clone())
    }
}

/// What a command answers.
pub type ReplyOf<C> = <<C as Command>::Resolved as Decide>::Reply;

/// Any [`Command`].
pub trait DynCommand: Debug + Send + Sync {
    /// Name of its type, for the log.
    fn name(&self) -> &'static str;
    /// See [`Command::user_ids`].
    fn user_ids(&self) -> Vec<&UserId>;
    /// See [`Command::introduces`].
    fn introduces(&self) -> bool;
    /// See [`Command::covers_every_subject`].
    fn covers_every_subject(&self) -> bool;
    /// See [`Command::lookup`].
    fn lookup(&self) -> Lookup;
    /// See [`Command::erasures`].
    fn erasures(&self) -> usize;
    /// See [`Command::resolve`].
    ///
    /// # Errors
    /// What it is about does not exist.
    fn resolve(&self, found: &Found) -> Result<Box<dyn DynDecide>, Error>;
}

impl<C: Command> DynCommand for C {
    fn name(&self) -> &'static str {
        std::any::type_name::<C>()
    }
    fn user_ids(&self) -> Vec<&UserId> {
        Command::user_ids(self)
    }
    fn introduces(&self) -> bool {
        Command::introduces(self)
    }
    fn covers_every_subject(&self) -> bool {
        Command::covers_every_subject(self)
    }
    fn lookup(&self) -> Lookup {
        Command::lookup(self)
    }
    fn erasures(&self) -> usize {
        Command::erasures(self)
    }
    fn resolve(&self, found: &Found) -> Result<Box<dyn DynDecide>, Error> {
        Ok(Box::new(Command::resolve(self, found)?))
    }
}

/// Any [`Decide`], its reply in the recorded form.
pub trait DynDecide: Debug + Send + Sync {
    /// Everything the decision reads.
    fn reads(&self, app: &AppId) -> Reads;
    /// See [`Decide::fresh_ids`].
    fn fresh_ids(&self) -> usize;
    /// See [`Decide::needs_app`].
    fn needs_app(&self) -> bool;
    /// See [`Decide::forgets`].
    fn forgets(&self) -> Vec<SubjectRef>;
    /// See [`Decide::decide`].
    ///
    /// # Errors
    /// Why the state of the world does not allow it.
    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<Reply, Error>;
}

impl<C: Decide> DynDecide for C {
    fn reads(&self, app: &AppId) -> Reads {
        Reads::of(app, |reads| Decide::reads(self, app, reads))
    }
    fn fresh_ids(&self) -> usize {
        Decide::fresh_ids(self)
    }
    fn needs_app(&self) -> bool {
        Decide::needs_app(self)
    }
    fn forgets(&self) -> Vec<SubjectRef> {
        Decide::forgets(self)
    }
    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<Reply, Error> {
        Decide::decide(self, work).map(TypedReply::into_reply)
    }
}
