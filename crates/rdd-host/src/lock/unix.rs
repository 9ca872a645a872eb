//! Locks by open file description (`F_OFD_SETLK`).
//!
//! They are inherited like `flock`'s and freed like them, and, unlike them, can be asked about
//! (`F_OFD_GETLK`) without being taken for a moment.

#![expect(unsafe_code, reason = "neither std nor rustix offers locks by open file description")]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

pub(super) fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Returns whether the lock is ours now.
pub(super) fn try_lock(file: &File) -> io::Result<bool> {
    let mut request = whole_file();
    match fcntl(file, libc::F_OFD_SETLK, &mut request) {
        Ok(()) => Ok(true),
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EACCES)) => Ok(false),
        Err(error) => Err(error),
    }
}

pub(super) fn is_locked(file: &File) -> io::Result<bool> {
    let mut request = whole_file();
    fcntl(file, libc::F_OFD_GETLK, &mut request)?;
    Ok(request.l_type != libc::F_UNLCK as libc::c_short)
}

/// Returns whether `path` still leads to this very file.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match std::fs::metadata(path) {
        Ok(there) => Ok(ours.dev() == there.dev() && ours.ino() == there.ino()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

fn whole_file() -> libc::flock {
    // SAFETY: `flock` is a C struct of integers, for which all bits zero is a valid value. The
    // fields that stay zero mean: from the start, to the end of the file, and no process id, which
    // locks by open file description require.
    let mut request: libc::flock = unsafe { std::mem::zeroed() };
    request.l_type = libc::F_WRLCK as libc::c_short;
    request.l_whence = libc::SEEK_SET as libc::c_short;
    request
}

fn fcntl(file: &File, command: libc::c_int, request: &mut libc::flock) -> io::Result<()> {
    loop {
        // SAFETY: the descriptor is open because `file` is borrowed, and the three commands used
        // here read and write exactly one `struct flock`, which the exclusive borrow provides.
        let result = unsafe { libc::fcntl(file.as_raw_fd(), command, std::ptr::from_mut(request)) };
        if result == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}
