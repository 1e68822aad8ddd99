//! Events in fewer bytes: hexadecimal digits, UUIDs, times and numbers in binary, and what many events have in common as a
//! number of the dictionary. What is unpacked is byte for byte what was packed; what would not be is stored as it is.
//!
//! A core is split into its *skeleton*, which is its JSON with a placeholder in place of each value, and the values. The
//! skeleton and short texts are looked up in the dictionary. Nothing here depends on which events there are.
//!
//! A packed core is a tag, the skeleton, and the values in their order:
//! `[RAW] bytes`, `[KNOWN] number values`, or `[INLINE] length skeleton values`; all numbers are LEB128.
//! Packed blobs are `[RAW] bytes`, or `[KNOWN]` and for each blob its path (as a word), its length and its bytes.

use std::io::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};

use super::dictionary::{Kind, Table};

mod bytes;

use bytes::{Reader, push_bytes_of_hex, push_hex, push_number, push_uuid};
pub(super) use bytes::{UUID_TEXT, uuid};

const RAW: u8 = 0;
const KNOWN: u8 = 1;
const INLINE: u8 = 2;

// Placeholders: control characters, which JSON never holds as they are.
/// The first UUID of the stream's name; no value.
const OWN: u8 = 1;
/// The second UUID of the stream's name; no value.
const OTHER: u8 = 2;
/// Another UUID: 16 bytes.
const UUID: u8 = 3;
/// 64 hexadecimal digits: 32 bytes.
const DIGEST: u8 = 4;
/// Other hexadecimal digits: their number of bytes, and these.
const HEX: u8 = 5;
/// A text: a number of the dictionary, or 0, its length and its bytes.
const TEXT: u8 = 6;
/// A number.
const NUMBER: u8 = 7;
/// A time: milliseconds since the event was recorded, zigzag.
const TIME: u8 = 8;

/// Fewest hexadecimal digits that are packed as such.
const HEX_MIN: usize = 16;
/// How many a digest has.
const DIGEST_TEXT: usize = 64;

/// What an event's row says beside its core and need not be repeated in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'c> {
    /// The UUIDs of the stream's name.
    pub(super) uuids: &'c [[u8; 16]],
    /// When the event was recorded, in milliseconds since 1970.
    pub(super) recorded_at: i64,
}

/// A packed value, and the terms that would make it shorter if the dictionary had them.
#[derive(Debug, Default)]
pub(super) struct Packed {
    pub(super) bytes: Vec<u8>,
    pub(super) unknown: Vec<(Kind, Vec<u8>)>,
}

/// Packs a core.
pub(super) fn core(table: &Table, context: Context<'_>, core: &[u8]) -> Packed {
    let (skeleton, values) = (Vec::with_capacity(core.len()), Vec::with_capacity(core.len()));
    let mut split = Split { table, context, skeleton, values, unknown: vec![] };
    if !core.starts_with(b"{") || split.take(core).is_none() {
        return raw(core);
    }
    let Split { skeleton, values, mut unknown, .. } = split;
    let mut bytes = Vec::with_capacity(values.len() + 4);
    match table.number(Kind::Skeleton, &skeleton) {
        Some(number) => {
            bytes.push(KNOWN);
            push_number(&mut bytes, number.into());
        }
        None => {
            bytes.push(INLINE);
            push_number(&mut bytes, skeleton.len() as u64);
            bytes.extend_from_slice(&skeleton);
            if table.has_room(Kind::Skeleton, &skeleton) {
                unknown.push((Kind::Skeleton, skeleton));
            }
        }
    }
    bytes.extend_from_slice(&values);
    // A mistake here would change an event for good; to look costs a microsecond.
    if unpack_core(table, context, &bytes).as_deref() == Some(core) { Packed { bytes, unknown } } else { raw(core) }
}

fn raw(plain: &[u8]) -> Packed {
    let mut bytes = Vec::with_capacity(plain.len() + 1);
    bytes.push(RAW);
    bytes.extend_from_slice(plain);
    Packed { bytes, unknown: vec![] }
}

