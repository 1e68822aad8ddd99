//! One newtype per identifier, so that one cannot be passed for another.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::stream::StreamId;

/// Why a text is not the identifier it was taken for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not {expected}")]
pub struct Malformed {
    /// What was read (never personal: identifiers of the log only).
    pub value: String,
    /// What would have been accepted.
    pub expected: &'static str,
}

/// The tenant: the public application key, 1 to 64 of `A-Z a-z 0-9 _ -`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppId(Arc<str>);

impl AppId {
    /// The application key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AppId {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
        if (1..=64).contains(&text.len()) && text.bytes().all(legal) {
            Ok(Self(text.into()))
        } else {
            Err(Malformed { value: text.into(), expected: "an app key: 1 to 64 of A-Z a-z 0-9 _ -" })
        }
    }
}

impl TryFrom<String> for AppId {
    type Error = Malformed;
    fn try_from(text: String) -> Result<Self, Malformed> {
        text.parse()
    }
}

impl From<AppId> for String {
    fn from(app: AppId) -> Self {
        app.0.as_ref().into()
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = Malformed;
            fn from_str(text: &str) -> Result<Self, Malformed> {
                Uuid::try_parse(text)
                    .map($name)
                    .map_err(|_| Malformed { value: text.into(), expected: "a UUID" })
            }
        }
    };
}

uuid_id! {
    /// The only name of a person in the log and the read models: a random UUIDv4 without any relation to the userId.
    SubjectRef
}
/// Hands the identifiers that are random and nobody's name to another macro: each is a [`Uuid`] in its own type.
#[macro_export]
macro_rules! random_ids {
    ($use:ident) => {
        $use! {
            /// Identifies one recorded event (UUIDv7).
            EventId,
            /// Identifies one issued access token; the token itself is never recorded.
            TokenId,
            /// Identifies one erasure, from its request to its end.
            ErasureId,
            /// Identifies one request of a person about their data.
            DataRequestId,
            /// Identifies one bulk operation.
            BatchId,
            /// Identifies one import of records that a caller sends.
            ImportId,
            /// Identifies one webhook of an application.
            WebhookId,
        }
    };
}

macro_rules! declared {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
        uuid_id! { $(#[$doc])* $name }

        impl StreamId for $name {
            fn made_up(&self) -> Option<Uuid> {
                Some(self.0)
            }
        }
    )*};
}

crate::random_ids!(declared);

impl StreamId for AppId {}

impl StreamId for SubjectRef {
    fn names(&self, subject: SubjectRef) -> bool {
        self.is(subject)
    }
    fn is(&self, subject: SubjectRef) -> bool {
        *self == subject
    }
}

impl StreamId for Pair {
    fn names(&self, subject: SubjectRef) -> bool {
        self.both().contains(&subject)
    }
}

/// Number of an app's secret, counting from 1; the secret itself is sealed in the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SecretId(pub u32);

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names one operation towards the caller, such as the `operateId` of a deactivation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperationId(pub String);

/// Key of a profile or extension field, such as `email` or `ext_team`; the declared name, never a value.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FieldName(pub String);

impl AsRef<str> for FieldName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// A friend request: the position of the event that made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FriendRequestId(pub u64);

impl fmt::Display for FriendRequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for FriendRequestId {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = || Malformed { value: text.into(), expected: "the id of a friend request" };
        text.parse().map(Self).map_err(|_| malformed())
    }
}

/// Two different subjects, in one canonical order: the identity of their friendship.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "[SubjectRef; 2]", into = "[SubjectRef; 2]")]
pub struct Pair {
    low: SubjectRef,
    high: SubjectRef,
}

impl Pair {
    /// The pair of `a` and `b` in either order; `None` when they are the same subject.
    #[must_use]
    pub fn of(a: SubjectRef, b: SubjectRef) -> Option<Self> {
        match a.cmp(&b) {
            std::cmp::Ordering::Less => Some(Self { low: a, high: b }),
            std::cmp::Ordering::Greater => Some(Self { low: b, high: a }),
            std::cmp::Ordering::Equal => None,
        }
    }

    /// Both subjects, the lower reference first.
    #[must_use]
    pub fn both(self) -> [SubjectRef; 2] {
        [self.low, self.high]
    }

    /// The one of the two that is not `subject`.
    #[must_use]
    pub fn other(self, subject: SubjectRef) -> SubjectRef {
        if self.low == subject { self.high } else { self.low }
    }
}

impl TryFrom<[SubjectRef; 2]> for Pair {
    type Error = Malformed;
    fn try_from([a, b]: [SubjectRef; 2]) -> Result<Self, Malformed> {
        Self::of(a, b).ok_or_else(|| Malformed { value: a.to_string(), expected: "a pair of two different subjects" })
    }
}

impl From<Pair> for [SubjectRef; 2] {
    fn from(pair: Pair) -> Self {
        pair.both()
    }
}

impl fmt::Display for Pair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.low, self.high)
    }
}

impl FromStr for Pair {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = || Malformed { value: text.into(), expected: "two subject references joined by a dot" };
        let (a, b) = text.split_once('.').ok_or_else(malformed)?;
        Self::of(a.parse()?, b.parse()?).ok_or_else(malformed)
    }
}
