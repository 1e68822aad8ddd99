//! The state of any aggregate, folded from the events of its stream.

use std::fmt::Debug;

use chrono::{DateTime, Utc};
use rollcall_schemas::Event;
use rollcall_schemas::stream::Stream;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// The state of one kind of aggregate.
pub trait Aggregate: Clone + Debug + Default + PartialEq + 'static {
    /// What tells one from another.
    type Id;
    /// What may happen to one.
    type Event: Into<Event>;

    /// The stream of one.
    fn stream(id: Self::Id) -> Stream;

    /// The state, if it is of this kind.
    fn of(state: &State) -> Option<&Self>;

    /// What an event, recorded at `at`, makes of the state.
    fn evolve(&mut self, event: &Self::Event, at: DateTime<Utc>);
}

/// How a state is recorded as a snapshot, and how large it is.
pub(super) trait Recorded {
    /// Version of its snapshots. Raise it whenever the state has another shape, or `evolve` makes another state of events
    /// that are recorded already: the snapshots that stand in the log are ignored then.
    const VERSION: u32;

    /// How many entries its list has, or may have; 0: it has no list.
    fn entries(&self) -> usize {
        0
    }
}

/// An event stands in the stream of another aggregate: the log is corrupt.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the event {event} stands in the stream of another aggregate ({aggregate})")]
pub struct Misplaced {
    /// Name of the event.
    pub event: &'static str,
    /// Of what the stream is.
    pub aggregate: &'static str,
}

/// A state as it is recorded, so that a stream need not be read from its beginning. It holds no personal value.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Snapshot {
    /// Version of the aggregate's snapshots.
    pub version: u32,
    /// The state, as JSON.
    pub state: Box<RawValue>,
}

macro_rules! states {
    ($($(#[$doc:meta])* $variant:ident($id:ident): $module:ident),* $(,)?) => {
        /// The state of any aggregate.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum State {
            $(
                #[doc = concat!("Of the aggregate `", stringify!($module), "`.")]
                $variant(super::$module::State),
            )*
        }

        /// Makes sure that an event is of the aggregate whose stream it stands in.
        ///
        /// # Errors
        /// It is not.
        pub fn belongs(event: &Event, stream: &Stream) -> Result<(), Misplaced> {
            let (belongs, aggregate) = match stream {
                $(Stream::$variant(_) => (matches!(event, Event::$variant(_)), stringify!($module)),)*
            };
            if belongs { Ok(()) } else { Err(Misplaced { event: event.declaration().name, aggregate }) }
        }

        impl State {
            /// The state of a stream without events.
            #[must_use]
            pub fn of(stream: &Stream) -> Self {
                match stream { $(Stream::$variant(_) => Self::$variant(super::$module::State::default()),)* }
            }

            /// What an event, recorded at `at`, makes of the state.
            ///
            /// # Errors
            /// The event is of another aggregate; the state is as it was.
            pub fn evolve(&mut self, event: &Event, at: DateTime<Utc>) -> Result<(), Misplaced> {
                match self {
                    $(Self::$variant(state) => {
                        let Event::$variant(event) = event else {
                            return Err(Misplaced { event: event.declaration().name, aggregate: stringify!($module) });
                        };
                        state.evolve(event, at);
                    })*
                }
                Ok(())
            }

            /// The state as it is recorded.
            ///
            /// # Errors
            /// It has no JSON form.
            pub fn snapshot(&self) -> serde_json::Result<Snapshot> {
                let (version, state) = match self {
                    $(Self::$variant(state) => (<super::$module::State as Recorded>::VERSION, serde_json::value::to_raw_value(state)?),)*
                };
                Ok(Snapshot { version, state })
            }

            /// The state that was recorded of a stream; `None`: by a version that makes other states of the same events.
            #[must_use]
            pub fn restore(stream: &Stream, snapshot: &Snapshot) -> Option<Self> {
                match stream {
                    $(Stream::$variant(_) => {
                        let is_current = snapshot.version == <super::$module::State as Recorded>::VERSION;
                        is_current.then(|| serde_json::from_slice(snapshot.state.get().as_bytes()).ok())?.map(Self::$variant)
                    })*
                }
            }

            /// How many entries its list has, or may have; 0: it has no list.
            #[must_use]
            pub fn entries(&self) -> usize {
                match self { $(Self::$variant(state) => state.entries(),)* }
            }

            /// About how many bytes it takes in memory.
            #[must_use]
            pub fn weight(&self) -> usize {
                const ENTRY: usize = 24;
                size_of::<Self>() + self.entries() * ENTRY
            }
        }

        $(
            impl Aggregate for super::$module::State {
                type Id = rollcall_schemas::ids::$id;
                type Event = rollcall_schemas::$module::Event;

                fn stream(id: Self::Id) -> Stream {
                    Stream::$variant(id)
                }

                fn of(state: &State) -> Option<&Self> {
                    if let State::$variant(state) = state { Some(state) } else { None }
                }

                fn evolve(&mut self, event: &Self::Event, at: DateTime<Utc>) {
                    super::$module::evolve(self, event, at);
                }
            }
        )*
    };
}

rollcall_schemas::aggregates!(states);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rollcall_schemas::ban::Lifted;
    use rollcall_schemas::ids::SubjectRef;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_event_in_the_stream_of_another_aggregate_is_an_error_and_changes_nothing() {
        let subject = SubjectRef(Uuid::from_u128(7));
        let lifted: rollcall_schemas::ban::Event = Lifted { subject }.into();
        let mut state = State::of(&Stream::User(subject));
        let refused = state.evolve(&lifted.clone().into(), DateTime::UNIX_EPOCH);
        assert_eq!(refused, Err(Misplaced { event: "ban.lifted", aggregate: "user" }));
        assert_eq!(state, State::of(&Stream::User(subject)));
        assert_eq!(belongs(&lifted.clone().into(), &Stream::User(subject)), refused);
        assert_eq!(belongs(&lifted.clone().into(), &Stream::Ban(subject)), Ok(()));
        State::of(&Stream::Ban(subject)).evolve(&lifted.into(), DateTime::UNIX_EPOCH).unwrap();
    }
}
