//! What QEMU prints: into a file, because QEMU outlives us and must never write into a pipe without
//! reader; from there into our log.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Enough for the last message; QEMU says little.
const TAIL: u64 = 4096;

/// The file, and how much of it is in our log.
pub(crate) struct Output {
    path: PathBuf,
    logged: u64,
}

impl Output {
    /// Begins a new file for a VM to be started, and returns the ends for its output and errors.
    pub(crate) fn begin(path: &Path) -> io::Result<(Self, File, File)> {
        File::create(path)?;
        // Appending, so that neither end overwrites the other.
        let file = File::options().append(true).open(path)?;
        let second = file.try_clone()?;
        Ok((Self { path: path.to_owned(), logged: 0 }, file, second))
    }

    /// Goes on with the file of a VM that runs; what it printed so far is old news.
    pub(crate) fn resume(path: &Path) -> Self {
        let logged = std::fs::metadata(path).map(|m| m.len()).unwrap_or(0);
        Self { path: path.to_owned(), logged }
    }

    /// Puts what is new into the log.
    pub(crate) fn log_news(&mut self) {
        let Ok(text) = read_from(&self.path, self.logged) else { return };
        self.logged += text.len() as u64;
        for line in String::from_utf8_lossy(&text).lines().filter(|line| !line.trim().is_empty()) {
            tracing::warn!(target: "qemu", "{line}");
        }
    }

    /// Returns the end of what was printed, as one line.
    pub(crate) fn tail(&self) -> String {
        let length = std::fs::metadata(&self.path).map(|m| m.len()).unwrap_or(0);
        let text = read_from(&self.path, length.saturating_sub(TAIL)).unwrap_or_default();
        String::from_utf8_lossy(&text).lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("; ")
    }
}

fn read_from(path: &Path, start: u64) -> io::Result<Vec<u8>> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(start))?;
    let mut text = Vec::new();
    file.take(1 << 20).read_to_end(&mut text)?;
    Ok(text)
}
