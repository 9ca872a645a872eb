//! Puts a copy of a file where it is wanted: whole or not at all, sparse, and without copying a byte
//! where the file system can share them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::blocking::Job;
use crate::decompress::{self, Compression};

/// Runs of zeros of this length become holes.
const HOLE: usize = 64 << 10;

/// Why a file could not be put in its place.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// There is no room. What was there before is still there.
    #[error("no space left on the device for {path}; free some")]
    DiskFull {
        /// The file that was to be written.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("cannot {operation} {path}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The file's compression could not be undone.
    #[error("cannot decompress {location} ({compression})")]
    Decompress {
        /// Where the file came from.
        location: String,
        /// The compression.
        compression: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl PlaceError {
    pub(crate) fn io(operation: &'static str, path: &Path, source: io::Error) -> Self {
        let full = matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        match full {
            true => Self::DiskFull { path: path.to_owned() },
            false => Self::Io { operation, path: path.to_owned(), source },
        }
    }
}

/// Copies `source` to `dest`, decompressed if `decompress` says so and it is compressed. Blocks.
///
/// `location` is the source's name as people know it; its extension tells of a compression that the
/// content then has to have.
pub(crate) fn place(
    mut source: File,
    location: &str,
    dest: &Path,
    decompress: bool,
    job: &Job,
) -> Result<(), PlaceError> {
    let read_error = |error| PlaceError::io("read", Path::new(location), error);
    let compression = match decompress {
        false => None,
        true => {
            let shown = Compression::by_magic(&decompress::head(&mut source).map_err(read_error)?);
            shown.or(Compression::by_name(location))
        }
    };
    let mut file = temporary(dest).map_err(|error| PlaceError::io("create", dest, error))?;
    match compression {
        None => copy(&source, file.as_file(), job).map_err(|error| PlaceError::io("write", dest, error))?,
        Some(compression) => {
            let counted = Counted { inner: source, job: job.clone(), done: 0 };
            let reader = decompress::reader(compression, counted);
            write_sparse(reader, file.as_file_mut(), job).map_err(|error| match error {
                CopyError::Write(error) => PlaceError::io("write", dest, error),
                CopyError::Read(source) => {
                    PlaceError::Decompress { location: location.to_owned(), compression: compression.name(), source }
                }
            })?;
        }
    }
    publish(file, dest, job).map_err(|error| PlaceError::io("write", dest, error))
}

/// Makes a temporary file beside `dest`, named so that leftovers can be recognised.
pub(crate) fn temporary(dest: &Path) -> io::Result<NamedTempFile> {
    let mut prefix = std::ffi::OsString::from(".");
    prefix.push(dest.file_name().unwrap_or_default());
    prefix.push(".tmp-");
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    #[cfg(unix)]
    builder.permissions(mode);
    builder.prefix(&prefix).rand_bytes(6).tempfile_in(dest.parent().unwrap_or(Path::new(".")))
}

/// Gives a temporary file its name, when its bytes are on the disk.
pub(crate) fn publish(file: NamedTempFile, dest: &Path, job: &Job) -> io::Result<()> {
    file.as_file().sync_all()?;
    job.check()?;
    file.persist(dest).map_err(|error| error.error)?;
    rdd_host::files::sync_directory(dest.parent().unwrap_or(Path::new(".")))
}

#[cfg(target_os = "linux")]
fn copy(source: &File, dest: &File, job: &Job) -> io::Result<()> {
    // Btrfs, XFS and others share the blocks until one of the files changes.
    if rustix::fs::ioctl_ficlone(dest, source).is_ok() {
        return Ok(());
    }
    let length = source.metadata()?.len();
    dest.set_len(length)?;
    let mut at = 0;
    while at < length {
        job.check()?;
        let start = match rustix::fs::seek(source, rustix::fs::SeekFrom::Data(at)) {
            Ok(start) => start,
            // The rest is a hole.
            Err(rustix::io::Errno::NXIO) => break,
            // The file system cannot tell.
            Err(_) => at,
        };
        let end = rustix::fs::seek(source, rustix::fs::SeekFrom::Hole(start)).unwrap_or(length);
        // In pieces, to notice soon that nobody waits any more.
        let end = end.min(length).min(start + (64 << 20)).max(start + 1);
        let (mut from, mut to) = (source, dest);
        from.seek(SeekFrom::Start(start))?;
        to.seek(SeekFrom::Start(start))?;
        // The standard library lets the kernel copy between two files.
        let copied = io::copy(&mut from.take(end - start), &mut to)?;
        if copied < end - start {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the source became shorter"));
        }
        at = end;
        job.set_done(at);
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn copy(source: &File, dest: &File, job: &Job) -> io::Result<()> {
    let mut dest = dest.try_clone()?;
    write_sparse(source.try_clone()?, &mut dest, job).map_err(|error| match error {
        CopyError::Read(error) | CopyError::Write(error) => error,
    })
}

enum CopyError {
    Read(io::Error),
    Write(io::Error),
}

fn write_sparse(mut reader: impl Read, dest: &mut File, job: &Job) -> Result<(), CopyError> {
    let mut buffer = vec![0; HOLE];
    let mut length = 0;
    loop {
        job.check().map_err(CopyError::Write)?;
        let mut filled = 0;
        while filled < buffer.len() {
            match reader.read(&mut buffer[filled..]).map_err(CopyError::Read)? {
                0 => break,
                n => filled += n,
            }
        }
        if filled == 0 {
            return dest.set_len(length).map_err(CopyError::Write);
        }
        if buffer[..filled].iter().any(|byte| *byte != 0) {
            dest.seek(SeekFrom::Start(length)).map_err(CopyError::Write)?;
            dest.write_all(&buffer[..filled]).map_err(CopyError::Write)?;
        }
        length += filled as u64;
    }
}

/// Counts what is read for the progress report.
struct Counted {
    inner: File,
    job: Job,
    done: u64,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.done += n as u64;
        self.job.set_done(self.done);
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_apart() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert_eq!(
            PlaceError::io("write", Path::new("/d/disk"), full).to_string(),
            "no space left on the device for /d/disk; free some"
        );
        let other = io::Error::from(io::ErrorKind::PermissionDenied);
        assert_eq!(PlaceError::io("write", Path::new("/d/disk"), other).to_string(), "cannot write /d/disk");
    }

    #[test]
    fn copies_are_equal_and_keep_their_holes() {
        let place = tempfile::tempdir().expect("a directory");
        let source = place.path().join("source");
        let mut file = File::create(&source).expect("created");
        file.write_all(b"start").expect("written");
        file.seek(SeekFrom::Start(40 << 20)).expect("sought");
        file.write_all(b"middle").expect("written");
        file.set_len((80 << 20) + 3).expect("sized");
        let dest = place.path().join("dest");
        super::place(File::open(&source).expect("open"), "source", &dest, true, &Job::default()).expect("placed");
        assert!(std::fs::read(&source).expect("read") == std::fs::read(&dest).expect("read"));
        #[cfg(unix)]
        {
            use std::os::unix::fs::{MetadataExt, PermissionsExt};
            let dest = std::fs::metadata(&dest).expect("metadata");
            assert!(dest.blocks() * 512 < 4 << 20, "{} blocks", dest.blocks());
            assert_eq!(dest.permissions().mode() & 0o777, 0o644);
        }
    }
}
