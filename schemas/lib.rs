//! What Rollcall can record: the events of every aggregate, their identifiers and envelopes.
//!
//! A published event never changes its shape: a new shape is a new version. Each version has its JSON Schema
//! beside its aggregate and its digest in `published.lock`.

pub mod access;
pub mod allowlist;
pub mod app;
pub mod ban;
pub mod blocklist;
pub mod data_request;
mod declare;
pub mod envelope;
pub mod erasure;
pub mod friendship;
pub mod ids;
pub mod personal;
pub mod plain;
pub mod remarks;
pub mod roster;
pub mod stream;
pub mod token;
pub mod user;
mod words;

pub use declare::{EventDeclaration, FieldDeclaration};
pub use words::UnknownWord;

/// Why recorded bytes are not an event.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// No such event was published; the log was written by a newer version.
    #[error("no event {name} v{version} is known; the log may have been written by a newer version")]
    Unknown {
        /// Name as recorded.
        name: String,
        /// Version as recorded.
        version: u16,
    },
    /// The bytes do not have the published shape.
    #[error("event {name} v{version} does not have its published shape: {source}")]
    Malformed {
        /// Name as recorded.
        name: String,
        /// Version as recorded.
        version: u16,
        /// What serde says.
        source: serde_json::Error,
    },
}

macro_rules! aggregates {
    ($($variant:ident($module:ident)),* $(,)?) => {
        /// Any event of any aggregate.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(clippy::large_enum_variant)]
        pub enum Event {
            $(
                #[doc = concat!("Of the aggregate `", stringify!($module), "`.")]
                $variant($module::Event),
            )*
        }

        /// The variants of [`Event`] by the name of their aggregate's module, so that a macro that is given `user` can
        /// match [`Event::User`].
        pub mod variant {
            $( pub use super::Event::$variant as $module; )*
        }

        $(
            impl From<$module::Event> for Event {
                fn from(event: $module::Event) -> Self {
                    Self::$variant(event)
                }
            }
        )*

        impl Event {
            /// Every published event, aggregate by aggregate.
            pub fn declarations() -> impl Iterator<Item = &'static EventDeclaration> {
                [$($module::Event::DECLARATIONS),*].into_iter().flatten()
            }

            /// Its declaration: name, version, fields.
            #[must_use]
            pub fn declaration(&self) -> EventDeclaration {
                match self { $(Self::$variant(event) => event.declaration(),)* }
            }

            /// The event as JSON; every personal value must be sealed.
            ///
            /// # Errors
            /// A personal value is in the clear or erased.
            pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
                match self { $(Self::$variant(event) => event.to_json(),)* }
            }

            /// Reads what [`Event::encode`] wrote; ciphertexts are still detached.
            ///
            /// # Errors
            /// The name or version is unknown, or the shape is not the published one.
            pub fn decode(name: &str, version: u16, json: &[u8]) -> Result<Self, DecodeError> {
                $(
                    if let Some(event) = $module::Event::from_json(name, version, json) {
                        return event.map(Self::$variant)
                            .map_err(|source| DecodeError::Malformed { name: name.into(), version, source });
                    }
                )*
                Err(DecodeError::Unknown { name: name.into(), version })
            }

            /// Visits each personal value.
            ///
            /// # Errors
            /// What the visitor returns.
            pub fn each_personal<E>(&mut self, visit: &mut personal::Visit<'_, E>) -> Result<(), E> {
                match self { $(Self::$variant(event) => event.each_personal(visit),)* }
            }
        }
    };
}

aggregates! {
    App(app),
    Roster(roster),
    User(user),
    Token(token),
    Ban(ban),
    Blocklist(blocklist),
    Allowlist(allowlist),
    Friendship(friendship),
    Remarks(remarks),
    Erasure(erasure),
    Access(access),
    DataRequest(data_request),
}
