//! Whom one user blocks.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use rollcall_schemas::blocklist::{Blocked, Emptied, Event, Unblocked};
use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::stream::Stream;
use serde::{Deserialize, Serialize};

use super::command::{Command, Decide, Found, Person};
use super::state::Recorded;
use super::values::UserId;
use super::{Error, LIST_MAX, ListKind, Reads, Refusal, UnitOfWork, friendship, targets};

/// Who is blocked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Them.
    pub blocked: HashSet<SubjectRef>,
}

/// Blocks others; those who are blocked already stay as they are.
///
/// # Errors
/// The list would grow past its cap.
pub fn block(state: &State, subject: SubjectRef, targets: &[SubjectRef]) -> Result<Vec<Event>, Refusal> {
    let targets = targets::newly(&state.blocked, targets);
    if state.blocked.len() + targets.len() > LIST_MAX {
        return Err(Refusal::ListFull(ListKind::Blocklist));
    }
    Ok(if targets.is_empty() { vec![] } else { vec![Blocked { subject, targets }.into()] })
}

/// Blocks others no longer; those who were not blocked do not matter.
#[must_use]
pub fn unblock(state: &State, subject: SubjectRef, targets: &[SubjectRef]) -> Vec<Event> {
    let targets: Vec<_> = targets.iter().copied().filter(|target| state.blocked.contains(target)).collect();
    if targets.is_empty() { vec![] } else { vec![Unblocked { subject, targets }.into()] }
}

/// Blocks nobody any more.
#[must_use]
pub fn empty(state: &State, subject: SubjectRef) -> Vec<Event> {
    if state.blocked.is_empty() { vec![] } else { vec![Emptied { subject }.into()] }
}

impl Recorded for State {
    const VERSION: u32 = 1;

    fn entries(&self) -> usize {
        self.blocked.len()
    }
}

/// What an event makes of the state.
pub fn evolve(state: &mut State, event: &Event, _: DateTime<Utc>) {
    match event {
        Event::Blocked(e) => state.blocked.extend(&e.targets),
        Event::Unblocked(e) => state.blocked.retain(|blocked| !e.targets.contains(blocked)),
        Event::Emptied(_) => state.blocked.clear(),
    }
}

/// Block others; for an owner on its own list nothing changes. A friend request between the owner and one of them ends.
#[derive(Debug, Clone)]
pub struct Block<P = UserId> {
    /// Whose list.
    pub owner: P,
    /// Whom.
    pub targets: Vec<P>,
}

impl Command for Block {
    type Resolved = Block<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        std::iter::once(&self.owner).chain(&self.targets).collect()
    }

    fn introduces(&self) -> bool {
        targets::names_others(&self.owner, &self.targets)
    }

    fn resolve(&self, found: &Found) -> Result<Block<Person>, Error> {
        Ok(Block { owner: found.person(&self.owner)?, targets: found.people(&self.targets)? })
    }
}

impl Decide for Block<Person> {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        reads.person(&self.owner, &[Stream::User, Stream::Blocklist]);
        self.targets.iter().for_each(|target| reads.person(target, &[Stream::User]));
        if let Some(owner) = self.owner.subject {
            friendship::read_pairs(reads, owner, targets::known(&self.targets));
        }
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        let Some((owner, targets)) = targets::mentioned(work, &self.owner, &self.targets)? else { return Ok(()) };
        let blocked = block(work.state(owner)?, owner, &targets)?;
        work.record::<State>(owner, blocked)?;
        friendship::turn_all_away(work, owner, &targets)
    }
}

/// Block others no longer.
#[derive(Debug, Clone)]
pub struct Unblock<P = UserId> {
    /// Whose list.
    pub owner: P,
    /// Whom.
    pub targets: Vec<P>,
}

impl Command for Unblock {
    type Resolved = Unblock<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        std::iter::once(&self.owner).chain(&self.targets).collect()
    }

    fn resolve(&self, found: &Found) -> Result<Unblock<Person>, Error> {
        Ok(Unblock { owner: found.person(&self.owner)?, targets: found.people(&self.targets)? })
    }
}

impl Decide for Unblock<Person> {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        reads.person(&self.owner, &[Stream::User, Stream::Blocklist]);
        self.targets.iter().for_each(|target| reads.person(target, &[Stream::User]));
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        let Some(owner) = self.owner.subject else { return Ok(()) };
        let unblocked = unblock(work.state(owner)?, owner, &targets::known(&self.targets));
        Ok(work.record::<State>(owner, unblocked)?)
    }
}
