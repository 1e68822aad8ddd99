//! Looks for a text in files, also where it is encoded.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::prelude::{BASE64_STANDARD_NO_PAD, BASE64_URL_SAFE_NO_PAD};

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
