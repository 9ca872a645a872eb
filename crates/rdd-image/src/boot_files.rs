//! What a machine boots with directly: kernel, command line, initial ram disk. They are what the template
//! says now, not what it said when the machine was created.
//!
//! A file that is there and whose source is written down is fetched again only when the source is another
//! one. Without a record it was put there by hand, or by a version that kept none, and stays.

use std::io;
use std::path::{Path, PathBuf};

use rdd_host::files;
use rdd_machine::config::{FileSource, Image};

use crate::cache::{Cache, FetchError};
use crate::machine_files::MachineFiles;
use crate::progress::Progress;
use crate::source;

/// Why the files could not be made what the template says.
#[derive(Debug, thiserror::Error)]
pub enum BootFilesError {
    /// The kernel or the ram disk cannot be had.
    #[error(transparent)]
    Fetch(#[from] FetchError),
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
}

/// Makes the files what `image` says. Harmless to repeat, and to interrupt.
pub(crate) async fn renew(
    image: &Image,
    paths: &MachineFiles,
    cache: &Cache,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<(), BootFilesError> {
    let kernel = (paths.kernel.as_path(), paths.kernel_source.as_path());
    match &image.kernel {
        Some(wanted) => {
            put(&wanted.file, kernel, true, cache, progress).await?;
            write_cmdline(&paths.kernel_cmdline, &wanted.cmdline)?;
        }
        None if source::recorded(kernel.1).is_some() => {
            remove_file(&paths.kernel_cmdline)?;
            remove_recorded(kernel)?;
        }
        None => {}
    }
    let initrd = (paths.initrd.as_path(), paths.initrd_source.as_path());
    match &image.initrd {
        // The kernel undoes the compression of its ram disk itself.
        Some(wanted) => put(wanted, initrd, false, cache, progress).await,
        None if source::recorded(initrd.1).is_some() => remove_recorded(initrd),
        None => Ok(()),
    }
}

/// Removes the files.
pub(crate) fn remove(paths: &MachineFiles) -> Result<(), BootFilesError> {
    remove_file(&paths.kernel_cmdline)?;
    remove_recorded((&paths.kernel, &paths.kernel_source))?;
    remove_recorded((&paths.initrd, &paths.initrd_source))
}

async fn put(
    wanted: &FileSource,
    (file, record): (&Path, &Path),
    decompress: bool,
    cache: &Cache,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<(), BootFilesError> {
    let write = || source::record(record, wanted).map_err(io_error("write", record));
    if !file.exists() {
        // Before the file, so that there is none of unknown source after a crash.
        write()?;
        return Ok(cache.replace(wanted, file, decompress, progress).await?);
    }
    match source::recorded(record) {
        Some(recorded) if recorded.is(wanted) => Ok(()),
        Some(_) => {
            // After the file, so that after a crash it is fetched again.
            cache.replace(wanted, file, decompress, progress).await?;
            write()
        }
        None => write(),
    }
}

fn write_cmdline(path: &Path, cmdline: &str) -> Result<(), BootFilesError> {
    match std::fs::read(path) {
        Ok(present) if present == cmdline.as_bytes() => Ok(()),
        _ if cmdline.is_empty() => remove_file(path),
        _ => files::write_whole(path, cmdline.as_bytes(), 0o644).map_err(io_error("write", path)),
    }
}

/// The record goes last, so that after a crash the file is still known as ours.
fn remove_recorded((file, record): (&Path, &Path)) -> Result<(), BootFilesError> {
    remove_file(file)?;
    remove_file(record)
}

fn remove_file(path: &Path) -> Result<(), BootFilesError> {
    files::remove_file(path).map(drop).map_err(io_error("remove", path))
}

fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BootFilesError {
    let path = path.to_owned();
    move |source| BootFilesError::Io { operation, path, source }
}
