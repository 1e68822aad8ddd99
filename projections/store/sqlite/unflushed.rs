//! Whether a store that was not flushed is whole.
//!
//! What a process wrote is in the kernel's cache when the process dies, however it dies, and reaches the disk from there. Only
//! where the kernel itself goes down (a power cut, a panic, a reset) may the file be any mixture of old and new pages, and
//! `SQLite` has no checksums that would tell. So a mark stands beside the file while it is used, flushed before the
//! first write that is not: the boot of the kernel, and the inode of the file. A store whose mark is of another boot, or
//! of another file (it was copied while it was used), is not trusted: it is removed and built anew.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Where Linux tells which boot this is: a random id that every container on the machine sees alike.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Says that a store was written and not flushed.
#[derive(Debug)]
pub(super) struct Mark(PathBuf);

/// The file of that name with this behind it.
pub(super) fn with_suffix(store: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(store);
    name.push(suffix);
    name.into()
}

fn mark_of(store: &Path) -> PathBuf {
    with_suffix(store, "-unflushed")
}

/// What the mark of a store says as long as it is whole; `None`: this system does not tell one boot from the next.
fn content(store: &Path) -> io::Result<Option<String>> {
    let boot = match fs::read_to_string(BOOT_ID) {
        Ok(boot) => boot,
        Err(_) => return Ok(None),
    };
    Ok(Some(format!("{} {}\n", boot.trim(), fs::metadata(store)?.ino())))
}

fn absent_as_none<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Removes a store that may be torn.
///
/// # Errors
/// A file cannot be read or removed.
pub(super) fn remove_if_torn(store: &Path) -> io::Result<()> {
    let Some(marked) = absent_as_none(fs::read(mark_of(store)))? else { return Ok(()) };
    let Some(whole) = absent_as_none(content(store))? else { return Ok(()) };
    if whole.is_some_and(|whole| whole.as_bytes() == marked) {
        return Ok(());
    }
    tracing::warn!(
        store = %store.display(),
        "the machine went down, or the file was copied, before the read models were flushed: they are built anew"
    );
    // The mark goes last: whoever is interrupted here begins again.
    for file in [with_suffix(store, "-wal"), with_suffix(store, "-shm"), store.to_owned()] {
        absent_as_none(fs::remove_file(file))?;
    }
    flush_directory(store)
}

fn flush_directory(store: &Path) -> io::Result<()> {
    let directory = store.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(directory)?.sync_all()
}

impl Mark {
    /// Marks a store that is about to be written without flushing it. When this returns, the mark is on the disk. `None`:
    /// this system does not tell one boot from the next, so the store has to be flushed as it is written.
    ///
    /// # Errors
    /// The mark cannot be written.
    pub(super) fn set(store: &Path) -> io::Result<Option<Self>> {
        let (path, Some(content)) = (mark_of(store), content(store)?) else { return Ok(None) };
        if absent_as_none(fs::read(&path))?.is_none_or(|marked| marked != content.as_bytes()) {
            let new = with_suffix(store, "-unflushed.new");
            let mut file = File::create(&new)?;
            file.write_all(content.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, &path)?;
            flush_directory(store)?;
        }
        Ok(Some(Self(path)))
    }

    /// Takes the mark away from a store that is flushed.
    pub(super) fn clear(self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::warn!(%error, "the mark of an unflushed read store stays; after a reboot it is built anew");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// A file as a store that is in use.
    fn marked(dir: &Path) -> PathBuf {
        let store = dir.join("read.db");
        for file in [store.clone(), with_suffix(&store, "-wal"), with_suffix(&store, "-shm")] {
            fs::write(file, "pages").unwrap();
        }
        Mark::set(&store).unwrap().unwrap();
        store
    }

    #[test]
    fn a_store_is_trusted_under_the_boot_it_was_written_in_and_not_under_another() {
        let dir = tempfile::tempdir().unwrap();
        let store = marked(dir.path());
        remove_if_torn(&store).unwrap();
        assert!(store.exists(), "the process died, the kernel did not");

        let mark = fs::read_to_string(mark_of(&store)).unwrap();
        let (_, inode) = mark.split_once(' ').unwrap();
        for other in [format!("00000000-0000-0000-0000-000000000000 {inode}"), String::new(), mark.replace('\n', "")] {
            let store = marked(dir.path());
            fs::write(mark_of(&store), other).unwrap();
            remove_if_torn(&store).unwrap();
            let left: Vec<_> = fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            assert_eq!(left, ["read.db-unflushed"], "the mark stays until the next store has its own");
        }
    }

    #[test]
    fn a_store_that_was_copied_while_it_was_used_is_not_trusted() {
        let (dir, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let store = marked(dir.path());
        let copied = elsewhere.path().join("read.db");
        fs::copy(&store, &copied).unwrap();
        fs::copy(mark_of(&store), mark_of(&copied)).unwrap();
        remove_if_torn(&copied).unwrap();
        assert!(!copied.exists() && store.exists());
    }

    #[test]
    fn a_store_without_a_mark_was_flushed_and_a_mark_without_a_store_is_of_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = marked(dir.path());
        Mark::set(&store).unwrap().unwrap().clear();
        remove_if_torn(&store).unwrap();
        assert!(store.exists() && !mark_of(&store).exists());
        fs::write(mark_of(&store), "another boot").unwrap();
        fs::remove_file(&store).unwrap();
        remove_if_torn(&store).unwrap();
        fs::write(&store, "new").unwrap();
        Mark::set(&store).unwrap().unwrap();
        remove_if_torn(&store).unwrap();
        assert!(store.exists());
    }
}
