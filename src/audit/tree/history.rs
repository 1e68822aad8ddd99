//! The checkpoints that were published, a line each; not every one of them, but one a minute.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The file of earlier checkpoints. It only grows.
pub(super) struct History {
    file: File,
    /// Size of the log at each checkpoint, and where its line begins.
    index: Vec<(u64, u64)>,
    end: u64,
}

impl History {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
        let (mut index, mut end) = (Vec::new(), 0);
        for line in BufReader::new(&file).split(b'\n') {
            let line = line?;
            if let Ok(note) = serde_json::from_slice::<String>(&line)
                && let Some(size) = note.lines().nth(1).and_then(|size| size.parse().ok())
            {
                index.push((size, end));
            }
            end += line.len() as u64 + 1;
        }
        // A line that was cut short is ended, so that the next one stands alone.
        let mut history = Self { end: file.metadata()?.len(), file, index };
        if history.end < end {
            history.file.write_all(b"\n")?;
            history.end = end;
        }
        Ok(history)
    }

    /// Keeps a checkpoint; answers whether it is new.
    pub(super) fn keep(&mut self, size: u64, note: &str) -> io::Result<bool> {
        if self.index.last().is_some_and(|(newest, _)| *newest >= size) {
            return Ok(false);
        }
        let mut line = serde_json::to_vec(note)?;
        line.push(b'\n');
        self.file.write_all(&line)?;
        self.index.push((size, self.end));
        self.end += line.len() as u64;
        Ok(true)
    }

    /// The newest checkpoint of a log of at most that size.
    pub(super) fn at_most(&self, size: u64) -> io::Result<Option<String>> {
        let after = self.index.partition_point(|(of, _)| *of <= size);
        after.checked_sub(1).map(|at| self.read(at)).transpose()
    }

    /// Every checkpoint, in order.
    pub(super) fn all(&self) -> impl Iterator<Item = io::Result<String>> + '_ {
        (0..self.index.len()).map(|at| self.read(at))
    }

    fn read(&self, at: usize) -> io::Result<String> {
        let (_, from) = self.index[at];
        let to = self.index.get(at + 1).map_or(self.end, |(_, next)| *next);
        let mut line = vec![0; usize::try_from(to - from).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut line, from)?;
        // A line that is no checkpoint may stand behind it.
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        Ok(serde_json::from_slice(line)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_newest_checkpoint_before_a_size_is_found_also_after_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("history");
        let note = |size: u64| format!("rollcall/00\n{size}\nroot\n\n\u{2014} signature\n");
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
}
