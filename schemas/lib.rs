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
pub mod friend_groups;
pub mod friendship;
pub mod ids;
pub mod import;
pub mod operation;
pub mod personal;
pub mod plain;
pub mod rate_limit;
pub mod remarks;
pub mod roster;
pub mod stream;
pub mod token;
pub mod user;
pub mod webhook;
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

/// Hands the table of aggregates to another macro. A row is the variant that the aggregate has in every sum over all of
/// them ([`Event`], [`stream::Stream`], the states of the domain), the type of its id, which names its stream, and its
/// module.
#[macro_export]
macro_rules! aggregates {
    ($use:ident) => {
        $use! {
            /// One application.
            App(AppId): app,
            /// The seats of a development application (at most 100).
            Roster(AppId): roster,
            /// One user of one application.
            User(SubjectRef): user,
            /// The access tokens of one user.
            Token(SubjectRef): token,
            /// The ban of one user.
            Ban(SubjectRef): ban,
            /// Whom one user blocks.
            Blocklist(SubjectRef): blocklist,
            /// Whom one user allows, and whether that list is in force.
            Allowlist(SubjectRef): allowlist,
            /// The friendship of two users, requests included.
            Friendship(Pair): friendship,
            /// The remarks one user keeps about others.
            Remarks(SubjectRef): remarks,
            /// The groups in which one user keeps friends.
            FriendGroups(SubjectRef): friend_groups,
            /// One erasure.
            Erasure(ErasureId): erasure,
            /// Who read what of one user.
            Access(SubjectRef): access,
            /// One request of a person about their data.
            DataRequest(DataRequestId): data_request,
            /// One bulk operation.
            Operation(BatchId): operation,
            /// One import of records that a caller sends.
            Import(ImportId): import,
            /// The webhooks of one application.
            Webhook(AppId): webhook,
        }
    };
}

macro_rules! sum_of_events {
    ($($(#[$doc:meta])* $variant:ident($id:ident): $module:ident),* $(,)?) => {
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

            /// The subject whose doing or state it is, and the one other it concerns.
            #[must_use]
            pub fn about(&self) -> (Option<ids::SubjectRef>, Option<ids::SubjectRef>) {
                match self { $(Self::$variant(event) => event.about(),)* }
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

aggregates!(sum_of_events);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use uuid::Uuid;

    use super::*;
    use crate::ids::SubjectRef;

    fn subject(number: u128) -> SubjectRef {
        SubjectRef(Uuid::from_u128(number))
    }

    fn blocked(targets: Vec<SubjectRef>) -> Event {
        blocklist::Event::from(blocklist::Blocked { subject: subject(1), targets }).into()
    }

    #[test]
    fn an_event_is_about_the_subjects_it_names_in_the_order_of_its_fields() {
        let ended = friendship::Ended { by: subject(2), other: subject(1), cause: plain::EndCause::Removed };
        let ended: Event = friendship::Event::from(ended).into();
        assert_eq!(ended.about(), (Some(subject(2)), Some(subject(1))));
        let lifted: Event = ban::Event::from(ban::Lifted { subject: subject(3) }).into();
        assert_eq!(lifted.about(), (Some(subject(3)), None));
        let retired = app::SecretRetired { app: "app-one".parse().unwrap(), secret: ids::SecretId(1) };
        let retired: Event = app::Event::from(retired).into();
        assert_eq!(retired.about(), (None, None));
    }

    #[test]
    fn an_event_that_names_many_others_is_about_none_of_them() {
        assert_eq!(blocked(vec![subject(2)]).about(), (Some(subject(1)), Some(subject(2))));
        assert_eq!(blocked(vec![subject(2), subject(3)]).about(), (Some(subject(1)), None));
    }
}
