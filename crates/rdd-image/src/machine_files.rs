//! Where the files lie that preparing is about. Pure: no file is touched here.

use std::path::{Path, PathBuf};

/// The files of a machine that preparing is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MachineFiles {
    /// The image as it was fetched, until it becomes `disk` or `iso`.
    pub image: PathBuf,
    /// The main disk.
    pub disk: PathBuf,
    /// A text file with the format of `disk`.
    pub disk_format: PathBuf,
    /// There while the machine is being created.
    pub preparing: PathBuf,
    /// A text file with the source of the image that the disk was made of.
    pub image_source: PathBuf,
    /// The CD that the machine was created from, if any.
    pub iso: PathBuf,
    /// The kernel for direct boot, if any.
    pub kernel: PathBuf,
    /// A text file with the source of `kernel`.
    pub kernel_source: PathBuf,
    /// Its command line.
    pub kernel_cmdline: PathBuf,
    /// Its initial ram disk, if any.
    pub initrd: PathBuf,
    /// A text file with the source of `initrd`.
    pub initrd_source: PathBuf,
}

impl MachineFiles {
    /// Returns the files with Lima's names in a machine's directory.
    pub fn in_dir(directory: &Path) -> Self {
        let file = |name| directory.join(name);
        Self {
            image: file("image"),
            disk: file("disk"),
            disk_format: file("disk.format"),
            preparing: file(".preparing"),
            image_source: file("image.source"),
            iso: file("iso"),
            kernel: file("kernel"),
            kernel_source: file("kernel.source"),
            kernel_cmdline: file("kernel.cmdline"),
            initrd: file("initrd"),
            initrd_source: file("initrd.source"),
        }
    }
}
