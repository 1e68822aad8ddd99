//! The connections of this node, in memory. Every lock is held for a few look-ups.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rollcall_schemas::ids::SubjectRef;

use super::{Change, Connection, ConnectionId};

/// Most changes that wait to be told; further ones are not pushed. Whoever asks is told the truth all the same.
pub(super) const CHANGES_MAX: usize = 100_000;

#[derive(Default)]
struct State {
    connections: HashMap<ConnectionId, Connection>,
    of_subject: HashMap<SubjectRef, Vec<ConnectionId>>,
    changes: HashSet<Change>,
}

/// The connections of this node.
#[derive(Default)]
pub(super) struct Local(Mutex<State>);

impl Local {
    fn state(&self) -> MutexGuard<'_, State> {
        // No statement below panics between two changes that belong together.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection; `false`: it was there.
    pub(super) fn announce(&self, connection: Connection) -> bool {
        let mut state = self.state();
        if state.connections.contains_key(&connection.id) {
            return false;
        }
        state.connections.insert(connection.id, connection);
        state.of_subject.entry(connection.subject).or_default().push(connection.id);
        state.note(Change { subject: connection.subject, to: None });
        true
    }

    /// Removes a connection; `None`: it was not there.
    pub(super) fn gone(&self, id: ConnectionId) -> Option<Connection> {
        let mut state = self.state();
        let connection = state.connections.remove(&id)?;
        if let Some(ids) = state.of_subject.get_mut(&connection.subject) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                state.of_subject.remove(&connection.subject);
            }
        }
        state.note(Change { subject: connection.subject, to: None });
        Some(connection)
    }

    pub(super) fn get(&self, id: ConnectionId) -> Option<Connection> {
        self.state().connections.get(&id).copied()
    }

    pub(super) fn all(&self) -> Vec<Connection> {
        self.state().connections.values().copied().collect()
    }

    /// The connections of each subject.
    pub(super) fn connections(&self, subjects: &[SubjectRef]) -> Vec<Vec<Connection>> {
        let state = self.state();
        let of = |subject: &SubjectRef| {
            let ids = state.of_subject.get(subject).into_iter().flatten();
            ids.filter_map(|id| state.connections.get(id)).copied().collect()
        };
        subjects.iter().map(of).collect()
    }

    pub(super) fn has(&self, subjects: &[SubjectRef]) -> Vec<SubjectRef> {
        let state = self.state();
        subjects.iter().filter(|subject| state.of_subject.contains_key(subject)).copied().collect()
    }

    pub(super) fn note(&self, change: Change) {
        self.state().note(change);
    }

    pub(super) fn take_changes(&self) -> HashSet<Change> {
        std::mem::take(&mut self.state().changes)
    }
}

impl State {
    fn note(&mut self, change: Change) {
        if self.changes.len() < CHANGES_MAX {
            self.changes.insert(change);
        }
    }
}
