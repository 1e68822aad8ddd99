//! The remarks one user keeps about others.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use rollcall_schemas::ids::{AppId, SubjectRef};
use rollcall_schemas::personal::Personal;
use rollcall_schemas::remarks::{Emptied, Event, Remarked, Unremarked};
use rollcall_schemas::stream::Stream;
use serde::{Deserialize, Serialize};

use super::command::{Command, Decide, Found, Person};
use super::state::Recorded;
use super::values::{Remark as Text, UserId};
use super::{Error, LIST_MAX, ListKind, Reads, Refusal, UnitOfWork};

/// About whom there is a remark.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    targets: HashSet<SubjectRef>,
}

impl State {
    /// How many remarks there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.targets.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }
}

/// Sets remarks; one that exists is replaced.
///
/// # Errors
/// There would be more remarks than the cap.
pub fn remark(state: &State, owner: SubjectRef, remarks: &[(SubjectRef, Text)]) -> Result<Vec<Event>, Refusal> {
    let new: HashSet<_> = remarks.iter().map(|(target, _)| target).filter(|t| !state.targets.contains(t)).collect();
    if state.targets.len() + new.len() > LIST_MAX {
        return Err(Refusal::ListFull(ListKind::Remarks));
    }
    let remarked = |(target, remark): &(SubjectRef, Text)| {
        Remarked { owner, target: *target, remark: Personal::Present(remark.as_str().to_owned()) }.into()
    };
    Ok(remarks.iter().map(remarked).collect())
}

/// Takes a remark away, where there is one.
#[must_use]
pub fn unremark(state: &State, owner: SubjectRef, target: SubjectRef) -> Vec<Event> {
    if state.targets.contains(&target) { vec![Unremarked { owner, target }.into()] } else { vec![] }
}

/// Takes all remarks away.
#[must_use]
pub fn empty(state: &State, owner: SubjectRef) -> Vec<Event> {
    if state.targets.is_empty() { vec![] } else { vec![Emptied { owner }.into()] }
}

impl Recorded for State {
    const VERSION: u32 = 1;

    fn entries(&self) -> usize {
        self.len()
    }
}

/// What an event makes of the state.
pub fn evolve(state: &mut State, event: &Event, _: DateTime<Utc>) {
    match event {
        Event::Remarked(e) => {
            state.targets.insert(e.target);
        }
        Event::Unremarked(e) => {
            state.targets.remove(&e.target);
        }
        Event::Emptied(_) => state.targets.clear(),
    }
}

/// Set remarks about others.
#[derive(Debug, Clone)]
pub struct Remark<P = UserId> {
    /// Whose remarks.
    pub owner: P,
    /// About whom, and what.
    pub remarks: Vec<(P, Text)>,
}

impl Command for Remark {
    type Resolved = Remark<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        std::iter::once(&self.owner).chain(self.remarks.iter().map(|(about, _)| about)).collect()
    }

    fn introduces(&self) -> bool {
        true
    }

    fn resolve(&self, found: &Found) -> Result<Remark<Person>, Error> {
        let remarks = self.remarks.iter().map(|(about, text)| Ok((found.person(about)?, text.clone())));
        Ok(Remark { owner: found.person(&self.owner)?, remarks: remarks.collect::<Result<_, Error>>()? })
    }
}

impl Decide for Remark<Person> {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        reads.person(&self.owner, &[Stream::User, Stream::Remarks]);
        self.remarks.iter().for_each(|(about, _)| reads.person(about, &[Stream::User]));
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        let owner = work.unfenced(&self.owner)?;
        let remarks = self.remarks.iter().map(|(about, text)| Ok((work.unfenced(about)?, text.clone())));
        let remarks = remarks.collect::<Result<Vec<_>, Error>>()?;
        let remarked = remark(work.state(owner)?, owner, &remarks)?;
        Ok(work.record::<State>(owner, remarked)?)
    }
}

/// Take a remark away.
#[derive(Debug, Clone)]
pub struct Unremark<P = UserId> {
    /// Whose remark.
    pub owner: P,
    /// About whom.
    pub target: P,
}

impl Command for Unremark {
    type Resolved = Unremark<Person>;

    fn user_ids(&self) -> Vec<&UserId> {
        vec![&self.owner, &self.target]
    }

    fn resolve(&self, found: &Found) -> Result<Unremark<Person>, Error> {
        Ok(Unremark { owner: found.person(&self.owner)?, target: found.person(&self.target)? })
    }
}

impl Decide for Unremark<Person> {
    type Reply = ();

    fn reads(&self, _: &AppId, reads: &mut Reads) {
        reads.person(&self.owner, &[Stream::User, Stream::Remarks]);
    }

    fn decide(&self, work: &mut UnitOfWork<'_>) -> Result<(), Error> {
        let (Some(owner), Some(target)) = (self.owner.subject, self.target.subject) else { return Ok(()) };
        let unremarked = unremark(work.state(owner)?, owner, target);
        Ok(work.record::<State>(owner, unremarked)?)
    }
}
