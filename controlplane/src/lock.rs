//! A lock on a file that one process has.
//!
//! Apart from those who take one because of what they share: the holder before may seem to hold on for a moment. A program
//! that one of its threads was just starting has its descriptors until it is executed.

use std::fs::{File, TryLockError};
use std::time::{Duration, Instant};

/// Takes the lock of a file for as long as it is open.
///
/// # Errors
/// Somebody else has it, for longer than that moment; or the file cannot be locked.
pub(crate) fn take(file: &File) -> Result<(), TryLockError> {
    let until = Instant::now() + GRACE;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < until => std::thread::sleep(PAUSE),
            taken => return taken,
        }
    }
}

/// How long a lock that is held is tried for, and how often.
const GRACE: Duration = Duration::from_millis(300);
const PAUSE: Duration = Duration::from_millis(5);
