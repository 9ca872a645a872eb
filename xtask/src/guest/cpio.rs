//! The initial ram disk's archive format: cpio "newc" (Linux, `Documentation/driver-api/early-userspace/buffer-format.rst`).
//!
//! Written here and not by the cpio program, so that device nodes, owners and setuid bits need no root.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::shell;

struct Entry {
    mode: u32,
    data: Vec<u8>,
    device: (u32, u32),
}

/// An archive in the making, owned by root throughout.
#[derive(Default)]
pub struct Archive(BTreeMap<String, Entry>);

impl Archive {
    /// Adds a directory.
    pub fn dir(&mut self, path: &str, mode: u32) {
        self.insert(path, 0o040_000 | mode, Vec::new(), (0, 0));
    }

    /// Adds a file.
    pub fn file(&mut self, path: &str, data: impl Into<Vec<u8>>, mode: u32) {
        self.insert(path, 0o100_000 | mode, data.into(), (0, 0));
    }

    /// Adds a file of the host; a link is followed.
    pub fn copy(&mut self, path: &str, from: &Path, mode: u32) -> Result<()> {
        let data = std::fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        self.file(path, data, mode);
        Ok(())
    }

    /// Adds a kernel module, without its debugging symbols.
    pub fn module(&mut self, path: &str, from: &Path) -> Result<()> {
        let stripped = tempfile::NamedTempFile::new()?;
        shell::capture(Command::new("strip").args(["--strip-debug", "-o"]).arg(stripped.path()).arg(from))?;
        self.copy(path, stripped.path(), 0o644)
    }

    /// Adds a symbolic link, unless the path is taken.
    pub fn link(&mut self, path: &str, to: &str) {
        if !self.0.contains_key(path) {
            self.insert(path, 0o120_777, to.as_bytes().to_vec(), (0, 0));
        }
    }

    /// Adds a character device.
    pub fn character_device(&mut self, path: &str, mode: u32, device: (u32, u32)) {
        self.insert(path, 0o020_000 | mode, Vec::new(), device);
    }

    fn insert(&mut self, path: &str, mode: u32, data: Vec<u8>, device: (u32, u32)) {
        self.0.insert(path.to_owned(), Entry { mode, data, device });
    }

    /// Returns the archive.
    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::new();
        let trailer = Entry { mode: 0, data: Vec::new(), device: (0, 0) };
        let entries = self.0.iter().map(|(path, entry)| (path.as_str(), entry)).chain([("TRAILER!!!", &trailer)]);
        for (inode, (path, entry)) in entries.enumerate() {
            let (size, name_size) = (entry.data.len() as u32, path.len() as u32 + 1);
            let (major, minor) = entry.device;
            let fields = [inode as u32 + 1, entry.mode, 0, 0, 1, 0, size, 0, 0, major, minor, name_size, 0];
            out.extend_from_slice(b"070701");
            for field in fields {
                out.extend_from_slice(format!("{field:08X}").as_bytes());
            }
            out.extend_from_slice(path.as_bytes());
            out.push(0);
            pad(&mut out, 4);
            out.extend_from_slice(&entry.data);
            pad(&mut out, 4);
        }
        pad(&mut out, 512);
        out
    }
}

fn pad(out: &mut Vec<u8>, to: usize) {
    out.resize(out.len().next_multiple_of(to), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_what_the_kernel_reads() {
        let mut archive = Archive::default();
        archive.file("a", *b"hello", 0o644);
        let out = archive.finish();
        assert_eq!(out.len() % 512, 0);
        assert!(out.starts_with(b"07070100000001000081A4"));
        let text = String::from_utf8_lossy(&out);
        assert!(text.contains("hello") && text.contains("TRAILER!!!"));
    }
}
