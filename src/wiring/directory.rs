//! The data directory: made where it is missing, closed to other users, and kept to one process.

use std::fs::{self, File, Permissions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::Error;
use crate::file_lock;

/// The rights of all other users, none of which a data directory may grant. Its group may have some if another user owns it.
const WORLD: u32 = 0o007;
const OWNER_ONLY: u32 = 0o700;

/// Makes the data directory if it is missing, closes it to other users and takes its lock, so that no other process
/// uses it.
///
/// # Errors
/// It cannot be made or used, everybody on this machine can get into it, or another process has it.
pub(super) fn lock(path: &Path) -> Result<File, Error> {
    let unusable = |source| Error::Unusable { path: path.into(), source };
    fs::create_dir_all(path).map_err(unusable)?;
    close_to_others(path)?;
    let lock = File::create(path.join("lock")).map_err(unusable)?;
    match file_lock::take(&lock) {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(Error::Locked(path.into())),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

/// Keeps other users of the machine out: the directory holds keys. A volume of an orchestrator belongs to root and is
/// given to a group of the service alone (`fsGroup`): its mode cannot be changed, and need not be unless everybody may
/// get into it.
fn close_to_others(path: &Path) -> Result<(), Error> {
    let unusable = |source| Error::Unusable { path: path.into(), source };
    let mode = fs::metadata(path).map_err(unusable)?.permissions().mode() & 0o777;
    if mode == OWNER_ONLY {
        return Ok(());
    }
    match fs::set_permissions(path, Permissions::from_mode(OWNER_ONLY)) {
        Ok(()) => Ok(()),
        Err(error) if is_of_another_owner(&error) && mode & WORLD == 0 => Ok(()),
        Err(error) if is_of_another_owner(&error) => Err(Error::Exposed { path: path.into(), mode }),
        Err(error) => Err(unusable(error)),
    }
}

fn is_of_another_owner(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem)
}
