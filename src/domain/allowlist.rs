//! Whom one user allows, and whether that list is in force.

use std::collections::HashSet;

use rollcall_schemas::allowlist::{Allowed, Disabled, Disallowed, Emptied, Enabled, Event};
use rollcall_schemas::ids::SubjectRef;

use super::{LIST_MAX, ListKind, Refusal, newly};

/// Who is allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// Them.
    pub allowed: HashSet<SubjectRef>,
    /// Whether the list is in force.
    pub enabled: bool,
}

/// Allows others; those who are allowed already stay as they are.
///
/// # Errors
/// The list would grow past its cap, or the user would allow itself.
pub fn allow(state: &State, subject: SubjectRef, targets: &[SubjectRef]) -> Result<Vec<Event>, Refusal> {
    let targets = newly(&state.allowed, subject, targets)?;
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

/// What an event makes of the state.
pub fn evolve(state: &mut State, event: &Event) {
    match event {
        Event::Allowed(e) => state.allowed.extend(&e.targets),
        Event::Disallowed(e) => state.allowed.retain(|allowed| !e.targets.contains(allowed)),
        Event::Emptied(_) => *state = State::default(),
        Event::Enabled(_) => state.enabled = true,
        Event::Disabled(_) => state.enabled = false,
    }
}
