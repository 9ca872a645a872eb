//! Machines as they are seen without a service: by the locks that their processes hold.

use std::io;
use std::path::{Path, PathBuf};

use rdd_host::lock;

/// The locks of a machine's processes: its hostagent's and its VM's.
const LOCKS: [&str; 2] = ["ha.lock", "driver.lock"];

/// Returns whether a VM or its hostagent is alive.
pub(crate) fn any_machine_runs(lima_home: &Path) -> io::Result<bool> {
    for directory in machine_directories(lima_home)? {
        for name in LOCKS {
            if lock::is_held(&directory.join(name))? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Returns the directories of the machines there are.
pub(crate) fn machine_directories(lima_home: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(lima_home) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut directories = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            directories.push(path);
        }
    }
    Ok(directories)
}
