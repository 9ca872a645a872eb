//! Files that are either there whole or not there: temporary file in the same directory, fsync,
//! rename, fsync of the directory.
//!
//! A process that dies half-way leaves a temporary file named `.NAME.tmp-XXXXXX`;
//! [`sweep_temporaries`] removes such leftovers. Sweep only a directory whose lock you hold, or
//! which nobody else writes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What stands between a file's name and the random part of its temporary file's name.
const TEMPORARY_INFIX: &str = ".tmp-";

/// Writes a file whole: readers see the old content or the new, never a mixture, and after a power
/// cut one of the two.
///
/// `mode` is the Unix mode of the new file; elsewhere it is ignored.
pub fn write_whole(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let directory = parent_of(path)?;
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "path has no file name"))?;
    let mut prefix = std::ffi::OsString::from(".");
    prefix.push(name);
    prefix.push(TEMPORARY_INFIX);
    let mut file = tempfile::Builder::new().prefix(&prefix).rand_bytes(6).tempfile_in(directory)?;
    file.write_all(bytes)?;
    set_mode(file.as_file(), mode)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    sync_directory(directory)
}

/// Removes the temporary files that interrupted calls of [`write_whole`] left in a directory, and
/// returns how many there were. A directory that does not exist has none.
pub fn sweep_temporaries(directory: &Path) -> io::Result<usize> {
    sweep(directory, |_| true)
}

/// Does the same for one file only, for directories in which others may be writing.
pub fn sweep_temporaries_of(path: &Path) -> io::Result<usize> {
    let name = path.file_name().and_then(|name| name.to_str());
    sweep(parent_of(path)?, |of| Some(of) == name)
}

fn sweep(directory: &Path, is_meant: impl Fn(&str) -> bool) -> io::Result<usize> {
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut swept = 0;
    for entry in entries {
        let entry = entry?;
        let is_ours = entry.file_name().to_str().and_then(name_of_temporary).is_some_and(&is_meant);
        if is_ours && entry.file_type()?.is_file() {
            swept += usize::from(remove_file(&entry.path())?);
        }
    }
    Ok(swept)
}

/// Makes a directory and its missing parents, each readable only by the user. What exists keeps
/// its mode.
pub fn make_private_dir(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Removes a file; one that does not exist is removed already. Returns whether it was there.
pub fn remove_file(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes a directory with all that is in it; one that does not exist is removed already.
pub fn remove_dir_all(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

/// Moves a file or directory away, so that from one moment to the next nothing is under its name, and returns the
/// directory beside it that holds it now; `None` if it was not there.
///
/// What takes long to remove, while others may want the name anew, is moved first.
pub fn move_aside(path: &Path) -> io::Result<Option<PathBuf>> {
    let name = path.file_name().ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "path has no file name"))?;
    let mut prefix = std::ffi::OsString::from(".");
    prefix.push(name);
    prefix.push(TEMPORARY_INFIX);
    let parent = parent_of(path)?;
    if !parent.try_exists()? {
        return Ok(None);
    }
    let aside = tempfile::Builder::new().prefix(&prefix).rand_bytes(6).tempdir_in(parent)?;
    match fs::rename(path, aside.path().join(name)) {
        Ok(()) => Ok(Some(aside.keep())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Makes sure that what was created, renamed or removed in a directory stays so after a power cut.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(directory)?.sync_all()?;
    }
    // Windows has no such call; NTFS journals its directories.
    Ok(())
}

fn parent_of(path: &Path) -> io::Result<&Path> {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Ok(Path::new(".")),
        Some(parent) => Ok(parent),
        None => Err(io::Error::new(io::ErrorKind::InvalidInput, "path has no parent directory")),
    }
}

/// Returns which file a temporary file was to become, by its name.
fn name_of_temporary(name: &str) -> Option<&str> {
    let (stem, random) = name.strip_prefix('.')?.rsplit_once(TEMPORARY_INFIX)?;
    let is_random = random.len() == 6 && random.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (!stem.is_empty() && is_random).then_some(stem)
}

#[cfg(unix)]
fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))
}

#[cfg(windows)]
fn set_mode(_: &File, _: u32) -> io::Result<()> {
    Ok(()) // A user's own directories are private by their inherited access lists.
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_with_its_mode() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("config.yaml");
        write_whole(&path, b"one", 0o600).expect("written");
        write_whole(&path, b"two", 0o640).expect("replaced");
        assert_eq!(fs::read(&path).expect("read"), b"two");
        #[cfg(unix)]
        assert_eq!(
            std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).expect("there").permissions()) & 0o777,
            0o640
        );
        assert_eq!(fs::read_dir(directory.path()).expect("listed").count(), 1, "no temporary file stays");
    }

    #[test]
    fn a_failed_write_keeps_what_was_there() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("name");
        fs::create_dir_all(path.join("full")).expect("a directory that cannot be replaced by a file");
        assert!(write_whole(&path, b"x", 0o600).is_err());
        assert!(path.join("full").is_dir());
        assert_eq!(fs::read_dir(directory.path()).expect("listed").count(), 1, "no temporary file stays");
    }

    #[test]
    fn only_our_leftovers_are_swept() {
        let directory = tempfile::tempdir().expect("a directory");
        for name in [".config.yaml.tmp-aB3dE9", ".x.tmp-short", "x.tmp-aB3dE9", ".tmp-aB3dE9", "keep"] {
            fs::write(directory.path().join(name), "").expect("written");
        }
        assert_eq!(sweep_temporaries_of(&directory.path().join("config")).expect("nothing"), 0);
        assert_eq!(sweep_temporaries_of(&directory.path().join("config.yaml")).expect("swept"), 1);
        fs::write(directory.path().join(".config.yaml.tmp-aB3dE9"), "").expect("written");
        assert_eq!(sweep_temporaries(directory.path()).expect("swept"), 1);
        assert!(!directory.path().join(".config.yaml.tmp-aB3dE9").exists());
        assert_eq!(sweep_temporaries(&directory.path().join("missing")).expect("nothing"), 0);
    }

    #[cfg(unix)]
    #[test]
    fn directories_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().expect("a directory");
        let inner = directory.path().join("a/b");
        make_private_dir(&inner).expect("made");
        make_private_dir(&inner).expect("made already");
        for path in [inner.as_path(), inner.parent().expect("a parent")] {
            assert_eq!(fs::metadata(path).expect("there").permissions().mode() & 0o777, 0o700);
        }
    }

    #[test]
    fn what_is_moved_aside_is_whole_and_its_name_is_free() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("d");
        assert_eq!(move_aside(&path).expect("nothing to move"), None);
        assert_eq!(move_aside(&path.join("e")).expect("nothing to move"), None);
        assert_eq!(fs::read_dir(directory.path()).expect("listed").count(), 0);
        fs::create_dir(&path).expect("made");
        fs::write(path.join("f"), "x").expect("written");
        let aside = move_aside(&path).expect("moved").expect("it was there");
        assert!(!path.exists());
        assert_eq!(aside.parent(), Some(directory.path()));
        assert_eq!(fs::read(aside.join("d/f")).expect("read"), b"x");
    }
}
