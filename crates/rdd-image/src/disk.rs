//! Disk images as files: what they are, growing them, making empty ones. All functions block.
//!
//! An image from the network is not trusted: what it refers to (a backing file, a data file) would be
//! opened by the hypervisor with the user's rights, so such images are refused, as are formats that
//! we would have to guess.

use std::fmt;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use crate::{place, qcow2};

/// Sizes of disks are multiples of this.
const SECTOR: u64 = 512;

/// A format that a machine's disk can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFormat {
    /// QEMU's own, version 2 or 3.
    Qcow2,
    /// The bytes of the disk as they are.
    Raw,
    /// A CD: an installer or a live system. Never the format of a main disk.
    Iso9660,
}

impl DiskFormat {
    /// Returns the name that QEMU has for it; a CD is `raw` to QEMU.
    pub fn as_str(self) -> &'static str {
        match self {
            DiskFormat::Qcow2 => "qcow2",
            DiskFormat::Raw => "raw",
            DiskFormat::Iso9660 => "iso9660",
        }
    }

    /// Reads what [`DiskFormat::as_str`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Qcow2, Self::Raw, Self::Iso9660].into_iter().find(|format| format.as_str() == text.trim())
    }
}

impl fmt::Display for DiskFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskInfo {
    /// The format.
    pub format: DiskFormat,
    /// The size that a guest sees, in bytes.
    pub virtual_size: u64,
}

/// Why an image cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// We do not use such images.
    #[error("cannot use the disk image {path}: {reason}")]
    Refused {
        /// The image.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The image would become smaller, and its guest would lose data.
    #[error("disk shrinking is not supported: {path} has {}, but {} is asked for",
        rdd_machine::size::display(*current), rdd_machine::size::display(*wanted))]
    Shrink {
        /// The image.
        path: PathBuf,
        /// The size it has.
        current: u64,
        /// The size it should get.
        wanted: u64,
    },
    /// The image could not be read or written.
    #[error("cannot {operation} the disk image {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The image.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl DiskError {
    fn io(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { operation, path, source }
    }
}

/// Returns what an image is, or why it cannot be used.
pub fn inspect(path: &Path) -> Result<DiskInfo, DiskError> {
    let mut file = File::open(path).map_err(DiskError::io("open", path))?;
    let length = file.metadata().map_err(DiskError::io("read", path))?.len();
    let head = read_at(&mut file, 0, 512).map_err(DiskError::io("read", path))?;
    let refuse = |reason: String| DiskError::Refused { path: path.to_owned(), reason };
    if head.starts_with(qcow2::MAGIC) {
        let header = qcow2::Header::read(&head).map_err(refuse)?;
        return Ok(DiskInfo { format: DiskFormat::Qcow2, virtual_size: header.virtual_size });
    }
    if let Some(name) = foreign_format(&head) {
        return Err(refuse(format!("its format is {name}; qcow2, raw and ISO 9660 are supported")));
    }
    if length == 0 {
        return Err(refuse("it is empty".into()));
    }
    let descriptor = read_at(&mut file, 16 * 2048, 6).map_err(DiskError::io("read", path))?;
    let format = if descriptor == b"\x01CD001" { DiskFormat::Iso9660 } else { DiskFormat::Raw };
    // The hypervisor rounds up, and so do we.
    Ok(DiskInfo { format, virtual_size: length.next_multiple_of(SECTOR) })
}

/// Grows an image to `size` bytes, which is rounded up to whole sectors. An image that has that size
/// already is left as it is; one that is larger is refused. Nobody else may use the image.
pub fn grow(path: &Path, format: DiskFormat, size: u64) -> Result<(), DiskError> {
    let size = size.next_multiple_of(SECTOR);
    match format {
        DiskFormat::Qcow2 => {
            // What the header says is checked here and not by whoever opens the image next.
            let current = inspect(path)?.virtual_size;
            if needs_growth(path, current, size)? {
                qcow2::grow(path, size).map_err(DiskError::io("grow", path))?;
            }
        }
        DiskFormat::Raw => {
            let file = File::options().write(true).open(path).map_err(DiskError::io("open", path))?;
            let current = file.metadata().map_err(DiskError::io("read", path))?.len();
            if needs_growth(path, current, size)? {
                file.set_len(size).and_then(|()| file.sync_all()).map_err(DiskError::io("grow", path))?;
            }
        }
        DiskFormat::Iso9660 => {
            let reason = "a CD cannot grow".to_owned();
            return Err(DiskError::Refused { path: path.to_owned(), reason });
        }
    }
    Ok(())
}

/// Makes an empty image; it gets its name when it is complete.
pub fn create_empty(path: &Path, format: DiskFormat, size: u64) -> Result<(), DiskError> {
    let size = size.next_multiple_of(SECTOR);
    let file = place::temporary(path).map_err(DiskError::io("create", path))?;
    let made = match format {
        DiskFormat::Qcow2 => qcow2::create(file.path(), size),
        DiskFormat::Raw | DiskFormat::Iso9660 => file.as_file().set_len(size),
    };
    let done = made.and_then(|()| place::publish(file, path, &crate::blocking::Job::default()));
    done.map_err(DiskError::io("create", path))
}

fn needs_growth(path: &Path, current: u64, wanted: u64) -> Result<bool, DiskError> {
    if wanted < current {
        return Err(DiskError::Shrink { path: path.to_owned(), current, wanted });
    }
    Ok(wanted > current)
}

fn read_at(file: &mut File, at: u64, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(at))?;
    file.take(length).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns the name of a format that we do not use, if the first bytes are of one.
fn foreign_format(head: &[u8]) -> Option<&'static str> {
    let formats: [(usize, &[u8], &str); 13] = [
        (0, b"KDMV", "VMDK"),
        (0, b"COWD", "VMDK"),
        (0, b"# Disk DescriptorFile", "VMDK"),
        (0, b"vhdxfile", "VHDX"),
        (0, b"conectix", "VHD"),
        (0x40, &[0x7f, 0x10, 0xda, 0xbe], "VDI"),
        (0, b"QED\0", "QED"),
        (0, b"WithoutFreeSpace", "Parallels"),
        (0, b"WithouFreSpacExt", "Parallels"),
        (0, b"LUKS\xba\xbe", "LUKS"),
        (0, &[0x1f, 0x8b], "gzip"),
        (0, &[0xfd, b'7', b'z', b'X', b'Z', 0], "xz"),
        (0, &[0x28, 0xb5, 0x2f, 0xfd], "zstd"),
    ];
    let is = |(at, magic, _): &(usize, &[u8], &str)| head.get(*at..).is_some_and(|rest| rest.starts_with(magic));
    formats.into_iter().find(is).map(|(_, _, name)| name)
}
