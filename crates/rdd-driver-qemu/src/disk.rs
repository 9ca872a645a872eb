//! The disks of a machine: their formats and, for the additional ones, who uses them.

use std::io::{self, Read};
use std::path::Path;

use rdd_host::files;
use rdd_host::lock::{FileLock, LockError};
use rdd_machine::DriverError;
use rdd_machine::config::{AdditionalDisk, MachineConfig};

use crate::command_line::DiskFile;

/// Returns the format that a disk is opened with.
///
/// It is decided once and then written down beside the disk: a guest that owns a raw disk could
/// otherwise write the header of another format into it, which names files of the host.
pub(crate) fn format(disk: &Path, record: &Path) -> Result<String, DriverError> {
    match std::fs::read_to_string(record) {
        Ok(text) if matches!(text.trim(), "qcow2" | "raw") => return Ok(text.trim().to_owned()),
        Ok(text) => {
            let reason = format!("{} names an unknown disk format: {:?}", record.display(), text.trim());
            return Err(DriverError::Other(reason));
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(file_error("read", record, source)),
    }
    let mut magic = Vec::new();
    std::fs::File::open(disk)
        .and_then(|file| file.take(4).read_to_end(&mut magic))
        .map_err(|source| file_error("read", disk, source))?;
    let format = if magic == *b"QFI\xfb" { "qcow2" } else { "raw" };
    files::write_whole(record, format.as_bytes(), 0o644).map_err(|source| file_error("write", record, source))?;
    Ok(format.to_owned())
}

/// An additional disk, reserved for this machine while the lock lives.
pub(crate) struct Reserved {
    pub(crate) file: DiskFile,
    pub(crate) lock: FileLock,
}

/// Reserves an additional disk. The lock is to be inherited by the VM process.
pub(crate) fn reserve(config: &MachineConfig, index: usize, disk: &AdditionalDisk) -> Result<Reserved, DriverError> {
    let home = config.dir.parent().unwrap_or(&config.dir);
    let dir = home.join("_disks").join(&disk.name);
    let path = dir.join("datadisk");
    if !path.is_file() {
        return Err(DriverError::Other(format!("additional disk {:?} does not exist ({})", disk.name, path.display())));
    }
    let lock = FileLock::try_acquire(&dir.join("in_use.lock")).map_err(|error| match error {
        LockError::Held { .. } => {
            DriverError::Other(format!("additional disk {:?} is used by another machine", disk.name))
        }
        LockError::Io { path, source } => DriverError::File { operation: "lock", path, source },
    })?;
    remember_user(&dir.join("in_use_by"), &config.dir);
    let format = format(&path, &dir.join("datadisk.format"))?;
    Ok(Reserved { file: DiskFile { path, format, serial: AdditionalDisk::serial(index) }, lock })
}

/// The link is for people and for Lima; the lock is what counts.
fn remember_user(link: &Path, machine: &Path) {
    #[cfg(unix)]
    {
        let _ = std::fs::remove_file(link);
        if let Err(error) = std::os::unix::fs::symlink(machine, link) {
            tracing::debug!(%error, link = %link.display(), "cannot note who uses a disk");
        }
    }
    #[cfg(not(unix))]
    let _ = (link, machine);
}

pub(crate) fn file_error(operation: &'static str, path: &Path, source: io::Error) -> DriverError {
    DriverError::File { operation, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdd_machine::MachineName;

    #[test]
    fn a_format_is_decided_once() {
        let dir = tempfile::tempdir().unwrap();
        let (disk, record) = (dir.path().join("disk"), dir.path().join("disk.format"));
        std::fs::write(&disk, [0; 512]).unwrap();
        assert_eq!(format(&disk, &record).unwrap(), "raw");
        // What a guest writes into its disk changes nothing.
        std::fs::write(&disk, b"QFI\xfb and a backing file").unwrap();
        assert_eq!(format(&disk, &record).unwrap(), "raw");
        std::fs::remove_file(&record).unwrap();
        assert_eq!(format(&disk, &record).unwrap(), "qcow2");
        std::fs::write(&record, "vmdk").unwrap();
        assert!(format(&disk, &record).is_err());
    }

    #[test]
    fn one_machine_per_additional_disk() {
        let home = tempfile::tempdir().unwrap();
        let disk = AdditionalDisk { name: "data".into(), format: true, fs_type: String::new(), fs_args: Vec::new() };
        let config = MachineConfig::new(MachineName::new("demo").unwrap(), home.path().join("demo"), "qemu");
        assert!(reserve(&config, 0, &disk).err().unwrap().to_string().contains("does not exist"));
        let dir = home.path().join("_disks/data");
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(dir.join("datadisk"), [0; 512]).unwrap();
        let held = reserve(&config, 0, &disk).unwrap();
        assert_eq!((held.file.format.as_str(), held.file.serial.as_str()), ("raw", "lima-disk-0"));
        assert!(reserve(&config, 0, &disk).err().unwrap().to_string().contains("used by another machine"));
        drop(held);
        reserve(&config, 0, &disk).unwrap();
    }
}
