//! The records of an import as a stranger may send them, for the fuzz target.

use std::path::Path;

use clap::ValueEnum as _;

use super::foreign::Converted;
use super::record::Record;
use super::source::{Found, read_records};
use super::{Foreign, Format, Kind};

/// The longest record.
const RECORD_MAX: u64 = 1 << 10;

/// Reads bytes in each format, and each record as every kind and as an export of every service.
pub fn read(bytes: &[u8]) {
    let mut read = |found: Found| {
        let Ok(fields) = found else { return true };
        for kind in Kind::value_variants() {
            let _ = Record::parse(*kind, fields.clone());
        }
        for from in Foreign::value_variants() {
            if let Converted::User(user) = from.convert(&fields) {
                let _ = Record::parse(Kind::Users, user);
            }
        }
        true
    };
    for format in [Format::Jsonl, Format::Csv] {
        let _ = read_records(Path::new("records"), bytes, format, RECORD_MAX, &mut read);
    }
}
