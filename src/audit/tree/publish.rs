//! Replacing the file of the newest checkpoint.

use std::fs::{File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::crash_point;

/// How the files that are not published yet are named.
const PREFIX: &str = ".checkpoint-";
const SUFFIX: &str = ".new";

/// Replaces a file as a whole, durably: whoever reads it, also after a crash, sees the old note or the new one. The new
/// note is first written to a file with a name of its own, because several nodes may keep their copy at one path.
pub(in crate::audit) fn publish(path: &Path, note: &str) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut beside = tempfile::Builder::new()
        .prefix(PREFIX)
        .suffix(SUFFIX)
        // A witness may be another user; the umask still applies.
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(dir)?;
    beside.write_all(note.as_bytes())?;
    beside.as_file().sync_all()?;
    crash_point::reach("tree.beside");
    beside.persist(path).map_err(|failed| failed.error)?;
    File::open(dir)?.sync_all()
}

/// Removes what a process that died while it published has left in the directory. Nobody may publish there meanwhile.
pub(super) fn remove_unpublished(dir: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Barrier;

    use super::*;

    #[test]
    fn those_who_publish_at_once_leave_one_whole_note_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("checkpoint");
        let notes: Vec<String> = (1..=8).map(|n: usize| n.to_string().repeat(n * 1_000)).collect();
        let together = Barrier::new(notes.len());
        std::thread::scope(|scope| {
            for note in &notes {
                scope.spawn(|| {
                    together.wait();
                    for _ in 0..50 {
                        publish(&path, note).unwrap();
                        let seen = std::fs::read_to_string(&path).unwrap();
                        assert!(notes.contains(&seen), "half a note was published");
                    }
                });
            }
        });
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_was_not_published_is_removed_and_what_was_stays() {
        let dir = tempfile::tempdir().unwrap();
        publish(&dir.path().join("checkpoint"), "note").unwrap();
        std::fs::write(dir.path().join(".checkpoint-x1.new"), "no").unwrap();
        remove_unpublished(dir.path()).unwrap();
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        assert_eq!(std::fs::read_to_string(dir.path().join("checkpoint")).unwrap(), "note");
    }
}
