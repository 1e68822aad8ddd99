//! The name of a stream as the table holds it: the UUIDs in it as bytes, then the number of its shape, which is the name
//! with a placeholder for each UUID. Streams of one subject lie together in the index, and so do those of subjects that
//! were made together.
//!
//! A name has one key for good: its shape is added to the dictionary with the first stream of it, or, once there is no
//! room, never. A name without UUIDs, or of a shape that is not in the dictionary, is its own key, as text.

use rusqlite::ToSql;
use rusqlite::types::{ToSqlOutput, ValueRef};

use super::dictionary::{Kind, Table};
use super::pack::{UUID_TEXT, uuid};

/// Stands in a shape for a UUID.
const PLACEHOLDER: u8 = 1;
/// Most UUIDs in a name.
const UUIDS_MAX: usize = 2;

/// A stream's name and what is packed of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Name<'n> {
    text: &'n str,
    /// The UUIDs in it; none where the name is not packed.
    pub(super) uuids: Vec<[u8; 16]>,
    shape: Vec<u8>,
}

/// What a name is looked up by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    Packed(Vec<u8>),
    Text(String),
}

impl ToSql for Key {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Packed(bytes) => ValueRef::Blob(bytes),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

impl<'n> Name<'n> {
    pub(super) fn of(text: &'n str) -> Self {
        let (mut uuids, mut shape) = (vec![], Vec::with_capacity(text.len()));
        let mut rest = text.as_bytes();
        while let Some((byte, behind)) = rest.split_first() {
            let found = rest.get(..UUID_TEXT).filter(|_| uuids.len() < UUIDS_MAX).and_then(uuid);
            rest = match found {
                Some(id) => {
                    uuids.push(id);
                    shape.push(PLACEHOLDER);
                    rest.get(UUID_TEXT..).unwrap_or_default()
                }
                None => {
                    shape.push(*byte);
                    behind
                }
            };
        }
        // The placeholder of a UUID must not be mistaken for a character of the name.
        if text.bytes().any(|byte| byte == PLACEHOLDER) {
            uuids.clear();
        }
        Self { text, uuids, shape }
    }

    /// Its shape, where it has one to be added to the dictionary.
    pub(super) fn shape(&self) -> Option<&[u8]> {
        (!self.uuids.is_empty()).then_some(&self.shape)
    }

    /// Its key, with what the dictionary holds.
    pub(super) fn key(&self, table: &Table) -> Key {
        let number = self.shape().and_then(|shape| table.number(Kind::StreamShape, shape));
        match number.and_then(|number| u8::try_from(number).ok()) {
            Some(number) => {
                let mut key = Vec::with_capacity(self.uuids.len() * 16 + 1);
                self.uuids.iter().for_each(|id| key.extend_from_slice(id));
                key.push(number);
                Key::Packed(key)
            }
            None => Key::Text(self.text.to_owned()),
        }
    }
}

/// The name of a key, and the UUIDs in it as [`Name::of`] finds them; `None`: it is no key.
pub(super) fn read(table: &Table, key: ValueRef<'_>) -> Option<(String, Vec<[u8; 16]>)> {
    let packed = match key {
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text).ok()?;
            return Some((text.to_owned(), Name::of(text).uuids));
        }
        ValueRef::Blob(packed) => packed,
        _ => return None,
    };
    let (number, ids) = packed.split_last()?;
    let shape = table.term(Kind::StreamShape, u64::from(*number))?;
    let (uuids, odd) = ids.as_chunks::<16>();
    let mut name = String::with_capacity(shape.len() + ids.len() * 9 / 4);
    let (mut next, mut placeholders) = (uuids.iter(), 0);
    for part in std::str::from_utf8(shape).ok()?.split(char::from(PLACEHOLDER)) {
        if placeholders > 0 {
            let mut text = [0; UUID_TEXT];
            name.push_str(uuid::Uuid::from_bytes(*next.next()?).hyphenated().encode_lower(&mut text));
        }
        name.push_str(part);
        placeholders += 1;
    }
    (odd.is_empty() && next.next().is_none()).then(|| (name, uuids.to_vec()))
}
