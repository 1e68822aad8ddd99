//! Cursors of lists, as both faces write them: opaque to the caller, bound to an order that does not change.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::DateTime;
use rollcall_projections::data_requests::DueCursor;
use rollcall_schemas::ids::{FriendRequestId, SubjectRef};
use uuid::Uuid;

use crate::engine::graph::SuggestionCursor;

/// A place in the order of a list. Lists with different orders have cursors of different lengths, so that a cursor of one
/// list is refused by another.
pub(super) trait Cursor: Sized {
    /// Encodes the place.
    fn bytes(&self) -> Vec<u8>;
    /// Decodes a place; `None` if the bytes are not one.
    fn read(bytes: &[u8]) -> Option<Self>;

    /// The text that a caller gives back for the next page.
    fn encode(&self) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.bytes())
    }

    /// Decodes such a text; `None` if this service did not make it.
    fn decode(text: &str) -> Option<Self> {
        BASE64_URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| Self::read(&bytes))
    }
}

/// A position in the log.
impl Cursor for u64 {
    fn bytes(&self) -> Vec<u8> {
        self.to_be_bytes().to_vec()
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self::from_be_bytes)
    }
}

/// Up to where a feed was read. It is a position in the log of all apps, and longer than that of a list: a list's cursor
/// given to a feed would leave events out unseen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FeedCursor(pub(super) u64);

/// The form of a feed's cursor.
const FEED: u8 = 1;

/// The last token of a page of a user's tokens: its revision in the stream of them. As long as a feed's, and of another form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IssuedCursor(pub(super) u64);

/// The form of a cursor in a user's tokens.
const ISSUED: u8 = 2;

impl Cursor for IssuedCursor {
    fn bytes(&self) -> Vec<u8> {
        [&[ISSUED], self.0.to_be_bytes().as_slice()].concat()
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        let (form, revision) = bytes.split_first()?;
        if *form == ISSUED { u64::read(revision).map(Self) } else { None }
    }
}

impl Cursor for FeedCursor {
    fn bytes(&self) -> Vec<u8> {
        [&[FEED], self.0.to_be_bytes().as_slice()].concat()
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        let (form, position) = bytes.split_first()?;
        if *form == FEED { u64::read(position).map(Self) } else { None }
    }
}

impl Cursor for FriendRequestId {
    fn bytes(&self) -> Vec<u8> {
        self.0.bytes()
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        u64::read(bytes).map(Self)
    }
}

impl Cursor for DueCursor {
    fn bytes(&self) -> Vec<u8> {
        [self.due_at.timestamp_millis().to_be_bytes(), self.received_position.to_be_bytes()].concat()
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        let (due_at, position) = bytes.split_first_chunk()?;
        let due_at = DateTime::from_timestamp_millis(i64::from_be_bytes(*due_at))?;
        Some(Self { due_at, received_position: u64::read(position)? })
    }
}

/// The last user of a page that is in the order of references, such as of those who are followed.
pub(super) struct Followed(pub(super) SubjectRef);

impl Cursor for Followed {
    fn bytes(&self) -> Vec<u8> {
        [&[Self::FORMAT], self.0.0.as_bytes().as_slice()].concat()
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        let (format, id) = bytes.split_first()?;
        let id = Uuid::from_slice(id).ok().filter(|_| *format == Self::FORMAT)?;
        Some(Self(SubjectRef(id)))
    }
}

impl Followed {
    const FORMAT: u8 = 1;
}

/// The last user of a page of mutual friends.
pub(super) struct MutualFriend(pub(super) SubjectRef);

impl Cursor for MutualFriend {
    fn bytes(&self) -> Vec<u8> {
        [&[Self::FORMAT], self.0.0.as_bytes().as_slice()].concat()
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        let (format, id) = bytes.split_first()?;
        let id = Uuid::from_slice(id).ok().filter(|_| *format == Self::FORMAT)?;
        Some(Self(SubjectRef(id)))
    }
}

impl MutualFriend {
    const FORMAT: u8 = 2;
}

impl Cursor for SuggestionCursor {
    fn bytes(&self) -> Vec<u8> {
        [self.seen.to_be_bytes().as_slice(), self.subject.0.as_bytes()].concat()
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        let (seen, subject) = bytes.split_first_chunk()?;
        Some(Self { seen: u32::from_be_bytes(*seen), subject: SubjectRef(Uuid::from_slice(subject).ok()?) })
    }
}
