//! Whom one user blocks.

use std::collections::HashSet;

use rollcall_schemas::blocklist::{Blocked, Emptied, Event, Unblocked};
use rollcall_schemas::ids::SubjectRef;

use super::{LIST_MAX, ListKind, Refusal, newly};

/// Who is blocked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Them.
    pub blocked: HashSet<SubjectRef>,
}

/// Blocks others; those who are blocked already stay as they are.
///
/// # Errors
/// The list would grow past its cap, or the user would block itself.
pub fn block(state: &State, subject: SubjectRef, targets: &[SubjectRef]) -> Result<Vec<Event>, Refusal> {
    let targets = newly(&state.blocked, subject, targets)?;
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

/// What an event makes of the state.
pub fn evolve(state: &mut State, event: &Event) {
    match event {
        Event::Blocked(e) => state.blocked.extend(&e.targets),
        Event::Unblocked(e) => state.blocked.retain(|blocked| !e.targets.contains(blocked)),
        Event::Emptied(_) => state.blocked.clear(),
    }
}
