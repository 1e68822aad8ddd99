//! Numbers, digits and lengths as packed events hold them.

/// Characters of a UUID as text.
pub(in super::super) const UUID_TEXT: usize = 36;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// No digit: more than any value has, with another one beside it too.
const NONE: u8 = 0xff;

/// The values of lower-case hexadecimal digits, by character.
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut value = 0;
    while value < 16 {
        values[DIGITS[value as usize] as usize] = value;
        value += 1;
    }
    values
};

/// The byte of two lower-case hexadecimal digits.
fn byte([high, low]: [u8; 2]) -> Option<u8> {
    let (high, low) = (VALUES[usize::from(high)], VALUES[usize::from(low)]);
    (high | low != NONE).then_some(high << 4 | low)
}

/// Writes the bytes of lower-case hexadecimal digits; where the text is something else, nothing is written.
pub(super) fn push_bytes_of_hex(out: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    let (pairs, odd) = text.as_chunks::<2>();
    let before = out.len();
    for pair in pairs {
        let Some(byte) = byte(*pair).filter(|_| odd.is_empty()) else {
            out.truncate(before);
            return None;
        };
        out.push(byte);
    }
    odd.is_empty().then_some(())
}

pub(super) fn push_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    let pair = |byte: &u8| [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    out.extend(bytes.iter().flat_map(pair));
}

/// The UUID of a text in lower case with its four hyphens.
pub(in super::super) fn uuid(text: &[u8]) -> Option<[u8; 16]> {
    if text.len() != UUID_TEXT {
        return None;
    }
    let (mut id, mut bytes) = ([0; 16], 0);
    let mut rest = text;
    for group in [8, 4, 4, 4, 12] {
        if rest.len() < text.len() {
            rest = rest.strip_prefix(b"-")?;
        }
        let (digits, behind) = rest.split_at_checked(group)?;
        for pair in digits.as_chunks::<2>().0 {
            *id.get_mut(bytes)? = byte(*pair)?;
            bytes += 1;
        }
        rest = behind;
    }
    Some(id)
}

pub(super) fn push_uuid(out: &mut Vec<u8>, id: &[u8; 16]) {
    let mut text = [0; UUID_TEXT];
    uuid::Uuid::from_bytes(*id).hyphenated().encode_lower(&mut text);
    out.extend_from_slice(&text);
}

/// LEB128.
pub(super) fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    out.push(number.to_le_bytes()[0]);
}

/// Zigzag: small numbers of either sign are short.
pub(super) fn push_signed(out: &mut Vec<u8>, number: i64) {
    push_number(out, (number << 1 ^ number >> 63).cast_unsigned());
}

/// Packed bytes that are still to be read. Each method answers `None` where they end too early.
pub(super) struct Reader<'b>(pub(super) &'b [u8]);

impl<'b> Reader<'b> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn signed(&mut self) -> Option<i64> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// Bytes with their number before them.
    pub(super) fn counted(&mut self) -> Option<&'b [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        self.take(length)
    }

    /// A path and a ciphertext as an event's blobs hold them: each with its length before it, big-endian.
    pub(super) fn blob(&mut self) -> Option<(&'b [u8], &'b [u8])> {
        let length = u16::from_be_bytes(self.array()?);
        let path = self.take(usize::from(length))?;
        let length = u32::from_be_bytes(self.array()?);
        Some((path, self.take(usize::try_from(length).ok()?)?))
    }
}
