//! JSON Lines: an object on each line.

use std::io::{BufRead, Read as _};

use serde_json::{Map, Value};

use super::{NoRecord, Sink};

/// The longest line: far above every limit of a record.
const LINE_MAX: u64 = 1 << 20;
/// Characters that are repeated of a line that is none.
const REPEATED_MAX: usize = 1_024;

pub(super) fn read(mut reader: impl BufRead, sink: &mut Sink<'_>) -> std::io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let is_whole = line.ends_with(b"\n") || u64::try_from(line.len()).is_ok_and(|length| length < LINE_MAX);
        if !is_whole {
            reader.skip_until(b'\n')?;
        }
        let text = line.trim_ascii();
        if text.is_empty() {
            continue;
        }
        let found = if is_whole {
            serde_json::from_slice::<Map<String, Value>>(text).map_err(|error| no_record(text, &error.to_string()))
        } else {
            Err(no_record(text, &format!("the line is longer than {LINE_MAX} bytes")))
        };
        if !sink(found) {
            return Ok(());
        }
    }
}

fn no_record(text: &[u8], problem: &str) -> NoRecord {
    let text = String::from_utf8_lossy(text).chars().take(REPEATED_MAX).collect();
    NoRecord { text, problem: format!("not a JSON object: {problem}") }
}