/// Reads what [`core`] packed; `None`: these are no such bytes.
pub(super) fn unpack_core(table: &Table, context: Context<'_>, packed: &[u8]) -> Option<Vec<u8>> {
    let (tag, rest) = packed.split_first()?;
    let mut values = Reader(rest);
    let skeleton = match *tag {
        RAW => return Some(rest.to_vec()),
        KNOWN => &table.term(Kind::Skeleton, values.number()?)?[..],
        INLINE => values.counted()?,
        _ => return None,
    };
    let mut out = Vec::with_capacity(skeleton.len() + values.0.len() * 2 + 64);
    let mut literal = skeleton;
    while let Some(at) = literal.iter().position(|byte| *byte < b' ') {
        let (before, after) = literal.split_at_checked(at)?;
        let (placeholder, after) = after.split_first()?;
        out.extend_from_slice(before);
        put(&mut out, *placeholder, &mut values, table, context)?;
        literal = after;
    }
    out.extend_from_slice(literal);
    values.0.is_empty().then_some(out)
}

/// Writes the value of a placeholder.
fn put(out: &mut Vec<u8>, placeholder: u8, values: &mut Reader<'_>, table: &Table, context: Context<'_>) -> Option<()> {
    if placeholder == NUMBER {
        return write!(out, "{}", values.number()?).ok();
    }
    out.push(b'"');
    match placeholder {
        OWN => push_uuid(out, context.uuids.first()?),
        OTHER => push_uuid(out, context.uuids.get(1)?),
        UUID => push_uuid(out, &values.array()?),
        DIGEST => push_hex(out, &values.array::<32>()?),
        HEX => push_hex(out, values.counted()?),
        TEXT => match values.number()? {
            0 => out.extend_from_slice(values.counted()?),
            number => out.extend_from_slice(table.term(Kind::Word, number)?),
        },
        TIME => {
            let at = context.recorded_at.checked_add(values.signed()?)?;
            out.extend_from_slice(time_text(DateTime::from_timestamp_millis(at)?).as_bytes());
        }
        _ => return None,
    }
    out.push(b'"');
    Some(())
}

/// A time as it stands in cores.
fn time_text(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// The time of a text that [`time_text`] writes so.
fn time(text: &[u8]) -> Option<i64> {
    let has_fraction = match text.len() {
        20 => false,
        24 => true,
        _ => return None,
    };
    // It would be written without a fraction that is none, and a second that is inserted cannot be told from the next one.
    let is_other = has_fraction && text.ends_with(b".000Z") || text.get(17..19) == Some(b"60");
    if is_other || text.get(10) != Some(&b'T') || text.last() != Some(&b'Z') {
        return None;
    }
    let text = std::str::from_utf8(text).ok()?;
    Some(DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis())
}

/// A core on its way to be split.
struct Split<'t> {
    table: &'t Table,
    context: Context<'t>,
    skeleton: Vec<u8>,
    values: Vec<u8>,
    unknown: Vec<(Kind, Vec<u8>)>,
}

