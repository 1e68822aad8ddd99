//! The state of any aggregate, folded from the events of its stream.

use std::fmt::Debug;

use chrono::{DateTime, Utc};
use rollcall_schemas::Event;
use rollcall_schemas::ids::{AppId, DataRequestId, ErasureId, Pair, SubjectRef};
use rollcall_schemas::stream::Stream;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{access, allowlist, app, ban, blocklist, data_request, erasure, friendship, remarks, roster, token, user};

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
    ($($variant:ident($id:ty): $module:ident, snapshot $version:literal;)*) => {
        /// The state of any aggregate.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum State {
            $(
                #[doc = concat!("Of the aggregate `", stringify!($module), "`.")]
                $variant($module::State),
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
                match stream { $(Stream::$variant(_) => Self::$variant($module::State::default()),)* }
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
                    $(Self::$variant(state) => ($version, serde_json::value::to_raw_value(state)?),)*
                };
                Ok(Snapshot { version, state })
            }

            /// The state that was recorded of a stream; `None`: by a version that makes other states of the same events.
            #[must_use]
            pub fn restore(stream: &Stream, snapshot: &Snapshot) -> Option<Self> {
                match stream {
                    $(Stream::$variant(_) => {
                        let is_current = snapshot.version == $version;
                        is_current.then(|| serde_json::from_str(snapshot.state.get()).ok())?.map(Self::$variant)
                    })*
                }
            }
        }

        $(
            impl Aggregate for $module::State {
                type Id = $id;
                type Event = rollcall_schemas::$module::Event;

                fn stream(id: Self::Id) -> Stream {
                    Stream::$variant(id)
                }

                fn of(state: &State) -> Option<&Self> {
                    if let State::$variant(state) = state { Some(state) } else { None }
                }

                fn evolve(&mut self, event: &Self::Event, at: DateTime<Utc>) {
                    $module::evolve(self, event, at);
                }
            }
        )*
    };
}

// Raise the version of an aggregate's snapshots whenever its state has another shape, or its `evolve` makes another state
// of events that are recorded already: those that stand in the log are ignored then.
states! {
    App(AppId): app, snapshot 1;
    Roster(AppId): roster, snapshot 1;
    User(SubjectRef): user, snapshot 1;
    Token(SubjectRef): token, snapshot 1;
    Ban(SubjectRef): ban, snapshot 1;
    Blocklist(SubjectRef): blocklist, snapshot 1;
    Allowlist(SubjectRef): allowlist, snapshot 1;
    Friendship(Pair): friendship, snapshot 1;
    Remarks(SubjectRef): remarks, snapshot 1;
    Erasure(ErasureId): erasure, snapshot 1;
    Access(SubjectRef): access, snapshot 1;
    DataRequest(DataRequestId): data_request, snapshot 1;
}

impl State {
    /// How many entries its list has, or may have; 0: it has no list.
    #[must_use]
    pub fn entries(&self) -> usize {
        match self {
            Self::Blocklist(state) => state.blocked.len(),
            Self::Allowlist(state) => state.allowed.len(),
            Self::Remarks(state) => state.len(),
            Self::Roster(_) => roster::SEATS_MAX,
            Self::App(_)
            | Self::User(_)
            | Self::Token(_)
            | Self::Ban(_)
            | Self::Friendship(_)
            | Self::Erasure(_)
            | Self::Access(_)
            | Self::DataRequest(_) => 0,
        }
    }

    /// About how many bytes it takes in memory.
    #[must_use]
    pub fn weight(&self) -> usize {
        const ENTRY: usize = 24;
        size_of::<Self>() + self.entries() * ENTRY
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rollcall_schemas::ban::Lifted;
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
