//! One erasure: its steps in order, each recorded once.

use rollcall_schemas::erasure::{Event, Finished, RelationsEnded, Requested, Scrubbed};
use rollcall_schemas::ids::{ErasureId, OperationId, SubjectRef};
use rollcall_schemas::personal::Class;
use rollcall_schemas::plain::Scope;

/// How far an erasure has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// There is none.
    #[default]
    Unknown,
    /// The subject is fenced.
    Requested,
    /// Friendships and requests have ended.
    RelationsEnded,
    /// The keys are destroyed.
    Scrubbed,
    /// Done.
    Finished,
}

/// A step of an erasure.
#[derive(Debug, Clone)]
pub enum Step {
    /// Some friendships and requests end; there are more.
    EndSomeRelations,
    /// The last friendships and requests end; so many did in all.
    EndRelations(u32),
    /// The keys are destroyed.
    Scrub {
        /// Classes whose keys are destroyed.
        classes: Vec<Class>,
        /// How many keys.
        keys_destroyed: u32,
        /// Generation of the root before.
        generation_before: u64,
        /// Generation of the root after.
        generation_after: u64,
        /// How many events had ciphertexts detached.
        events_detached: u32,
    },
    /// All is done.
    Finish,
}

/// Begins an erasure.
#[must_use]
pub fn request(erasure: ErasureId, subject: SubjectRef, scope: Scope, operation: OperationId) -> Event {
    Requested { erasure, subject, scope, operation }.into()
}

/// Records a step; a step that is behind the erasure, or skips one, changes nothing.
#[must_use]
pub fn advance(state: State, erasure: ErasureId, subject: SubjectRef, step: Step) -> Vec<Event> {
    match (state, step) {
        (State::Requested, Step::EndRelations(friendships)) => {
            vec![RelationsEnded { erasure, subject, friendships }.into()]
        }
        (
            State::RelationsEnded,
            Step::Scrub { classes, keys_destroyed, generation_before, generation_after, events_detached },
        ) => vec![
            Scrubbed {
                erasure,
                subject,
                classes,
                keys_destroyed,
                generation_before,
                generation_after,
                events_detached,
            }
            .into(),
        ],
        (State::Scrubbed, Step::Finish) => vec![Finished { erasure, subject }.into()],
        (State::Unknown | State::Requested | State::RelationsEnded | State::Scrubbed | State::Finished, _) => vec![],
    }
}

/// What an event makes of the state.
pub fn evolve(state: &mut State, event: &Event) {
    *state = match event {
        Event::Requested(_) => State::Requested,
        Event::RelationsEnded(_) => State::RelationsEnded,
        Event::Scrubbed(_) => State::Scrubbed,
        Event::Finished(_) => State::Finished,
    };
}
