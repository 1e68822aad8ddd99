//! JSON Lines: an object on each line.

use std::io::{BufRead, Read as _};

use serde_json::{Map, Value};

use super::{NoRecord, Sink};

/// Characters that are repeated of a line that is none.
const REPEATED_MAX: usize = 1_024;

pub(super) fn read(mut reader: impl BufRead, line_max: u64, sink: &mut Sink<'_>) -> std::io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if reader.by_ref().take(line_max).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        let is_whole = line.ends_with(b"\n") || u64::try_from(line.len()).is_ok_and(|length| length < line_max);
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
            Err(no_record(text, &format!("the line is longer than {line_max} bytes")))
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
