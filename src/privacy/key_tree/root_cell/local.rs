//! The cell in a local file: two slots, written in place and never by rename, so that overwriting a slot leaves no
//! older copy of it. Finality class C: as final as the disk's own forgetting.

use std::fs::{File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use zeroize::Zeroizing;

use super::super::wrapping::random;
use super::{Root, RootCell, mount};
use crate::privacy::{Error, Finality};
use crate::{crash_point, file_lock};

const SLOT: usize = 4_096;
const MAGIC: &[u8; 8] = b"RLCROOT1";
const HELD: usize = 8 + 16 + 8 + 32;

/// The cell in a local file.
pub(in crate::privacy::key_tree) struct LocalCell {
    file: File,
    path: PathBuf,
    /// Whether it is opened for reading alone: then nothing is destroyed in it either.
    only_read: bool,
}

struct Slot {
    vault: [u8; 16],
    generation: u64,
    root: Root,
}

/// Where a file is or will be, behind links.
fn place(path: &Path) -> std::io::Result<PathBuf> {
    if path.exists() {
        return path.canonicalize();
    }
    let absolute = std::path::absolute(path)?;
    match (absolute.parent(), absolute.file_name()) {
        (Some(parent), Some(name)) => Ok(parent.canonicalize()?.join(name)),
        _ => Err(std::io::ErrorKind::InvalidFilename.into()),
    }
}

fn in_use(path: &Path) -> String {
    format!("the root cell {} is in use; each vault and each share of a root needs a file of its own", path.display())
}

impl LocalCell {
    pub(in crate::privacy::key_tree) fn open(path: &Path, allow_unsuitable_mount: bool) -> Result<Self, Error> {
        let failed = |error| Error::Unavailable(format!("{} cannot be opened: {error}", path.display()));
        // Before it makes anything.
        let path = place(path).map_err(failed)?;
        mount::check(&path, allow_unsuitable_mount)?;
        // O_DSYNC: a write is on the disk when it returns. No call in between could be forgotten or reordered, and a
        // sync of its own after each write would only do the same again.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(libc::O_DSYNC)
            .open(&path)
            .map_err(failed)?;
        match file_lock::take(&file) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Unavailable(in_use(&path))),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let found = file.metadata().map_err(failed)?;
        if found.permissions().mode() & 0o077 != 0 {
            file.set_permissions(Permissions::from_mode(0o600)).map_err(failed)?;
        }
        // Both slots exist from the start, so that writing one never moves the other.
        if found.len() < 2 * SLOT as u64 {
            file.write_all_at(&[0; 2 * SLOT], 0).map_err(failed)?;
            // The file's name too: a root without it would be lost with everything under it.
            if let Some(parent) = path.parent() {
                File::open(parent).and_then(|parent| parent.sync_all()).map_err(failed)?;
            }
        }
        Ok(Self { file, path, only_read: false })
    }

    /// Opens a cell that exists, for reading alone.
    pub(in crate::privacy::key_tree) fn open_to_read(path: &Path) -> Result<Self, Error> {
        let failed = |error| Error::Unavailable(format!("{} cannot be opened: {error}", path.display()));
        Ok(Self { file: File::open(path).map_err(failed)?, path: path.into(), only_read: true })
    }

    fn failed(&self, error: &std::io::Error) -> Error {
        Error::Unavailable(format!("{} cannot be read or written: {error}", self.path.display()))
    }

    fn read(&self, index: usize) -> Result<Option<Slot>, Error> {
        let mut bytes = Zeroizing::new([0_u8; SLOT]);
        self.file.read_exact_at(bytes.as_mut_slice(), (index * SLOT) as u64).map_err(|e| self.failed(&e))?;
        let (held, rest) = bytes.split_at(HELD);
        let whole = held.starts_with(MAGIC) && rest.starts_with(digest(&SHA256, held).as_ref());
        let (Some(vault), Some(generation), Some(root)) = (
            held.get(8..24).and_then(|b| b.try_into().ok()),
            held.get(24..32).and_then(|b| b.try_into().ok()),
            held.get(32..64).and_then(|b| <[u8; 32]>::try_from(b).ok()),
        ) else {
            return Ok(None);
        };
        Ok(whole.then(|| Slot { vault, generation: u64::from_be_bytes(generation), root: Zeroizing::new(root) }))
    }

    fn wipe_all_but(&self, stays: impl Fn(&Slot) -> bool) -> Result<(), Error> {
        for index in 0..2 {
            match self.read(index)? {
                Some(slot) if !stays(&slot) => {
                    crash_point::reach("cell.wipe");
                    self.write(index, &*random::<SLOT>()?)?;
                    crash_point::reach("cell.wiped");
                }
                Some(_) | None => {}
            }
        }
        Ok(())
    }

    fn write(&self, index: usize, bytes: &[u8; SLOT]) -> Result<(), Error> {
        self.file.write_all_at(bytes, (index * SLOT) as u64).map_err(|e| self.failed(&e))
    }
}

