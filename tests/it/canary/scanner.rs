//! Looks for a text in files, also where it is encoded.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};
use flate2::read::{GzDecoder, ZlibDecoder};

/// A form a text may have in a file.
struct Needle {
    encoding: &'static str,
    bytes: Vec<u8>,
}

/// Finds texts whatever they are encoded as.
pub struct Scanner {
    needles: Vec<Needle>,
    /// Pairs of bytes a needle begins with.
    begins: Vec<bool>,
}

/// The characters of a base64 text that depend on `text` alone where it begins `offset` bytes into a group of three.
fn base64_core(alphabet: &GeneralPurpose, text: &str, offset: usize) -> Vec<u8> {
    let padded = [&vec![0; offset], text.as_bytes()].concat();
    let encoded = alphabet.encode(&padded).into_bytes();
    let (first, whole) = ((offset * 8).div_ceil(6), padded.len() * 8 / 6);
    encoded[first..whole].to_vec()
}

fn rot13(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => (byte - b'a' + 13) % 26 + b'a',
        b'A'..=b'Z' => (byte - b'A' + 13) % 26 + b'A',
        other => other,
    }
}

/// The characters of a base32 text (RFC 4648) that depend on `text` alone where it begins a group of five bytes.
fn base32_core(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bits: Vec<u8> = text.bytes().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let digits = bits.chunks_exact(5).map(|five| five.iter().fold(0, |digit, bit| digit << 1 | bit));
    digits.map(|digit: u8| ALPHABET[usize::from(digit)]).collect()
}

/// What comes out of a gzip or zlib stream that begins here, if one does.
fn inflated(bytes: &[u8]) -> Option<Vec<u8>> {
    const MAX: u64 = 1 << 20;
    let mut out = Vec::new();
    // What is cut short has been read as far as it goes.
    let _ = match bytes {
        [0x1f, 0x8b, 8, ..] => GzDecoder::new(bytes).take(MAX).read_to_end(&mut out),
        [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..] => ZlibDecoder::new(bytes).take(MAX).read_to_end(&mut out),
        _ => return None,
    };
    Some(out)
}

/// Every form a text is looked for in.
pub fn encodings(text: &str) -> Vec<(&'static str, Vec<u8>)> {
    let each = |form: &dyn Fn(u8) -> String| text.bytes().map(form).collect::<String>().into_bytes();
    let mut all = vec![
        ("raw", text.as_bytes().to_vec()),
        ("lower case", text.to_lowercase().into_bytes()),
        ("upper case", text.to_uppercase().into_bytes()),
        ("reversed", text.bytes().rev().collect()),
        ("UTF-16LE", text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ("UTF-16BE", text.encode_utf16().flat_map(u16::to_be_bytes).collect()),
        ("hex", hex::encode(text).into_bytes()),
        ("HEX", hex::encode_upper(text).into_bytes()),
        ("percent", each(&|byte| format!("%{byte:02x}"))),
        ("PERCENT", each(&|byte| format!("%{byte:02X}"))),
        ("JSON escapes", each(&|byte| format!("\\u{byte:04x}"))),
        ("JSON ESCAPES", each(&|byte| format!("\\u{byte:04X}"))),
    ];
    let spaced = |form: &dyn Fn(u8) -> String, between: &str| {
        text.bytes().map(form).collect::<Vec<_>>().join(between).into_bytes()
    };
    all.extend([
        ("UTF-32LE", text.chars().flat_map(|c| (c as u32).to_le_bytes()).collect()),
        ("UTF-32BE", text.chars().flat_map(|c| (c as u32).to_be_bytes()).collect()),
        ("HTML entities", each(&|byte| format!("&#{byte};"))),
        ("HTML hex entities", each(&|byte| format!("&#x{byte:x};"))),
        ("octal escapes", each(&|byte| format!("\\{byte:03o}"))),
        ("hex escapes", each(&|byte| format!("\\x{byte:02x}"))),
        ("quoted-printable", each(&|byte| format!("={byte:02X}"))),
        ("hex with spaces", spaced(&|byte| format!("{byte:02x}"), " ")),
        ("hex with commas", spaced(&|byte| format!("0x{byte:02x}"), ", ")),
        ("decimal with commas", spaced(&|byte| byte.to_string(), ",")),
        ("decimal with commas and spaces", spaced(&|byte| byte.to_string(), ", ")),
        ("bits", each(&|byte| format!("{byte:08b}"))),
        ("swapped case", text.bytes().map(|b| if b.is_ascii_alphabetic() { b ^ 0x20 } else { b }).collect()),
        ("rot13", text.bytes().map(rot13).collect()),
        (
            "hex of UTF-16LE",
            hex::encode(text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()).into_bytes(),
        ),
        ("base32", base32_core(text)),
        ("spelled with spaces", spaced(&|byte| char::from(byte).to_string(), " ")),
    ]);
    for offset in 0..3 {
        all.push(("base64", base64_core(&BASE64_STANDARD_NO_PAD, text, offset)));
        all.push(("base64url", base64_core(&BASE64_URL_SAFE_NO_PAD, text, offset)));
    }
    all
}

fn pair(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}

impl Scanner {
    pub fn of(texts: &[&str]) -> Self {
        let needles: Vec<_> =
            texts.iter().flat_map(|text| encodings(text)).map(|(encoding, bytes)| Needle { encoding, bytes }).collect();
        let mut begins = vec![false; 1 << 16];
        needles.iter().for_each(|needle| begins[pair(&needle.bytes)] = true);
        Self { needles, begins }
    }

    /// How the texts are encoded where they are found.
    pub fn found_in(&self, bytes: &[u8]) -> Vec<&'static str> {
        let mut found = vec![];
        for at in 0..bytes.len().saturating_sub(1) {
            let rest = &bytes[at..];
            if self.begins[pair(rest)] {
                found.extend(self.needles.iter().filter(|n| rest.starts_with(&n.bytes)).map(|n| n.encoding));
            }
            if let Some(inner) = inflated(rest)
                && !self.found_in(&inner).is_empty()
            {
                found.push("compressed");
            }
        }
        found
    }

    /// The files below a directory that hold one of the texts, and how; fails where there is no file to look in.
    pub fn found_below(&self, dir: &Path) -> Vec<(PathBuf, Vec<&'static str>)> {
        let files = files(dir);
        assert!(!files.is_empty(), "nothing to look in");
        let looked = files.into_iter().map(|file| {
            let found = self.found_in(&std::fs::read(&file).unwrap());
            (file, found)
        });
        looked.filter(|(_, found)| !found.is_empty()).collect()
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = dir.read_dir().unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
