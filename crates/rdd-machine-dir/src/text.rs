//! The small text files of a machine: its template and the token of its boot.

use std::io;

use rdd_host::files;

use crate::layout::MachineDir;

impl MachineDir {
    /// Writes the template, whole.
    pub fn write_template(&self, text: &str) -> io::Result<()> {
        files::write_whole(&self.lima_yaml(), text.as_bytes(), 0o644)
    }

    /// Reads the template.
    pub fn read_template(&self) -> io::Result<String> {
        std::fs::read_to_string(self.lima_yaml())
    }

    /// Returns whether the machine may not be removed. What cannot be looked at may say so.
    pub fn is_protected(&self) -> bool {
        // In a file that lies in the place of the directory there is nothing.
        self.protected().try_exists().unwrap_or_else(|error| error.kind() != io::ErrorKind::NotADirectory)
    }

    /// Returns whether the machine has a disk. What cannot be looked at may be one.
    pub(crate) fn has_disk(&self) -> bool {
        let is_gone = |path| matches!(std::fs::symlink_metadata(path), Err(e) if e.kind() == io::ErrorKind::NotFound);
        ![self.disk(), self.diffdisk()].into_iter().all(is_gone)
    }

    /// Says that the machine is complete.
    pub fn finish_preparing(&self) -> io::Result<()> {
        match std::fs::remove_file(self.preparing()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes the token of the boot that begins now.
    pub fn write_boot_id(&self, token: &str) -> io::Result<()> {
        files::write_whole(&self.boot_id(), token.as_bytes(), 0o600)
    }

    /// Reads the token of the present boot; `None` if none was written.
    pub fn read_boot_id(&self) -> io::Result<Option<String>> {
        match std::fs::read_to_string(self.boot_id()) {
            Ok(token) => Ok(Some(token.trim().to_owned()).filter(|t| !t.is_empty())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use rdd_machine::MachineName;

    use crate::create_whole;

    #[test]
    fn texts_come_back() {
        let home = tempfile::tempdir().expect("a directory");
        let dir = create_whole(home.path(), &MachineName::new("demo").expect("a name"), "x: 1\n").expect("made");
        assert_eq!(dir.read_boot_id().expect("read"), None);
        dir.write_boot_id("iid-1").expect("written");
        assert_eq!(dir.read_boot_id().expect("read").as_deref(), Some("iid-1"));
        dir.write_template("x: 2\n").expect("written");
        assert_eq!(dir.read_template().expect("read"), "x: 2\n");
        dir.finish_preparing().expect("removed");
        dir.finish_preparing().expect("removed already");
        assert!(!dir.preparing().exists());
    }
}