impl RootCell for LocalCell {
    fn root(&self, vault: [u8; 16], generation: u64, _: &[u8]) -> Result<Option<Root>, Error> {
        for index in 0..2 {
            if let Some(slot) = self.read(index)?
                && (slot.vault, slot.generation) == (vault, generation)
            {
                return Ok(Some(slot.root));
            }
        }
        Ok(None)
    }

    fn put(&self, vault: [u8; 16], generation: u64, root: &Root) -> Result<Vec<u8>, Error> {
        let current = generation.saturating_sub(1);
        let occupied = self.read(0)?.is_some_and(|slot| (slot.vault, slot.generation) == (vault, current));
        let mut bytes = Zeroizing::new([0_u8; SLOT]);
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..24].copy_from_slice(&vault);
        bytes[24..32].copy_from_slice(&generation.to_be_bytes());
        bytes[32..64].copy_from_slice(root.as_slice());
        let sum = digest(&SHA256, &bytes[..HELD]);
        bytes[HELD..HELD + 32].copy_from_slice(sum.as_ref());
        crash_point::reach("cell.put");
        self.write(usize::from(occupied), &bytes)?;
        crash_point::reach("cell.written");
        Ok(vec![])
    }

    fn keep_only(&self, vault: [u8; 16], generation: u64, _: &[u8]) -> Result<(), Error> {
        if self.only_read {
            return Ok(());
        }
        self.wipe_all_but(|slot| (slot.vault, slot.generation) == (vault, generation))
    }

    fn wipe(&self) -> Result<(), Error> {
        self.wipe_all_but(|_| false)
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.read(0)?.is_none() && self.read(1)?.is_none())
    }

    fn class(&self) -> Finality {
        Finality::LocalFile
    }

    fn describe(&self) -> String {
        format!("local file {}, A/B slots in place", self.path.display())
    }

    fn kind(&self) -> String {
        "local file, A/B slots in place".into()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn every_write_to_a_cell_is_durable_when_it_returns() {
        let dir = tempfile::tempdir().unwrap();
        let cell = LocalCell::open(&dir.path().join("root.cell"), false).unwrap();
        let known = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", cell.file.as_raw_fd())).unwrap();
        let flags = known.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
        assert_ne!(i32::from_str_radix(flags, 8).unwrap() & libc::O_DSYNC, 0, "{known}");
    }

    #[test]
    fn a_torn_slot_holds_no_root_and_the_other_one_still_does() {
        let dir = tempfile::tempdir().unwrap();
        let cell = LocalCell::open(&dir.path().join("root.cell"), false).unwrap();
        let (vault, old, new) = ([1; 16], Root::new([2; 32]), Root::new([3; 32]));
        cell.put(vault, 1, &old).unwrap();
        cell.put(vault, 2, &new).unwrap();
        assert_eq!(cell.root(vault, 2, &[]).unwrap(), Some(new));
        for torn in [40_u64, 70] {
            let mut byte = [0];
            cell.file.read_exact_at(&mut byte, SLOT as u64 + torn).unwrap();
            cell.file.write_all_at(&[!byte[0]], SLOT as u64 + torn).unwrap();
            assert_eq!(cell.root(vault, 2, &[]).unwrap(), None, "byte {torn}");
            assert_eq!(cell.root(vault, 1, &[]).unwrap().as_ref(), Some(&old));
            cell.file.write_all_at(&byte, SLOT as u64 + torn).unwrap();
        }
    }
}
