//! Locks on files that keep a second process out.

use std::fs::{File, TryLockError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a lock is waited for that somebody holds: a process that was just killed lets go a moment later, and a child
/// that is being started holds the files of its parent until it runs its own program.
const WAIT_MAX: Duration = Duration::from_secs(1);
const RETRY_AFTER: Duration = Duration::from_millis(20);

/// Takes the lock of a file; waits for at most a second. It blocks the thread: for the start of a process only.
///
/// # Errors
/// Somebody else holds it, or it cannot be locked.
pub(crate) fn take(file: &File) -> Result<(), TryLockError> {
    let by = Instant::now() + WAIT_MAX;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < by => thread::sleep(RETRY_AFTER),
            locked => return locked,
        }
    }
}
