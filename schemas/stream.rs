//! The streams of the log: one per aggregate, named `<aggregate>-<id>`.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

use crate::ids::{self, Malformed, SubjectRef};

/// The id of an aggregate, as it names a stream.
pub trait StreamId {
    /// The id, if the decision that begins the stream makes it up; `None`: the aggregate belongs to something that has a
    /// name before, such as a user.
    fn made_up(&self) -> Option<Uuid> {
        None
    }

    /// Whether it names a subject, so that there is no such stream before the subject exists.
    fn names(&self, _: SubjectRef) -> bool {
        false
    }

    /// Whether it is the subject's reference and nothing else.
    fn is(&self, _: SubjectRef) -> bool {
        false
    }
}

macro_rules! streams {
    ($($(#[$doc:meta])* $variant:ident($id:ident): $module:ident),* $(,)?) => {
        /// A stream, written `<aggregate>-<id>`.
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Stream { $($(#[$doc])* $variant(ids::$id)),* }

        impl fmt::Display for Stream {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.aggregate())?;
                f.write_str("-")?;
                match self { $(Self::$variant(id) => id.fmt(f)),* }
            }
        }

        impl FromStr for Stream {
            type Err = Malformed;
            fn from_str(text: &str) -> Result<Self, Malformed> {
                let malformed = || Malformed { value: text.into(), expected: "a stream name such as user-<uuid>" };
                let (aggregate, id) = text.split_once('-').ok_or_else(malformed)?;
                match aggregate {
                    $(_ if aggregate == stringify!($module) => Ok(Self::$variant(id.parse()?)),)*
                    _ => Err(malformed()),
                }
            }
        }

        impl Stream {
            /// Its id, if the decision that begins the stream makes it up.
            #[must_use]
            pub fn made_up(&self) -> Option<Uuid> {
                match self { $(Self::$variant(id) => id.made_up()),* }
            }

            /// Whether it is named by a subject, so that it cannot exist before the subject does.
            #[must_use]
            pub fn names(&self, subject: SubjectRef) -> bool {
                match self { $(Self::$variant(id) => id.names(subject)),* }
            }

            /// The aggregate: what its name begins with.
            #[must_use]
            pub fn aggregate(&self) -> &'static str {
                match self { $(Self::$variant(_) => stringify!($module)),* }
            }

            /// Whether it is the subject's own stream of an aggregate.
            pub(crate) fn is_own(&self, aggregate: &str, subject: SubjectRef) -> bool {
                self.aggregate() == aggregate && match self { $(Self::$variant(id) => id.is(subject)),* }
            }
        }
    };
}

crate::aggregates!(streams);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ids::{DataRequestId, Pair};

    #[test]
    fn a_stream_of_one_or_two_subjects_is_named_by_them_and_others_by_an_id_that_is_made_up() {
        let [ada, bob, eve] = [1, 2, 3].map(|number| SubjectRef(Uuid::from_u128(number)));
        let friendship = Stream::Friendship(Pair::of(ada, bob).unwrap());
        assert!(friendship.names(ada) && friendship.names(bob) && !friendship.names(eve));
        assert!(Stream::Access(ada).names(ada) && !Stream::Ban(ada).names(bob));
        assert_eq!(Stream::User(ada).made_up(), None);
        let request = Stream::DataRequest(DataRequestId(ada.0));
        assert_eq!((request.made_up(), request.names(ada)), (Some(ada.0), false));
    }

    #[test]
    fn a_stream_is_read_as_it_is_written() {
        let stream = Stream::DataRequest(DataRequestId(Uuid::from_u128(7)));
        assert_eq!(stream.to_string(), "data_request-00000000-0000-0000-0000-000000000007");
        assert_eq!(stream.to_string().parse(), Ok(stream));
        for other in ["", "user", "users-1", "user-1", "-"] {
            assert!(other.parse::<Stream>().is_err(), "{other}");
        }
    }
}
