//! The hashes of the tree in files, one file per level of tiles.
//!
//! A tile is 256 hashes. File 0 holds the hash of every leaf, file 1 the root of every full tile of file 0, and so on:
//! the layout of C2SP's tlog-tiles, so that a tile is a slice of a file. The files only grow. They can be made anew
//! from the log, so nothing waits for them to be durable but a checkpoint.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::merkle::{Hash, Nodes, root_of};

/// Hashes of a tile.
pub const TILE: u64 = 256;
/// Levels of tiles; enough for 2^64 leaves.
pub const LEVELS: usize = 8;
const HASH: u64 = 32;

struct Level {
    file: File,
    hashes: u64,
}

/// The files of a tree.
pub struct Tiles {
    dir: PathBuf,
    levels: Mutex<Vec<Level>>,
}

impl Tiles {
    /// Opens the files of this directory, making what does not exist, and forgets what lies beyond `size` leaves.
    ///
    /// # Errors
    /// The files cannot be read or written.
    pub fn open(dir: &Path, size: u64) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let tiles = Self { dir: dir.into(), levels: Mutex::default() };
        tiles.truncate(size)?;
        Ok(tiles)
    }

    fn levels(&self) -> MutexGuard<'_, Vec<Level>> {
        self.levels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what lies beyond `size` leaves.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn truncate(&self, size: u64) -> io::Result<()> {
        let mut levels = self.levels();
        levels.clear();
        let mut below = u64::MAX;
        let mut wanted = size;
        for number in 0..LEVELS {
            let path = self.dir.join(format!("level-{number}"));
            let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
            // A level cannot hold more than the full tiles below it give.
            let hashes = (file.metadata()?.len() / HASH).min(wanted).min(below);
            file.set_len(hashes * HASH)?;
            below = hashes / TILE;
            wanted /= TILE;
            levels.push(Level { file, hashes });
        }
        complete(&mut levels)
    }

    /// How many leaves it holds.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.levels().first().map_or(0, |level| level.hashes)
    }

    /// Adds leaves.
    ///
    /// # Errors
    /// The files cannot be written; what was written in part is forgotten by the next `truncate`.
    pub fn append(&self, leaves: &[Hash]) -> io::Result<()> {
        let mut levels = self.levels();
        if let Some(first) = levels.first_mut() {
            push(first, leaves)?;
        }
        complete(&mut levels)
    }

    /// Makes durable what was added.
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn sync(&self) -> io::Result<()> {
        let changed: Vec<File> = self
            .levels()
            .iter()
            .filter(|level| level.hashes > 0)
            .map(|l| l.file.try_clone())
            .collect::<Result<_, _>>()?;
        changed.iter().try_for_each(File::sync_data)
    }

    /// Hashes of a level, from one index to another.
    ///
    /// # Errors
    /// They are not there or cannot be read.
    pub fn hashes(&self, level: usize, from: u64, to: u64) -> io::Result<Vec<Hash>> {
        let levels = self.levels();
        let missing = || io::Error::new(io::ErrorKind::NotFound, "the tree does not hold these hashes");
        let level = levels.get(level).filter(|level| to <= level.hashes && from <= to).ok_or_else(missing)?;
        read(level, from, to)
    }
}

fn read(level: &Level, from: u64, to: u64) -> io::Result<Vec<Hash>> {
    let mut bytes = vec![0; usize::try_from((to - from) * HASH).unwrap_or(usize::MAX)];
    level.file.read_exact_at(&mut bytes, from * HASH)?;
    Ok(bytes.as_chunks::<32>().0.to_vec())
}

fn push(level: &mut Level, hashes: &[Hash]) -> io::Result<()> {
    level.file.write_all_at(hashes.as_flattened(), level.hashes * HASH)?;
    level.hashes += hashes.len() as u64;
    Ok(())
}

/// Adds the roots of full tiles to the level above, as far as they lack.
fn complete(levels: &mut [Level]) -> io::Result<()> {
    for above in 1..levels.len() {
        let (lower, upper) = levels.split_at_mut(above);
        let (Some(lower), Some(upper)) = (lower.last(), upper.first_mut()) else { return Ok(()) };
        while upper.hashes < lower.hashes / TILE {
            let from = upper.hashes * TILE;
            // Many tiles at once when a tree is made anew.
            let to = (lower.hashes / TILE).min(upper.hashes + TILE) * TILE;
            let hashes = read(lower, from, to)?;
            let roots: Vec<Hash> = hashes.chunks_exact(usize::try_from(TILE).unwrap_or(1)).map(root_of).collect();
            push(upper, &roots)?;
        }
    }
    Ok(())
}

impl Nodes for Tiles {
    type Error = io::Error;

    fn node(&self, level: u32, index: u64) -> io::Result<Hash> {
        let (tile, within) = (level / 8, level % 8);
        let from = index << within;
        let hashes = self.hashes(usize::try_from(tile).unwrap_or(LEVELS), from, from + (1 << within))?;
        Ok(root_of(&hashes))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::super::merkle::{self, extends, includes};
    use super::*;

    fn leaves(from: u64, to: u64) -> Vec<Hash> {
        (from..to).map(|n| merkle::leaf(&[&n.to_be_bytes()])).collect()
    }

    #[test]
    fn roots_and_proofs_are_those_of_the_whole_list_at_every_size() {
        let dir = tempfile::tempdir().unwrap();
        let tiles = Tiles::open(dir.path(), 0).unwrap();
        let mut size = 0;
        for added in [1, 254, 1, 1, 255, 700, 3, 65_536 - 1_215, 1, 300] {
            tiles.append(&leaves(size, size + added)).unwrap();
            size += added;
            let all = leaves(0, size);
            assert_eq!(tiles.size(), size);
            let root = tiles.root(size).unwrap();
            assert_eq!(root, root_of(&all), "at {size}");
            for index in [0, size / 3, size - 1] {
                let proof = tiles.inclusion(index, size).unwrap();
                assert!(includes(&root, size, index, &all[usize::try_from(index).unwrap()], &proof));
            }
            for old in [1, size / 2, size - 1].into_iter().filter(|old| (1..size).contains(old)) {
                let proof = tiles.consistency(old, size).unwrap();
                assert!(extends((old, &tiles.root(old).unwrap()), (size, &root), &proof), "{old} of {size}");
            }
        }
    }

    #[test]
    fn a_torn_or_missing_file_is_cut_back_and_filled_up() {
        let dir = tempfile::tempdir().unwrap();
        let root = {
            let tiles = Tiles::open(dir.path(), 0).unwrap();
            tiles.append(&leaves(0, 70_000)).unwrap();
            tiles.root(60_000).unwrap()
        };
        std::fs::remove_file(dir.path().join("level-1")).unwrap();
        let torn = OpenOptions::new().write(true).open(dir.path().join("level-0")).unwrap();
        torn.set_len(69_000 * 32 + 5).unwrap();
        let tiles = Tiles::open(dir.path(), u64::MAX).unwrap();
        assert_eq!(tiles.size(), 69_000);
        assert_eq!(tiles.root(60_000).unwrap(), root);
        let tiles = Tiles::open(dir.path(), 60_000).unwrap();
        assert_eq!((tiles.size(), tiles.root(60_000).unwrap()), (60_000, root));
        assert!(tiles.root(60_001).is_err());
    }
}
