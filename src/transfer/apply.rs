//! Does what a record asks for.

use std::time::Duration;

use uuid::Uuid;

use super::OnConflict;
use super::record::Record;
use crate::domain::allowlist::{Allow, SetAllowlist};
use crate::domain::ban::{Ban, Length, Over};
use crate::domain::blocklist::Block;
use crate::domain::friend_groups::{GroupFriend, LabelGroup};
use crate::domain::friendship::{Befriend, Describe};
use crate::domain::user::{Import, ImportMute, Imported, MuteEnd};
use crate::domain::values::{GroupNumber, Label, ProfileChanges, Remark, UserId};
use crate::domain::{Command, DynCommand, Refusal, Reply, ReplyOf};
use crate::engine::{Caller, Done, Engine, Error, IdempotencyKey, typed};

/// How often what cannot be taken at the moment is tried, and how long is waited between.
const ATTEMPTS_MAX: u32 = 40;
const PAUSE: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(3);

/// Why a record is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It cannot be read as one.
    NoRecord,
    /// Its members are not what they should be.
    Invalid,
    /// What it is about is there already.
    Exists,
    /// It must not be taken over from where it comes.
    Elsewhere,
    /// A rule of the service stands against it.
    Rule(Refusal),
}

/// What a record came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// It was there already, and is left as it is.
    Skipped,
    Refused(Why, String),
}

/// The commands of one record.
pub(super) struct Applying<'a> {
    pub(super) engine: &'a Engine,
    pub(super) caller: &'a Caller,
    pub(super) on_conflict: OnConflict,
    /// The import, and the record's number in it: they make a command that is repeated one and the same.
    pub(super) key: (Uuid, u64),
    /// What the record says: another one is refused under the same key.
    pub(super) content: Vec<u8>,
}

