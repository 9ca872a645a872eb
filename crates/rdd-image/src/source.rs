//! Where a file of a machine came from, written down beside it: location and digest, a line each.

use std::io;
use std::path::Path;

use rdd_host::files;
use rdd_machine::config::FileSource;

/// What is written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record(String);

impl Record {
    fn of(source: &FileSource) -> Self {
        Self(format!("{}\n{}\n", source.location, source.digest.as_deref().unwrap_or_default()))
    }

    /// Returns whether a source is the one that is written down.
    pub(crate) fn is(&self, source: &FileSource) -> bool {
        *self == Self::of(source)
    }

    /// Returns whether a source is where the one is that is written down.
    pub(crate) fn is_at(&self, source: &FileSource) -> bool {
        self.0.lines().next() == Some(&source.location)
    }
}

/// Returns what is written down. What cannot be read is as good as missing.
pub(crate) fn recorded(path: &Path) -> Option<Record> {
    std::fs::read_to_string(path).ok().map(Record)
}

/// Writes a source down.
pub(crate) fn record(path: &Path, source: &FileSource) -> io::Result<()> {
    files::write_whole(path, Record::of(source).0.as_bytes(), 0o644)
}
