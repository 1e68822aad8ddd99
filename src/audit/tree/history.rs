//! The checkpoints that were published, a line each; not every one of them, but one a minute.
//!
//! The file only grows, by about 150 MB a year. Nothing of it is held in memory: sizes ascend from line to line, so a
//! checkpoint is found by a binary search over the file.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// Bytes read at once; a line is about 300 long.
const BUFFER: usize = 1_024;

/// The file of earlier checkpoints.
pub(super) struct History {
    file: File,
    /// Where the next line begins.
    end: u64,
    /// Size of the log at the last checkpoint; 0: there is none.
    newest: u64,
}

/// A checkpoint in the file.
struct Line {
    /// Size of the log.
    size: u64,
    note: String,
    /// Where the line after it begins.
    next: u64,
}

/// Reads a file from a position on, without moving the position at which it is written.
struct From<'f> {
    file: &'f File,
    at: u64,
}

impl Read for From<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

impl History {
    /// Opens the file, making it where it does not exist. What it reads does not grow with the file.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let mut history = Self { end: file.metadata()?.len(), file, newest: 0 };
        // A line that was cut short is ended, so that the next one stands alone.
        let mut last = [b'\n'];
        if let Some(before) = history.end.checked_sub(1) {
            history.file.read_exact_at(&mut last, before)?;
        }
        if last != [b'\n'] {
            history.append(b"\n")?;
        }
        history.newest = history.newest_of(u64::MAX)?.map_or(0, |line| line.size);
        Ok(history)
    }

    /// Keeps a checkpoint, durably; answers whether it is new.
    pub(super) fn keep(&mut self, size: u64, note: &str) -> io::Result<bool> {
        if self.newest >= size {
            return Ok(false);
        }
        let mut line = serde_json::to_vec(note)?;
        line.push(b'\n');
        self.append(&line)?;
        self.newest = size;
        Ok(true)
    }

    /// Adds whole lines, or nothing.
    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if let Err(error) = self.file.write_all(lines).and_then(|()| self.file.sync_data()) {
            self.file.set_len(self.end)?;
            return Err(error);
        }
        self.end += lines.len() as u64;
        Ok(())
    }

    /// The newest checkpoint of a log of at most that size.
    pub(super) fn at_most(&self, size: u64) -> io::Result<Option<String>> {
        Ok(self.newest_of(size)?.map(|line| line.note))
    }

    /// Every checkpoint, in order.
    pub(super) fn all(&self) -> impl Iterator<Item = io::Result<String>> + '_ {
        let mut from = 0;
        std::iter::from_fn(move || {
            let line = self.first_of(from, self.end).transpose()?;
            Some(line.map(|line| {
                from = line.next;
                line.note
            }))
        })
    }

    fn newest_of(&self, size: u64) -> io::Result<Option<Line>> {
        // Checkpoints that begin before `low` are of at most that size; those that begin at `high` or later are of more.
        let (mut low, mut high, mut found) = (0, self.end, None);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.first_of(middle, high)? {
                Some(line) if line.size <= size => {
                    low = line.next;
                    found = Some(line);
                }
                _ => high = middle,
            }
        }
        Ok(found)
    }

    /// The first checkpoint whose line begins at `from` or later and before `until`. Lines that are none are skipped.
    fn first_of(&self, from: u64, until: u64) -> io::Result<Option<Line>> {
        // The line that `from` is in the middle of is skipped; it is none where the byte before `from` ends a line.
        let mut begins = from.saturating_sub(1);
        let mut reader = BufReader::with_capacity(BUFFER, From { file: &self.file, at: begins });
        let mut bytes = Vec::new();
        if from > 0 {
            begins += reader.read_until(b'\n', &mut bytes)? as u64;
        }
        while begins < until {
            bytes.clear();
            let next = begins + reader.read_until(b'\n', &mut bytes)? as u64;
            let note = serde_json::from_slice::<String>(&bytes).ok();
            let size = note.as_deref().and_then(|note| note.lines().nth(1)?.parse().ok());
            if let (Some(note), Some(size)) = (note, size) {
                return Ok(Some(Line { size, note, next }));
            }
            if next == begins {
                break;
            }
            begins = next;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn note(size: u64) -> String {
        format!("rollcall/00\n{size}\nroot\n\n\u{2014} signature{}\n", "e".repeat(usize::try_from(size % 50).unwrap()))
    }

    #[test]
    fn the_newest_checkpoint_before_a_size_is_found_also_after_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history");
        let mut history = History::open(&path).unwrap();
        assert_eq!(history.at_most(9).unwrap(), None);
        history.keep(3, &note(3)).unwrap();
        history.keep(7, &note(7)).unwrap();
        drop(history);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"\"torn").unwrap();
        let mut history = History::open(&path).unwrap();
        history.keep(9, &note(9)).unwrap();
        let history = History::open(&path).unwrap();
        for (size, found) in [(2, None), (3, Some(3)), (6, Some(3)), (8, Some(7)), (100, Some(9))] {
            assert_eq!(history.at_most(size).unwrap(), found.map(note), "{size}");
        }
        assert_eq!(history.all().map(Result::unwrap).collect::<Vec<_>>(), [note(3), note(7), note(9)]);
    }

    #[test]
    fn every_checkpoint_of_many_is_found_and_none_is_kept_twice() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history");
        let mut history = History::open(&path).unwrap();
        for number in 1..=200 {
            assert!(history.keep(number * 10, &note(number * 10)).unwrap());
            if number % 7 == 0 {
                history.append(b"no checkpoint\n").unwrap();
            }
        }
        let mut history = History::open(&path).unwrap();
        assert!(!history.keep(2_000, &note(2_000)).unwrap());
        for size in 0..2_020 {
            let expected = size.min(2_000) / 10 * 10;
            assert_eq!(history.at_most(size).unwrap(), (expected > 0).then(|| note(expected)), "{size}");
        }
        assert_eq!(history.all().count(), 200);
    }
}
