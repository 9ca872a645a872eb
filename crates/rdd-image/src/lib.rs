//! Disk images: getting them, checking them, and making a machine's disk of them.
//!
//! [`Cache::fetch`] has a file from a URL or a path, with its digest checked and its compression
//! undone. [`disk`] looks at disk images and grows them. [`prepare()`] does everything that a machine
//! needs before a start, and is harmless to repeat. The engine and the hostagent talk to it.
//! It must not know drivers or how a machine's directory is laid out: paths are handed in.
//!
//! Nothing here starts a program: no `qemu-img`, no `xz`.

mod blocking;
mod boot_files;
mod cache;
mod decompress;
mod digest;
pub mod disk;
mod download;
mod machine_files;
mod place;
mod prepare;
mod progress;
mod qcow2;
mod source;

pub use boot_files::BootFilesError;
pub use cache::{Cache, FetchError};
pub use digest::Digest;
pub use download::{DownloadError, Policy};
pub use machine_files::MachineFiles;
pub use place::PlaceError;
pub use prepare::{PrepareError, Prepared, prepare};
pub use progress::{Progress, Stage};

#[cfg(test)]
mod tests;
