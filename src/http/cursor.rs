//! Cursors of lists, as both faces write them: opaque to the caller, bound to an order that does not change.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::DateTime;
use rollcall_projections::Seek;
use rollcall_projections::data_requests::DueCursor;
use rollcall_projections::remarks::RemarkCursor;
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

/// What a cursor of the page before begins with. No encoded place does, so that neither kind is taken for the other.
const UP_TO: char = '.';

/// The cursor of the page behind a place, or of the page up to it; `None`: of the first page, which has none.
pub(super) fn encode_seek<C: Cursor>(seek: &Seek<C>) -> Option<String> {
    match seek {
        Seek::After(place) => place.as_ref().map(Cursor::encode),
        Seek::UpTo(place) => Some(format!("{UP_TO}{}", place.encode())),
    }
}

/// Decodes such a cursor; `None` if this service did not make it.
pub(super) fn decode_seek<C: Cursor>(text: &str) -> Option<Seek<C>> {
    match text.strip_prefix(UP_TO) {
        Some(place) => C::decode(place).map(Seek::UpTo),
        None => C::decode(text).map(|place| Seek::After(Some(place))),
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

/// The last user of a page that is in the order of references. No list uses it without a form of its own.
impl Cursor for SubjectRef {
    fn bytes(&self) -> Vec<u8> {
        self.0.as_bytes().to_vec()
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        Uuid::from_slice(bytes).ok().map(Self)
    }
}

/// Places that begin with the form of their list: they are longer than the bare place, and lists that are in the same order
/// have different ones.
macro_rules! forms {
    ($($(#[$doc:meta])* $name:ident($place:ty) = $form:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) struct $name(pub(super) $place);

        impl Cursor for $name {
            fn bytes(&self) -> Vec<u8> {
                [vec![$form], self.0.bytes()].concat()
            }
            fn read(bytes: &[u8]) -> Option<Self> {
                let (form, place) = bytes.split_first()?;
                if *form == $form { <$place>::read(place).map(Self) } else { None }
            }
        }
    )*};
}

forms! {
    /// Up to where a feed was read: a position in the log of all apps. A list's cursor given to a feed would leave events out
    /// unseen.
    FeedCursor(u64) = 1;
    /// The last token of a page of a user's tokens: its revision in the stream of them.
    IssuedCursor(u64) = 2;
    /// The last user of a page such as of those who are followed.
    Followed(SubjectRef) = 1;
    /// The last user of a page of mutual friends.
    MutualFriend(SubjectRef) = 2;
    /// The last friend of a page of a friend group.
    GroupMember(SubjectRef) = 3;
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

impl Cursor for RemarkCursor {
    fn bytes(&self) -> Vec<u8> {
        // A form of its own: a place in a list of bans has as many bytes and begins with its state, which is less.
        [&[4], self.remarked_position.to_be_bytes().as_slice(), self.target.0.as_bytes()].concat()
    }
    fn read(bytes: &[u8]) -> Option<Self> {
        let (position, target) = bytes.strip_prefix(&[4])?.split_first_chunk()?;
        let target = SubjectRef(Uuid::from_slice(target).ok()?);
        Some(Self { remarked_position: u64::from_be_bytes(*position), target })
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_in_the_same_order_refuse_the_cursors_of_each_other() {
        let user = SubjectRef(Uuid::from_u128(7));
        let users = [Followed(user).encode(), MutualFriend(user).encode(), GroupMember(user).encode(), user.encode()];
        let read = |text: &String| {
            let are = [
                Followed::decode(text).is_some(),
                MutualFriend::decode(text).is_some(),
                GroupMember::decode(text).is_some(),
                SubjectRef::decode(text).is_some(),
            ];
            are.iter().position(|is| *is).filter(|_| are.iter().filter(|is| **is).count() == 1)
        };
        assert_eq!(users.each_ref().map(read), [Some(0), Some(1), Some(2), Some(3)]);
        assert_eq!(GroupMember::decode(&GroupMember(user).encode()), Some(GroupMember(user)));
        let positions = [FeedCursor(7).encode(), IssuedCursor(7).encode(), 7_u64.encode()];
        let read = |text: &String| (FeedCursor::decode(text), IssuedCursor::decode(text), u64::decode(text));
        let expected = [(Some(FeedCursor(7)), None, None), (None, Some(IssuedCursor(7)), None), (None, None, Some(7))];
        assert_eq!(positions.each_ref().map(read), expected);
    }

    #[test]
    fn a_cursor_of_the_page_before_is_no_place_and_no_cursor_of_a_next_page() {
        let (after, up_to) = (Seek::After(Some(7_u64)), Seek::UpTo(7_u64));
        let [next, previous] = [after, up_to].map(|seek| encode_seek(&seek).unwrap_or_default());
        assert_eq!(next, 7_u64.encode(), "as it was before lists could be followed back");
        assert_eq!((decode_seek(&next), decode_seek(&previous)), (Some(after), Some(up_to)));
        assert_eq!((u64::decode(&previous), encode_seek(&Seek::<u64>::After(None))), (None, None));
        for bad in ["", ".", "..", &format!(".{previous}"), &format!("{next}.")] {
            assert_eq!(decode_seek::<u64>(bad), None, "{bad}");
        }
        assert_eq!(decode_seek::<GroupMember>(&previous), None, "of another list");
    }
}
