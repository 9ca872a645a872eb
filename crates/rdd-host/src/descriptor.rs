//! Descriptors that tokio watches. For this crate only.

#![expect(unsafe_code, reason = "tokio cannot know that a type keeps its descriptor; for OwnedFd we do")]

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

/// Registers a descriptor with the runtime.
pub(crate) fn watch(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` always returns the same descriptor, and keeps it open until it is
    // dropped, which `AsyncFd` does only after it has deregistered it.
    unsafe { AsyncFd::register(descriptor) }.map_err(io::Error::from)
}