impl Split<'_> {
    /// Splits a core; `None`: it is nothing that can be.
    fn take(&mut self, core: &[u8]) -> Option<()> {
        let mut rest = core;
        let mut may_begin_number = false;
        while let Some((byte, after)) = rest.split_first() {
            if *byte < b' ' {
                return None;
            }
            rest = match byte {
                b'"' => self.take_text(after)?,
                b'0'..=b'9' if may_begin_number => self.take_number(rest)?,
                other => {
                    self.skeleton.push(*other);
                    after
                }
            };
            may_begin_number = matches!(byte, b':' | b',' | b'[');
        }
        Some(())
    }

    /// Takes a text, of which the first quote was taken; answers what is behind it.
    fn take_text<'c>(&mut self, from: &'c [u8]) -> Option<&'c [u8]> {
        let mut end = 0;
        loop {
            match from.get(end)? {
                b'"' => break,
                b'\\' => end += 2,
                byte if *byte < b' ' => return None,
                _ => end += 1,
            }
        }
        let (text, rest) = from.split_at_checked(end)?;
        let (_, rest) = rest.split_first()?;
        if rest.first() == Some(&b':') {
            self.skeleton.push(b'"');
            self.skeleton.extend_from_slice(text);
            self.skeleton.push(b'"');
        } else {
            let placeholder = self.take_value(text);
            self.skeleton.push(placeholder);
        }
        Some(rest)
    }

    fn take_value(&mut self, text: &[u8]) -> u8 {
        if let Some(id) = uuid(text) {
            match self.context.uuids {
                [own, ..] if *own == id => return OWN,
                [_, other, ..] if *other == id => return OTHER,
                _ => {}
            }
            self.values.extend_from_slice(&id);
            return UUID;
        }
        if let Some(placeholder) = self.take_hex(text) {
            return placeholder;
        }
        let since = time(text).and_then(|at| at.checked_sub(self.context.recorded_at));
        if let Some(since) = since {
            bytes::push_signed(&mut self.values, since);
            return TIME;
        }
        push_word(self.table, &mut self.values, &mut self.unknown, text);
        TEXT
    }

    fn take_hex(&mut self, text: &[u8]) -> Option<u8> {
        if text.len() < HEX_MIN {
            return None;
        }
        if text.len() == DIGEST_TEXT {
            return push_bytes_of_hex(&mut self.values, text).map(|()| DIGEST);
        }
        let before = self.values.len();
        push_number(&mut self.values, text.len() as u64 / 2);
        let taken = push_bytes_of_hex(&mut self.values, text);
        if taken.is_none() {
            self.values.truncate(before);
        }
        taken.map(|()| HEX)
    }

    /// Takes a number as JSON writes it without sign, fraction and exponent; whatever else begins with a digit stays in
    /// the skeleton.
    fn take_number<'c>(&mut self, from: &'c [u8]) -> Option<&'c [u8]> {
        let digits = from.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (text, rest) = from.split_at_checked(digits)?;
        let ends = matches!(rest.first(), Some(b',' | b'}' | b']'));
        let is_canonical = text.len() == 1 || text.first() != Some(&b'0');
        match std::str::from_utf8(text).ok()?.parse() {
            Ok(number) if ends && is_canonical => {
                self.skeleton.push(NUMBER);
                push_number(&mut self.values, number);
            }
            _ => self.skeleton.extend_from_slice(text),
        }
        Some(rest)
    }
}

/// Writes a text as a number of the dictionary, or as it is.
fn push_word(table: &Table, out: &mut Vec<u8>, unknown: &mut Vec<(Kind, Vec<u8>)>, text: &[u8]) {
    if let Some(number) = table.number(Kind::Word, text) {
        push_number(out, number.into());
        return;
    }
    out.push(0);
    push_number(out, text.len() as u64);
    out.extend_from_slice(text);
    if table.has_room(Kind::Word, text) {
        unknown.push((Kind::Word, text.to_vec()));
    }
}

/// Packs blobs. Where they are a sequence of paths and ciphertexts, each with its length before it, the paths become words.
pub(super) fn blobs(table: &Table, blobs: &[u8]) -> Packed {
    let mut packed = Packed { bytes: Vec::with_capacity(blobs.len() + 1), unknown: vec![] };
    packed.bytes.push(KNOWN);
    let mut rest = Reader(blobs);
    while !rest.0.is_empty() {
        let Some((path, ciphertext)) = rest.blob() else { return raw(blobs) };
        push_word(table, &mut packed.bytes, &mut packed.unknown, path);
        push_number(&mut packed.bytes, ciphertext.len() as u64);
        packed.bytes.extend_from_slice(ciphertext);
    }
    packed
}

/// Reads what [`blobs`] packed; `None`: these are no such bytes.
pub(super) fn unpack_blobs(table: &Table, packed: &[u8]) -> Option<Vec<u8>> {
    let (tag, rest) = packed.split_first()?;
    match *tag {
        RAW => return Some(rest.to_vec()),
        KNOWN => {}
        _ => return None,
    }
    let mut out = Vec::with_capacity(packed.len() + 64);
    let mut rest = Reader(rest);
    while !rest.0.is_empty() {
        let path = match rest.number()? {
            0 => rest.counted()?,
            number => &table.term(Kind::Word, number)?[..],
        };
        let ciphertext = rest.counted()?;
        out.extend_from_slice(&u16::try_from(path.len()).ok()?.to_be_bytes());
        out.extend_from_slice(path);
        out.extend_from_slice(&u32::try_from(ciphertext.len()).ok()?.to_be_bytes());
        out.extend_from_slice(ciphertext);
    }
    Some(out)
}
