//! CSV: the first row names the columns.

use std::cell::Cell;
use std::io::{ErrorKind, Read};
use std::path::Path;
use std::rc::Rc;

use csv::{ReaderBuilder, StringRecord};
use serde_json::{Map, Value};

use super::{NoRecord, Sink};
use crate::transfer::Error;

/// Columns that hold numbers.
const NUMBERS: &[&str] = &["minutes", "gender", "role", "level", "group_id"];

pub(super) fn read(path: &Path, reader: impl Read, row_max: u64, sink: &mut Sink<'_>) -> Result<(), Error> {
    let since_row = Rc::new(Cell::new(0));
    let reader = Bounded { reader, since_row: since_row.clone(), row_max };
    let mut rows = ReaderBuilder::new().flexible(true).from_reader(reader);
    let columns = rows.headers().map_err(|error| unreadable(path, error))?.clone();
    for row in rows.into_records() {
        since_row.set(0);
        let found = match row {
            Ok(row) => record(&columns, &row),
            Err(error) if error.is_io_error() => return Err(unreadable(path, error)),
            Err(error) => Err(NoRecord { text: String::new(), problem: error.to_string() }),
        };
        if !sink(found) {
            break;
        }
    }
    Ok(())
}

/// Ends a row that never ends, such as one with a quote that is not closed, before it takes all memory.
struct Bounded<R> {
    reader: R,
    /// Bytes that were read since the last row.
    since_row: Rc<Cell<u64>>,
    row_max: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.since_row.get() > self.row_max {
            let says = format!("a row is longer than {} bytes; is a quote not closed?", self.row_max);
            return Err(std::io::Error::new(ErrorKind::InvalidData, says));
        }
        let count = self.reader.read(buffer)?;
        self.since_row.set(self.since_row.get() + u64::try_from(count).unwrap_or_default());
        Ok(count)
    }
}

fn unreadable(path: &Path, error: csv::Error) -> Error {
    let text = error.to_string();
    match error.into_kind() {
        csv::ErrorKind::Io(error) => Error::file(path)(error),
        _ => Error::Document { path: path.into(), reason: text },
    }
}

/// A row as an object; an empty cell is no member.
fn record(columns: &StringRecord, row: &StringRecord) -> super::Found {
    if columns.len() != row.len() {
        let problem = format!("the row has {} cells, the first row names {} columns", row.len(), columns.len());
        return Err(NoRecord { text: row.iter().collect::<Vec<_>>().join(","), problem });
    }
    let mut fields = Map::new();
    for (column, cell) in columns.iter().zip(row).filter(|(_, cell)| !cell.is_empty()) {
        let (outer, name) = column.split_once('.').map_or((None, column), |(outer, name)| (Some(outer), name));
        // What is none of these is refused by whoever checks the record.
        let value = match (name, cell, cell.parse::<i64>()) {
            ("permanent" | "enabled", "true" | "false", _) => Value::from(cell == "true"),
            (name, _, Ok(number)) if NUMBERS.contains(&name) => Value::from(number),
            _ => Value::from(cell),
        };
        let fields = match outer {
            None => &mut fields,
            Some(outer) => match fields.entry(outer).or_insert_with(|| Value::Object(Map::new())) {
                Value::Object(inner) => inner,
                _ => continue,
            },
        };
        fields.insert(name.to_owned(), value);
    }
    Ok(fields)
}
