//! The streams of the log: one per aggregate.

use std::fmt;
use std::str::FromStr;

use crate::ids::{AppId, DataRequestId, ErasureId, Malformed, Pair, SubjectRef};

macro_rules! streams {
    ($($(#[$doc:meta])* $name:ident($key:ty) = $category:literal),* $(,)?) => {
        /// A stream, written `<aggregate>-<id>`.
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Stream { $($(#[$doc])* $name($key)),* }

        impl fmt::Display for Stream {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $(Self::$name(key) => write!(f, concat!($category, "-{}"), key)),* }
            }
        }

        impl FromStr for Stream {
            type Err = Malformed;
            fn from_str(text: &str) -> Result<Self, Malformed> {
                match text.split_once('-') {
                    $(Some(($category, key)) => Ok(Self::$name(key.parse()?)),)*
                    _ => Err(Malformed { value: text.into(), expected: "a stream name such as user-<uuid>" }),
                }
            }
        }
    };
}

streams! {
    /// One application.
    App(AppId) = "app",
    /// The seats of a development application (at most 100).
    Roster(AppId) = "roster",
    /// One user of one application.
    User(SubjectRef) = "user",
    /// The access tokens of one user.
    Token(SubjectRef) = "token",
    /// The ban of one user.
    Ban(SubjectRef) = "ban",
    /// Whom one user blocks.
    Blocklist(SubjectRef) = "blocklist",
    /// Whom one user allows, and whether that list is in force.
    Allowlist(SubjectRef) = "allowlist",
    /// The friendship of two users, requests included.
    Friendship(Pair) = "friendship",
    /// The remarks one user keeps about others.
    Remarks(SubjectRef) = "remarks",
    /// One erasure.
    Erasure(ErasureId) = "erasure",
    /// Who read what of one user.
    Access(SubjectRef) = "access",
    /// One request of a person about their data.
    DataRequest(DataRequestId) = "data_request",
}
