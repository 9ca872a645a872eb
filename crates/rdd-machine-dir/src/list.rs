//! Which machines there are on disk, and the leftovers of interrupted work.

use std::io;
use std::path::Path;

use rdd_host::files;
use rdd_machine::MachineName;

use crate::create::CREATING;
use crate::layout::MachineDir;
use crate::remove::REMOVING;

/// Lists the machines: directories whose name is a machine's name. A home that does not exist has
/// none.
pub fn list(lima_home: &Path) -> io::Result<Vec<MachineDir>> {
    let entries = match std::fs::read_dir(lima_home) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().and_then(|n| MachineName::new(n).ok()) else { continue };
        if entry.path().is_dir() {
            found.push(MachineDir::new(lima_home, &name));
        }
    }
    found.sort_by(|a, b| a.name().cmp(b.name()));
    Ok(found)
}

/// Removes what interrupted work left behind: directories that were being made or removed, and
/// half-written files. Called once at start, by the holder of the instance's lock.
///
/// Returns the number of things removed. What cannot be removed is logged and stays.
pub fn sweep(lima_home: &Path) -> io::Result<usize> {
    let entries = match std::fs::read_dir(lima_home) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut swept = 0;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !(name.starts_with(CREATING) || name.starts_with(REMOVING)) {
            continue;
        }
        match std::fs::remove_dir_all(entry.path()) {
            Ok(()) => swept += 1,
            Err(error) => tracing::warn!(path = ?entry.path(), %error, "cannot remove a leftover"),
        }
    }
    for machine in list(lima_home)? {
        match files::sweep_temporaries(machine.path()) {
            Ok(count) => swept += count,
            Err(error) => tracing::warn!(path = ?machine.path(), %error, "cannot sweep temporary files"),
        }
    }
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_are_listed_and_leftovers_are_swept() {
        let home = tempfile::tempdir().expect("a directory");
        for dir in ["b", "a", "_config", "_disks", ".creating-x-1", ".removing-y-2", ".hidden"] {
            std::fs::create_dir(home.path().join(dir)).expect("made");
        }
        std::fs::write(home.path().join("file"), b"").expect("written");
        let names: Vec<_> =
            list(home.path()).expect("listed").into_iter().map(|m| m.name().as_str().to_owned()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(sweep(home.path()).expect("swept"), 2);
        assert!(home.path().join(".hidden").exists(), "what is not ours stays");
        assert!(list(&home.path().join("none")).expect("no home, no machines").is_empty());
    }
}
