//! Making a machine's directory, whole or not at all.
//!
//! The directory is built under a name that begins with `.`, which no listing shows, and then
//! renamed. It is born with `.preparing` in it: the machine is complete when that file is removed.

use std::io;
use std::path::{Path, PathBuf};

use rdd_host::files;
use rdd_machine::MachineName;

use crate::layout::{MachineDir, PathTooLong};

/// The Lima version whose layout we follow.
pub const LAYOUT_VERSION: &str = "2.1.2";

/// The prefix of directories that are being made.
pub(crate) const CREATING: &str = ".creating-";

/// Why a machine's directory could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// There is something at that name already.
    #[error("instance {name:?} already exists ({path:?})")]
    Exists {
        /// The machine's name.
        name: String,
        /// What is in the way.
        path: PathBuf,
    },
    /// The template is empty.
    #[error("template of instance {0:?} is empty")]
    EmptyTemplate(String),
    /// The path is too long for the sockets in it.
    #[error(transparent)]
    TooLong(#[from] PathTooLong),
    /// A file could not be written.
    #[error("write {path:?}")]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// Makes the directory of a machine with its template, the layout version and `.preparing`.
///
/// # Guarantees
///
/// After a crash at any point there is either no directory of that name, or a complete one.
pub fn create_whole(lima_home: &Path, name: &MachineName, template: &str) -> Result<MachineDir, CreateError> {
    let dir = MachineDir::new(lima_home, name);
    dir.check_length()?;
    if template.is_empty() {
        return Err(CreateError::EmptyTemplate(name.to_string()));
    }
    let exists = || CreateError::Exists { name: name.to_string(), path: dir.path().to_owned() };
    if std::fs::symlink_metadata(dir.path()).is_ok() {
        return Err(exists());
    }
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CreateError::Io { path, source }
    };
    files::make_private_dir(lima_home).map_err(failed(lima_home))?;
    let prefix = format!("{CREATING}{name}-");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
    let building = builder.tempdir_in(lima_home).map_err(failed(lima_home))?;
    let draft = MachineDir::at(building.path().to_owned(), name);
    let write = |path: PathBuf, bytes: &[u8], mode| files::write_whole(&path, bytes, mode).map_err(failed(&path));
    write(draft.lima_yaml(), template.as_bytes(), 0o644)?;
    write(draft.lima_version(), LAYOUT_VERSION.as_bytes(), 0o444)?;
    write(draft.preparing(), b"", 0o644)?;
    // rename(2) replaces an empty directory, never a full one: what a person keeps there is safe.
    std::fs::rename(draft.path(), dir.path()).map_err(|source| match source.kind() {
        io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => exists(),
        _ => CreateError::Io { path: dir.path().to_owned(), source },
    })?;
    // The directory has moved away under the guard's feet; there is nothing left for it to remove.
    let _moved = building.keep();
    files::sync_directory(lima_home).map_err(failed(lima_home))?;
    Ok(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_born_whole_and_not_twice() {
        let home = tempfile::tempdir().expect("a directory");
        let name = MachineName::new("demo").expect("a name");
        let dir = create_whole(home.path(), &name, "images: []\n").expect("made");
        assert_eq!(std::fs::read_to_string(dir.lima_yaml()).expect("read"), "images: []\n");
        assert!(dir.preparing().exists());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
            assert_eq!((mode(dir.path()), mode(&dir.lima_yaml()), mode(&dir.lima_version())), (0o700, 0o644, 0o444));
        }
        let error = create_whole(home.path(), &name, "images: []\n").expect_err("exists");
        assert!(error.to_string().contains("already exists"), "{error}");
        let names: Vec<_> = std::fs::read_dir(home.path()).expect("read").map(|e| e.expect("e").file_name()).collect();
        assert_eq!(names, ["demo"], "nothing temporary is left");
    }

    #[test]
    fn an_empty_template_makes_no_directory() {
        let home = tempfile::tempdir().expect("a directory");
        let name = MachineName::new("demo").expect("a name");
        assert!(matches!(create_whole(home.path(), &name, ""), Err(CreateError::EmptyTemplate(_))));
        assert!(!home.path().join("demo").exists());
    }
}
