//! What a machine needs on the disk before it can start: its main disk, and a kernel if it is booted
//! directly.
//!
//! ```text
//!   nothing ──fetch──▶ image ──┬─ qcow2, raw ──rename──▶ disk ──grow──▶ ready
//!  (kernel, initrd             └─ ISO ──rename──▶ iso ──create──▶ disk ──▶ ready
//!   come first)
//! ```
//!
//! Each arrow is one rename, so that a crash leaves a state of this picture, and the next call goes
//! on from there. `disk.format` is written before `disk` gets its name: what the format is, is said by
//! whoever looked at the image before a guest could write to it.
//!
//! The picture is for a machine that is being created. One that was complete has a disk, and if that is
//! not where it was, it is missed and never replaced. The kernel and what belongs to it follow the
//! template for as long as the machine lives.

use std::io;
use std::path::{Path, PathBuf};

use rdd_host::files;
use rdd_machine::config::{Arch, Image};
use rdd_machine::{MachineConfig, size};

use crate::blocking::{self, Job};
use crate::boot_files::{self, BootFilesError};
use crate::cache::{Cache, FetchError};
use crate::disk::{self, DiskError, DiskFormat, DiskInfo};
use crate::machine_files::MachineFiles;
use crate::progress::Progress;
use crate::source;

/// What is there, after [`prepare`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// The format of the main disk: qcow2 or raw.
    pub disk_format: DiskFormat,
    /// The size that the guest sees, in bytes.
    pub disk_size: u64,
    /// Whether the machine has a CD to start from.
    pub has_iso: bool,
    /// Whether the machine is booted with a kernel of its own.
    pub has_kernel: bool,
}

/// Why a machine could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The template has no image for the machine's architecture.
    #[error("the template has no image for {}", arch.as_str())]
    NoImage {
        /// The architecture.
        arch: Arch,
    },
    /// No image could be had.
    #[error("{}", join(errors))]
    Images {
        /// Why, for each that was tried.
        errors: Vec<FetchError>,
    },
    /// The kernel or what belongs to it could not be made what the template says.
    #[error(transparent)]
    BootFiles(#[from] BootFilesError),
    /// The disk that the template asks for has no room for its image.
    #[error("the disk of {} is smaller than its image, which has {}; raise `disk` in the template",
        size::display(*disk), size::display(*image))]
    TooSmall {
        /// The size that the template asks for.
        disk: u64,
        /// The size of the image.
        image: u64,
    },
    /// The disk of a machine that was complete is not where it was. It may come back, with all that
    /// is on it, so nothing takes its place.
    #[error("the disk {} {}; put it back, or delete the machine and create it anew", path.display(), where_to(target))]
    DiskGone {
        /// The disk.
        path: PathBuf,
        /// Where it is a link to, if it is one.
        target: Option<PathBuf>,
    },
    /// The image or the disk cannot be used.
    #[error(transparent)]
    Disk(#[from] DiskError),
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

/// Makes what is missing, except the disk of a machine that was complete. Harmless to repeat, and to interrupt; the machine is off and nobody else
/// prepares it. A disk that the template now wants larger grows.
pub async fn prepare(
    config: &MachineConfig,
    paths: &MachineFiles,
    cache: &Cache,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Prepared, PrepareError> {
    if let Some(directory) = paths.disk.parent() {
        files::sweep_temporaries(directory).map_err(io_error("clean up", directory))?;
    }
    if !has_disk(paths)? && ![&paths.image, &paths.iso].iter().any(|path| path.exists()) {
        fetch_first(config, paths, cache, progress).await?;
    } else if let Some(image) = image_of_disk(config, paths) {
        boot_files::renew(image, paths, cache, progress).await?;
    }
    let (paths, disk_size) = (paths.clone(), config.disk);
    blocking::run(|_| {}, move |job| make_disk(&paths, disk_size, job)).await
}

/// Returns whether there is a disk; `false` only for a machine that is being created.
fn has_disk(paths: &MachineFiles) -> Result<bool, PrepareError> {
    let path = &paths.disk;
    match std::fs::metadata(path) {
        Ok(_) => return Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io_error("look at", path)(error)),
    }
    match std::fs::read_link(path) {
        // A link is somebody's will, also in a machine that is new.
        Ok(target) => Err(PrepareError::DiskGone { path: path.clone(), target: Some(target) }),
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_error("look at", path)(error)),
        Err(_) if paths.preparing.exists() => Ok(false),
        Err(_) => Err(PrepareError::DiskGone { path: path.clone(), target: None }),
    }
}

/// Returns the image whose kernel goes with the disk; `None` if that is not known, in a machine that is
/// older than the record.
fn image_of_disk<'a>(config: &'a MachineConfig, paths: &MachineFiles) -> Option<&'a Image> {
    let fitting: Vec<&Image> = config.images.iter().filter(|image| image.file.arch == config.arch).collect();
    match source::recorded(&paths.image_source) {
        // The template may name a newer build by now; the disk stays, and what it boots with follows.
        Some(record) => fitting.iter().find(|image| record.is_at(&image.file)).or(fitting.first()).copied(),
        None => fitting.first().copied().filter(|_| fitting.len() == 1),
    }
}

