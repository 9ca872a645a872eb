//! What a machine's directory tells: locks first, the configuration second, so that a broken
//! configuration hides no running VM.

use std::io;

use rdd_host::lock;

use crate::layout::MachineDir;

/// What the locks say about a machine's processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Neither hostagent nor VM.
    Stopped,
    /// A hostagent without VM: it starts or ends.
    HostagentOnly,
    /// A VM without hostagent: it waits for one to attach.
    VmOnly,
    /// Both.
    Running,
}

/// What a machine's directory tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// What the locks say.
    pub standing: Standing,
    /// The machine is not complete yet.
    pub preparing: bool,
    /// The text of `lima.yaml`; `None` if there is none, or if it is not UTF-8.
    pub template: Option<String>,
    /// There is a disk, or something that may be one.
    pub has_disk: bool,
    /// The machine may not be removed.
    pub protected: bool,
    /// The text of `lima-version`, if there is one.
    pub lima_version: Option<String>,
}

impl Inspection {
    /// Returns Lima's word for it.
    pub fn lima_status(&self) -> &'static str {
        match self.standing {
            Standing::Stopped if self.preparing => "Uninitialized",
            Standing::Stopped => "Stopped",
            Standing::HostagentOnly | Standing::VmOnly => "Broken",
            Standing::Running => "Running",
        }
    }
}

/// Looks at a machine's directory; `None` if there is nothing of that name.
///
/// A directory whose `lima.yaml` is missing or unreadable is no error: its locks count all the same.
///
/// # Errors
///
/// What is there and cannot be looked at, such as a link whose target is away or a lock that cannot
/// be read. Nothing is known of the machine then, least of all that it does not exist or does not run.
pub fn inspect(dir: &MachineDir) -> io::Result<Option<Inspection>> {
    // The link itself: one that leads nowhere at the moment is not gone.
    if let Err(error) = std::fs::symlink_metadata(dir.path()) {
        return if error.kind() == io::ErrorKind::NotFound { Ok(None) } else { Err(error) };
    }
    if !std::fs::metadata(dir.path())?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let standing = match (lock::is_held(&dir.ha_lock())?, lock::is_held(&dir.driver_lock())?) {
        (false, false) => Standing::Stopped,
        (true, false) => Standing::HostagentOnly,
        (false, true) => Standing::VmOnly,
        (true, true) => Standing::Running,
    };
    Ok(Some(Inspection {
        standing,
        preparing: dir.preparing().exists(),
        template: std::fs::read_to_string(dir.lima_yaml()).ok(),
        has_disk: dir.has_disk(),
        protected: dir.is_protected(),
        lima_version: std::fs::read_to_string(dir.lima_version()).ok().map(|v| v.trim().to_owned()),
    }))
}

#[cfg(test)]
mod tests {
    use rdd_host::lock::FileLock;
    use rdd_machine::MachineName;

    use super::*;
    use crate::create_whole;

    #[cfg(unix)]
    #[test]
    fn what_cannot_be_looked_at_is_not_gone() {
        use std::os::unix::fs::symlink;
        let home = tempfile::tempdir().expect("a directory");
        let name = MachineName::new("demo").expect("a name");
        let dir = create_whole(home.path(), &name, "x: 1\n").expect("made");
        symlink(dir.ha_lock(), dir.ha_lock()).expect("a link to itself");
        inspect(&dir).expect_err("a lock that cannot be read");
        std::fs::remove_file(dir.ha_lock()).expect("removed");
        let away = home.path().join("_away");
        std::fs::rename(dir.path(), &away).expect("moved");
        symlink(&away, dir.path()).expect("linked");
        assert!(inspect(&dir).expect("looked").is_some(), "a link is as good as a directory");
        std::fs::rename(&away, home.path().join("_farther")).expect("moved");
        inspect(&dir).expect_err("a link whose target is away");
        std::fs::remove_file(dir.path()).expect("removed");
        std::fs::write(dir.path(), "text").expect("written");
        inspect(&dir).expect_err("not a directory");
    }

    #[test]
    fn locks_tell_even_when_the_configuration_does_not() {
        let home = tempfile::tempdir().expect("a directory");
        let name = MachineName::new("demo").expect("a name");
        assert_eq!(inspect(&MachineDir::new(home.path(), &name)).expect("looked"), None);
        let dir = create_whole(home.path(), &name, "x: 1\n").expect("made");
        let look = || inspect(&dir).expect("looked").expect("there");
        assert_eq!(look().standing, Standing::Stopped);
        assert!(look().preparing);
        assert_eq!(look().lima_status(), "Uninitialized");
        assert_eq!(look().lima_version.as_deref(), Some("2.1.2"));
        let vm = FileLock::try_acquire(&dir.driver_lock()).expect("free");
        std::fs::write(dir.lima_yaml(), [0xff, 0xfe]).expect("written");
        assert_eq!((look().standing, look().lima_status()), (Standing::VmOnly, "Broken"));
        assert_eq!(look().template, None);
        let hostagent = FileLock::try_acquire(&dir.ha_lock()).expect("free");
        assert_eq!(look().standing, Standing::Running);
        drop(vm);
        assert_eq!(look().standing, Standing::HostagentOnly);
        drop(hostagent);
        std::fs::write(dir.ha_pid(), b"1\n").expect("written");
        dir.finish_preparing().expect("finished");
        assert_eq!(look().lima_status(), "Stopped");
        assert_eq!(look().standing, Standing::Stopped, "a number in a file is nothing to go by");
    }
}
