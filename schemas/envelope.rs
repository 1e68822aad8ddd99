//! What surrounds an event once it is recorded.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ids::{AppId, EventId, SecretId, SubjectRef};
use crate::personal::{self, Class, Header, Personal, Stored};
use crate::stream::Stream;

/// Who acted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// A back end that signed with this secret of the app.
    Server(SecretId),
    /// Whoever showed the API key of this number.
    ApiKey(u32),
    /// A user of the app itself, who showed an access token.
    User(SubjectRef),
    /// An operator at the command line of the service.
    Operator,
    /// The service itself: an expiry, a step of an erasure.
    System,
}

/// As lists of acts tell who acted and are filtered by it: `server:1`, `api_key:2`, `user:` with the reference, `operator`,
/// `system`.
impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Server(secret) => write!(f, "server:{secret}"),
            Self::ApiKey(number) => write!(f, "api_key:{number}"),
            Self::User(subject) => write!(f, "user:{subject}"),
            Self::Operator => f.write_str("operator"),
            Self::System => f.write_str("system"),
        }
    }
}

/// Why and by whom an event came to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The tenant.
    pub app: AppId,
    /// Who acted.
    pub actor: Actor,
    /// The request all its events share.
    pub correlation: Uuid,
    /// The event that led to this one, where the service acted by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation: Option<EventId>,
}

/// An event as the log holds it.
#[derive(Debug, Clone)]
pub struct Recorded<E> {
    /// Place in the log: gapless from 1, in commit order.
    pub position: u64,
    /// The stream it belongs to.
    pub stream: Stream,
    /// Place in the stream: gapless from 1.
    pub revision: u64,
    /// Identifies the event.
    pub id: EventId,
    /// When it was recorded.
    pub recorded_at: DateTime<Utc>,
    /// Why and by whom.
    pub metadata: Metadata,
    /// Name of the event as recorded, such as `user.registered`.
    pub name: &'static str,
    /// Version of its shape.
    pub version: u16,
    /// What happened.
    pub event: E,
}

impl<E> Recorded<E> {
    /// The header of the personal value at `path`, which is also its associated data.
    #[must_use]
    pub fn header(&self, path: &str, class: Class, subject: SubjectRef, epoch: u32) -> Header {
        Header {
            app: self.metadata.app.clone(),
            stream: self.stream.to_string(),
            event: self.id,
            name: self.name.to_owned(),
            version: self.version,
            path: path.to_owned(),
            subject,
            class,
            epoch,
        }
    }

    /// The sealed value at `path` as a read model stores it; `None` once it is erased or detached.
    #[must_use]
    pub fn stored<T>(&self, path: &str, value: &Personal<T>) -> Option<Vec<u8>> {
        let Personal::Sealed(sealed) = value else { return None };
        // A header is not made for it: it would copy every text, for every value of every event.
        let is_own = self.stream.is_own(personal::aggregate(self.name), sealed.subject);
        let stream = if is_own { String::new() } else { self.stream.to_string() };
        Stored::of(self, &stream, path, sealed).map(|stored| stored.to_bytes())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ids::Pair;
    use crate::personal::Sealed;

    #[test]
    fn a_value_is_stored_as_its_header_has_it_whatever_stream_it_is_in() {
        let [ada, bob] = [1, 2].map(|number| SubjectRef(Uuid::from_u128(number)));
        let sealed = Sealed {
            class: Class::Profile,
            subject: ada,
            epoch: 3,
            commitment: [1; 32],
            digest: [2; 32],
            ciphertext: Some(vec![7; 92]),
        };
        let friendship = Stream::Friendship(Pair::of(ada, bob).unwrap());
        let mut lengths = vec![];
        for stream in [Stream::User(ada), Stream::User(bob), Stream::Ban(ada), friendship] {
            let metadata = Metadata {
                app: "chat".parse().unwrap(),
                actor: Actor::Operator,
                correlation: Uuid::from_u128(9),
                causation: None,
            };
            let recorded = Recorded {
                position: 1,
                stream,
                revision: 1,
                id: EventId(Uuid::from_u128(8)),
                recorded_at: DateTime::UNIX_EPOCH,
                metadata,
                name: "user.registered",
                version: 1,
                event: (),
            };
            let header = recorded.header("name", sealed.class, sealed.subject, sealed.epoch);
            let stored = recorded.stored::<String>("name", &Personal::Sealed(sealed.clone())).unwrap();
            assert_eq!(stored, header.store(&[7; 92]), "{}", recorded.stream);
            lengths.push(stored.len());
        }
        assert!(lengths[1..].iter().all(|other| lengths[0] < *other), "the subject's own is left out: {lengths:?}");
    }
}