/// Fetches the first image that can be had, and what belongs to it; the image itself comes last, so
/// that it is only there when the rest is.
async fn fetch_first(
    config: &MachineConfig,
    paths: &MachineFiles,
    cache: &Cache,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<(), PrepareError> {
    let mut errors = Vec::new();
    for image in config.images.iter().filter(|image| image.file.arch == config.arch) {
        // An earlier image may have left its kernel.
        boot_files::remove(paths)?;
        match fetch_image(image, paths, cache, progress).await? {
            Ok(()) => return Ok(()),
            Err(error) => {
                let location = &image.file.location;
                tracing::warn!(location, error = &error as &dyn std::error::Error, "an image cannot be had");
                errors.push(error);
            }
        }
    }
    match errors.is_empty() {
        true => Err(PrepareError::NoImage { arch: config.arch }),
        false => Err(PrepareError::Images { errors }),
    }
}

async fn fetch_image(
    image: &Image,
    paths: &MachineFiles,
    cache: &Cache,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<Result<(), FetchError>, PrepareError> {
    match boot_files::renew(image, paths, cache, progress).await {
        Err(BootFilesError::Fetch(error)) => return Ok(Err(error)),
        renewed => renewed?,
    }
    let record = &paths.image_source;
    source::record(record, &image.file).map_err(io_error("write", record))?;
    Ok(cache.fetch(&image.file, &paths.image, true, progress).await)
}

/// Ends before its next step when nobody waits for it: whoever abandoned it may go on from what it left.
pub(crate) fn make_disk(paths: &MachineFiles, disk_size: u64, job: &Job) -> Result<Prepared, PrepareError> {
    if !has_disk(paths)? {
        if paths.image.exists() {
            let info = disk::inspect(&paths.image)?;
            if info.format == DiskFormat::Iso9660 {
                rename(&paths.image, &paths.iso, job)?;
            } else {
                if info.virtual_size > disk_size {
                    return Err(PrepareError::TooSmall { disk: disk_size, image: info.virtual_size });
                }
                write_format(paths, info.format, job)?;
                rename(&paths.image, &paths.disk, job)?;
            }
        }
        if !has_disk(paths)? {
            write_format(paths, DiskFormat::Qcow2, job)?;
            job.check().map_err(io_error("create", &paths.disk))?;
            disk::create_empty(&paths.disk, DiskFormat::Qcow2, disk_size)?;
        }
    }
    let format = disk_format(paths, job)?;
    job.check().map_err(io_error("grow", &paths.disk))?;
    disk::grow(&paths.disk, format, disk_size)?;
    Ok(Prepared {
        disk_format: format,
        disk_size: disk_size.next_multiple_of(512),
        has_iso: paths.iso.exists(),
        has_kernel: paths.kernel.exists(),
    })
}

/// Returns the recorded format. A disk of the original has no record; what it is, is found out once.
fn disk_format(paths: &MachineFiles, job: &Job) -> Result<DiskFormat, PrepareError> {
    let recorded = std::fs::read_to_string(&paths.disk_format).ok().and_then(|text| DiskFormat::parse(&text));
    if let Some(format) = recorded.filter(|format| *format != DiskFormat::Iso9660) {
        return Ok(format);
    }
    let DiskInfo { format, .. } = disk::inspect(&paths.disk)?;
    // A hybrid CD image that somebody installed to: to the hypervisor its bytes are a disk.
    let format = if format == DiskFormat::Iso9660 { DiskFormat::Raw } else { format };
    write_format(paths, format, job)?;
    Ok(format)
}

fn write_format(paths: &MachineFiles, format: DiskFormat, job: &Job) -> Result<(), PrepareError> {
    let path = &paths.disk_format;
    job.check().map_err(io_error("write", path))?;
    files::write_whole(path, format!("{format}\n").as_bytes(), 0o644).map_err(io_error("write", path))
}

fn rename(from: &Path, to: &Path, job: &Job) -> Result<(), PrepareError> {
    job.check().map_err(io_error("rename", from))?;
    std::fs::rename(from, to).map_err(io_error("rename", from))?;
    let directory = to.parent().unwrap_or(Path::new("."));
    files::sync_directory(directory).map_err(io_error("sync", directory))
}

fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> PrepareError {
    let path = path.to_owned();
    move |source| PrepareError::Io { operation, path, source }
}

fn where_to(target: &Option<PathBuf>) -> String {
    match target {
        Some(target) => format!("is a link to {}, which is not there (is its volume mounted?)", target.display()),
        None => "is missing".to_owned(),
    }
}

fn join(errors: &[FetchError]) -> String {
    let (mut text, separator) = match errors {
        [_] => ("cannot get the image: ".to_owned(), ""),
        _ => ("cannot get any image:".to_owned(), "\n  "),
    };
    for error in errors {
        text.push_str(separator);
        text.push_str(&error.to_string());
        // Several causes cannot be one error's source, so they are told here.
        let mut source = std::error::Error::source(error);
        while let Some(cause) = source {
            text.push_str(&format!(": {cause}"));
            source = cause.source();
        }
    }
    text
}
