//! One JSON document that holds the records in an array, as exports of other services do. It is read element by element.

use std::fmt;
use std::io::{BufRead, Read};
use std::path::Path;

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::{NoRecord, Sink};
use crate::transfer::Error;

/// The member that holds the array, where the document is an object.
const MEMBER: &str = "users";
/// So much is looked at to tell a document from lines.
const LOOKED_AT: u64 = 1 << 16;

/// Whether a file is one document, and not an object on each line.
pub(super) fn is_one(reader: &mut impl BufRead) -> std::io::Result<bool> {
    let mut head = Vec::new();
    reader.take(LOOKED_AT).read_to_end(&mut head)?;
    let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&head).trim_ascii_start();
    let first_line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let whole = serde_json::from_slice::<Map<String, Value>>(first_line);
    Ok(match whole {
        Ok(object) => object.get(MEMBER).is_some_and(Value::is_array),
        Err(_) => text.starts_with(b"[") || text.starts_with(b"{"),
    })
}

/// Hands out the elements of the array.
pub(super) fn read(path: &Path, reader: impl Read, sink: &mut Sink<'_>) -> Result<(), Error> {
    let mut document = serde_json::Deserializer::from_reader(reader);
    let mut stopped = false;
    let read = Document { sink, stopped: &mut stopped }.deserialize(&mut document);
    match read {
        Ok(()) => Ok(()),
        Err(_) if stopped => Ok(()),
        Err(error) => Err(Error::Document { path: path.into(), reason: error.to_string() }),
    }
}

/// The whole document: the array itself, or an object with it.
struct Document<'s, 'k> {
    sink: &'s mut Sink<'k>,
    /// Set where no more is wanted; the parser is then stopped by an error.
    stopped: &'s mut bool,
}

impl<'de> DeserializeSeed<'de> for Document<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Document<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an array of users, or an object with an array `{MEMBER}`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element::<Value>()? {
            let found = match element {
                Value::Object(fields) => Ok(fields),
                other => Err(NoRecord { text: other.to_string(), problem: "not an object".into() }),
            };
            if !(self.sink)(found) {
                *self.stopped = true;
                return Err(A::Error::custom("stopped"));
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut is_found = false;
        while let Some(name) = members.next_key::<String>()? {
            if name == MEMBER {
                is_found = true;
                members.next_value_seed(Document { sink: self.sink, stopped: self.stopped })?;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        if is_found { Ok(()) } else { Err(A::Error::custom(format!("there is no array `{MEMBER}`"))) }
    }
}
