//! Standard output, for data. A reader that has gone is no failure.

use std::io::{self, Write};

/// Writes data to standard output.
pub(crate) fn write(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Writes a text and a line feed to standard output.
pub(crate) fn line(text: &str) -> io::Result<()> {
    write(format!("{text}\n").as_bytes())
}
