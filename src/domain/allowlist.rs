//! Whom one user allows, and whether that list is in force.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use rollcall_schemas::allowlist::{Allowed, Disabled, Disallowed, Emptied, Enabled, Event};
use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::stream::Stream;
use serde::{Deserialize, Serialize};

use super::command::{Command, Decide, Found, Person};
use super::state::Recorded;
use super::values::UserId;
use super::{Error, LIST_MAX, ListKind, Reads, Refusal, UnitOfWork, targets};

/// Who is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Them.
    pub allowed: HashSet<SubjectRef>,
    /// Whether the list is in force.
    pub enabled: bool,
}

/// Allows others; those who are allowed already stay as they are.
///
/// # Errors
/// The list would grow past its cap.
pub fn allow(state: &State, subject: SubjectRef, targets: &[SubjectRef]) -> Result<Vec<Event>, Refusal> {
    let targets = targets::newly(&state.allowed, targets);
    if state.allowed.len() + targets.len() > LIST_MAX {
        return Err(Refusal::ListFull(ListKind::Allowlist));
    }
    Ok(if targets.is_empty() { vec![] } else { vec![Allowed { subject, targets }.into()] })
}

/// Allows others no longer; those who were not allowed do not matter.
#[must_use]
pub fn disallow(state: &State, subject: SubjectRef, targets: &[SubjectRef]) -> Vec<Event> {
    let targets: Vec<_> = targets.iter().copied().filter(|target| state.allowed.contains(target)).collect();
    if targets.is_empty() { vec![] } else { vec![Disallowed { subject, targets }.into()] }
}

/// Puts the list in force, or out of it.
#[must_use]
pub fn set(state: &State, subject: SubjectRef, enabled: bool) -> Vec<Event> {
    match (state.enabled, enabled) {
        (false, true) => vec![Enabled { subject }.into()],
        (true, false) => vec![Disabled { subject }.into()],
        (true, true) | (false, false) => vec![],
    }
}

/// Allows nobody any more.
#[must_use]
pub fn empty(state: &State, subject: SubjectRef) -> Vec<Event> {
    if state.allowed.is_empty() && !state.enabled { vec![] } else { vec![Emptied { subject }.into()] }
}

impl Recorded for State {
    const VERSION: u32 = 1;

    fn entries(&self) -> usize {
        self.allowed.len()
    }
}

/// What an event makes of the state.
pub fn evolve(state: &mut State, event: &Event, _: DateTime<Utc>) {
    match event {
        Event::Allowed(e) => state.allowed.extend(&e.targets),
        Event::Disallowed(e) => state.allowed.retain(|allowed| !e.targets.contains(allowed)),
        Event::Emptied(_) => *state = State::default(),
        Event::Enabled(_) => state.enabled = true,
        Event::Disabled(_) => state.enabled = false,
    }
}

/// Allow others; for an owner on its own list nothing changes.
#[derive(Debug, Clone)]
pub struct Allow<P = UserId> {
    /// Whose list.
    pub owner: P,
    /// Whom.
    pub targets: Vec<P>,
}

impl Command for Allow {
    type Resolved = Allow<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        std::iter::once(&self.owner).chain(&self.targets).collect()
    }

    fn introduces(&self) -> bool {
        targets::names_others(&self.owner, &self.targets)
    }

    fn resolve(&self, found: &Found) -> Result<Allow<Person>, Error> {
        Ok(Allow { owner: found.person(&self.owner)?, targets: found.people(&self.targets)? })
    }
}

impl Decide for Allow<Person> {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        reads.person(&self.owner, &[Stream::User, Stream::Allowlist]);
        self.targets.iter().for_each(|target| reads.person(target, &[Stream::User]));
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        let Some((owner, targets)) = targets::mentioned(work, &self.owner, &self.targets)? else { return Ok(()) };
        let allowed = allow(work.state(owner)?, owner, &targets)?;
        Ok(work.record::<State>(owner, allowed)?)
    }
}

/// Allow others no longer.
#[derive(Debug, Clone)]
pub struct Disallow<P = UserId> {
    /// Whose list.
    pub owner: P,
    /// Whom.
    pub targets: Vec<P>,
}

impl Command for Disallow {
    type Resolved = Disallow<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        std::iter::once(&self.owner).chain(&self.targets).collect()
    }

    fn resolve(&self, found: &Found) -> Result<Disallow<Person>, Error> {
        Ok(Disallow { owner: found.person(&self.owner)?, targets: found.people(&self.targets)? })
    }
}

impl Decide for Disallow<Person> {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        reads.person(&self.owner, &[Stream::User, Stream::Allowlist]);
        self.targets.iter().for_each(|target| reads.person(target, &[Stream::User]));
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        let Some(owner) = self.owner.subject else { return Ok(()) };
        let disallowed = disallow(work.state(owner)?, owner, &targets::known(&self.targets));
        Ok(work.record::<State>(owner, disallowed)?)
    }
}

/// Put the allowlists of users in force, or out of it.
#[derive(Debug, Clone)]
pub struct SetAllowlist<P = UserId> {
    /// Whose lists.
    pub who: Vec<P>,
    /// Whether they are in force.
    pub enabled: bool,
}

impl Command for SetAllowlist {
    type Resolved = SetAllowlist<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        self.who.iter().collect()
    }

    fn introduces(&self) -> bool {
        self.enabled
    }

    fn resolve(&self, found: &Found) -> Result<SetAllowlist<Person>, Error> {
        Ok(SetAllowlist { who: found.people(&self.who)?, enabled: self.enabled })
    }
}

impl Decide for SetAllowlist<Person> {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        self.who.iter().for_each(|person| reads.person(person, &[Stream::User, Stream::Allowlist]));
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        // The list of somebody who was never named is out of force already.
        for person in self.who.iter().filter(|person| self.enabled || person.subject.is_some()) {
            let subject = work.unfenced(person)?;
            let changed = set(work.state(subject)?, subject, self.enabled);
            work.record::<State>(subject, changed)?;
        }
        Ok(())
    }
}