impl Applying<'_> {
    /// Does it. When this returns, it is durable.
    ///
    /// # Errors
    /// The service cannot take it, again and again.
    pub(super) async fn apply(&self, record: Record) -> Result<Outcome, Error> {
        let applied = match record {
            Record::User { who, name, portrait, profile } => {
                let updates = self.on_conflict == OnConflict::Update;
                let import = Import { who, name, portrait, profile, updates };
                self.execute("user", import).await.map(|imported| match imported {
                    Imported::New | Imported::Updated => Outcome::Done,
                    Imported::Known => self.conflict("the user is registered already"),
                })
            }
            Record::Friend { who, friend, remark } => self.befriend(who, friend, remark).await,
            Record::Group { who, group, label, friend } => self.group((who, group), label, friend).await,
            Record::Allow { who, target } => {
                self.execute("allow", Allow { owner: who, targets: vec![target] }).await.map(|()| Outcome::Done)
            }
            Record::Allowlist { who, enabled } => {
                self.execute("allowlist", SetAllowlist { who: vec![who], enabled }).await.map(|()| Outcome::Done)
            }
            Record::Block { who, target } => {
                self.execute("block", Block { owner: who, targets: vec![target] }).await.map(|()| Outcome::Done)
            }
            Record::Ban { who, term, reason, note } => {
                self.ban(Ban {
                    who: vec![who],
                    term,
                    reason,
                    note,
                    over: if self.on_conflict == OnConflict::Update { Over::Any } else { Over::Nothing },
                })
                .await
            }
            Record::Mute { who, end } => self.mute(who, end).await,
        };
        match applied {
            Ok(outcome) => Ok(outcome),
            Err(Error::Refused(refusal)) => {
                let problem = refusal.to_string();
                Ok(Outcome::Refused(Why::Rule(refusal), problem))
            }
            Err(error) => Err(error),
        }
    }

    /// What becomes of a record about something that is there, unless it is changed.
    fn conflict(&self, problem: &str) -> Outcome {
        match self.on_conflict {
            OnConflict::Skip | OnConflict::Update => Outcome::Skipped,
            OnConflict::Fail => Outcome::Refused(Why::Exists, problem.into()),
        }
    }

    async fn befriend(&self, who: UserId, friend: UserId, remark: Option<Remark>) -> Result<Outcome, Error> {
        let befriend = Befriend { who: who.clone(), target: friend.clone(), direct: true, text: None };
        let outcome = match self.execute("friend", befriend).await {
            Ok(_) => Outcome::Done,
            Err(Error::Refused(Refusal::AlreadyFriends)) => self.conflict("the two users are friends already"),
            Err(error) => return Err(error),
        };
        let describes = outcome == Outcome::Done || self.on_conflict == OnConflict::Update;
        let Some(remark) = remark.filter(|_| describes) else { return Ok(outcome) };
        let describe =
            Describe { owner: who, about: friend, remark: Some(Some(remark)), changes: ProfileChanges::new() };
        self.execute("remark", describe).await.map(|()| Outcome::Done)
    }

    /// Makes the group where it is missing, then puts the friend into it. Records about one group may come in any order.
    async fn group(
        &self,
        (owner, group): (UserId, GroupNumber),
        label: Option<Label>,
        friend: Option<UserId>,
    ) -> Result<Outcome, Error> {
        let mut outcome = Outcome::Done;
        if let Some(label) = label {
            let relabels = self.on_conflict == OnConflict::Update;
            match self.execute("label", LabelGroup { owner: owner.clone(), group, label, relabels }).await {
                Ok(()) => {}
                Err(Error::Refused(Refusal::FriendGroupExists)) => {
                    outcome = self.conflict("the user has a friend group of that number already");
                }
                Err(error) => return Err(error),
            }
        }
        let Some(friend) = friend else { return Ok(outcome) };
        self.execute("group", GroupFriend { owner, group, friend, is_in: true }).await.map(|()| Outcome::Done)
    }

    /// Whether a ban stands already is decided with the command, which knows whether it was this record that imposed it.
    async fn ban(&self, ban: Ban) -> Result<Outcome, Error> {
        if matches!(ban.term.length, Length::Until(end) if end <= self.engine.now()) {
            return Ok(Outcome::Skipped);
        }
        match self.execute("ban", ban).await {
            Ok(()) => Ok(Outcome::Done),
            Err(Error::Refused(Refusal::AlreadyBanned)) => Ok(self.conflict("the user is banned already")),
            Err(error) => Err(error),
        }
    }

    /// As with bans.
    async fn mute(&self, who: UserId, end: MuteEnd) -> Result<Outcome, Error> {
        if matches!(end, MuteEnd::At(end) if end <= self.engine.now()) {
            return Ok(Outcome::Skipped);
        }
        let updates = self.on_conflict == OnConflict::Update;
        match self.execute("mute", ImportMute { who, end, updates }).await {
            Ok(()) => Ok(Outcome::Done),
            Err(Error::Refused(Refusal::AlreadyMuted)) => Ok(self.conflict("the user is muted already")),
            Err(error) => Err(error),
        }
    }

    /// Executes a part of the record. What was done before under its key is not done again.
    async fn execute<C: Command>(&self, part: &str, command: C) -> Result<ReplyOf<C>, Error> {
        let (import, number) = self.key;
        let key = format!("import {import} {number} {part}");
        let idempotency = Some(IdempotencyKey { key, content: self.content.clone() });
        let caller = Caller { idempotency, ..self.caller.clone() };
        let done = execute_patiently(self.engine, &caller, &command).await?;
        typed(&command, done).map(|done| done.reply)
    }
}

/// Executes a command that has an idempotency key, again while the service is only busy.
///
/// # Errors
/// The command is refused, or the service cannot take it, again and again.
pub(super) async fn execute_patiently(
    engine: &Engine,
    caller: &Caller,
    command: &dyn DynCommand,
) -> Result<Done<Reply>, Error> {
    let mut pause = PAUSE;
    for _ in 1..ATTEMPTS_MAX {
        match engine.execute_any(caller, command).await {
            Ok(done) => return Ok(done),
            Err(Error::Busy | Error::Behind | Error::KeyInUse | Error::Unavailable(_) | Error::Ambiguous(_)) => {
                tokio::time::sleep(pause).await
            }
            Err(error) => return Err(error),
        }
        pause = (pause * 2).min(PAUSE_MAX);
    }
    engine.execute_any(caller, command).await
}
