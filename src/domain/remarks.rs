//! The remarks one user keeps about others.

use std::collections::HashSet;

use rollcall_schemas::ids::SubjectRef;
use rollcall_schemas::personal::Personal;
use rollcall_schemas::remarks::{Emptied, Event, Remarked, Unremarked};

use super::values::Remark;
use super::{LIST_MAX, ListKind, Refusal};

/// About whom there is a remark.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
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
pub fn remark(state: &State, owner: SubjectRef, remarks: &[(SubjectRef, Remark)]) -> Result<Vec<Event>, Refusal> {
    let new: HashSet<_> = remarks.iter().map(|(target, _)| target).filter(|t| !state.targets.contains(t)).collect();
    if state.targets.len() + new.len() > LIST_MAX {
        return Err(Refusal::ListFull(ListKind::Remarks));
    }
    let remarked = |(target, remark): &(SubjectRef, Remark)| {
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

/// What an event makes of the state.
pub fn evolve(state: &mut State, event: &Event) {
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
