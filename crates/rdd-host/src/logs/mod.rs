//! Log files with a stable name: `STEM.log` is the one being written, `STEM.1.log`, `STEM.2.log`, …
//! are those of earlier runs.
//!
//! Rotation happens at a start, never while somebody writes; whoever rotates holds the lock that
//! says so.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::files;

#[cfg(target_os = "linux")]
mod follow;
#[cfg(target_os = "linux")]
pub use follow::Follower;

/// How many earlier logs stay.
const KEPT: u64 = 5;

/// Returns the path of the log being written.
pub fn path(directory: &Path, stem: &str) -> PathBuf {
    directory.join(format!("{stem}.log"))
}

/// Returns an error with its causes, on one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Returns the first line of a text log.
pub fn text_header(title: &str) -> String {
    format!("=== {title} ===")
}

/// Returns the first line of a log whose lines are JSON.
pub fn json_header(title: &str) -> String {
    serde_json::json!({ "title": title }).to_string()
}

/// Rotates, and opens a new log. `header` is its first line, as in [`text_header`].
///
/// Makes the directory if it is missing. `keep_all` keeps all earlier logs.
pub fn open_rotated(directory: &Path, stem: &str, keep_all: bool, header: Option<&str>) -> io::Result<File> {
    files::make_private_dir(directory)?;
    rotate(directory, stem, keep_all, None)?;
    open(directory, stem, header)
}

/// Opens `STEM.log`, which [`rotate`] has moved out of the way. `header` is its first line.
pub fn open(directory: &Path, stem: &str, header: Option<&str>) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path(directory, stem))?;
    if let Some(header) = header {
        writeln!(file, "{header}")?;
    }
    Ok(file)
}

/// Renames `STEM.log` to `STEM.N.log`, N one above the highest there is, and removes those more
/// than five back, but not number `kept`. Returns N; without a `STEM.log` nothing happens.
pub fn rotate(directory: &Path, stem: &str, keep_all: bool, kept: Option<u64>) -> io::Result<Option<u64>> {
    let current = path(directory, stem);
    if !current.exists() {
        return Ok(None);
    }
    let numbers = earlier(directory, stem)?;
    let newest = numbers.iter().max().unwrap_or(&0) + 1;
    fs::rename(&current, numbered(directory, stem, newest))?;
    if !keep_all {
        for old in numbers.into_iter().filter(|number| number + KEPT <= newest && Some(*number) != kept) {
            files::remove_file(&numbered(directory, stem, old))?;
        }
    }
    Ok(Some(newest))
}

/// Makes the standard streams of this process lead to files: output, and errors.
pub fn redirect_standard_streams(output: &File, errors: &File) -> io::Result<()> {
    #[cfg(unix)]
    {
        rustix::stdio::dup2_stdout(output)?;
        rustix::stdio::dup2_stderr(errors)?;
    }
    #[cfg(not(unix))]
    let _ = (output, errors); // Comes with the issue that brings the Windows service.
    Ok(())
}

/// Moves the logs (`*.log`) of a directory that is about to be removed into `log_dir/NAME`, or into
/// `NAME.2` to `NAME.1000` if that is taken. Returns where they are now; `None` if there were none.
pub fn preserve(directory: &Path, log_dir: &Path, name: &str) -> io::Result<Option<PathBuf>> {
    let mut logs = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.path().extension().is_some_and(|extension| extension == "log") {
            logs.push(entry);
        }
    }
    if logs.is_empty() {
        return Ok(None);
    }
    let target = make_unused_dir(log_dir, name)?;
    for log in logs {
        move_file(&log.path(), &target.join(log.file_name()))?;
    }
    Ok(Some(target))
}

fn make_unused_dir(parent: &Path, name: &str) -> io::Result<PathBuf> {
    files::make_private_dir(parent)?;
    for number in 1..=1000 {
        let target = if number == 1 { parent.join(name) } else { parent.join(format!("{name}.{number}")) };
        if !target.exists() {
            files::make_private_dir(&target)?;
            return Ok(target);
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{name}.2 to {name}.1000 all exist")))
}

fn move_file(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            fs::copy(from, to)?;
            fs::remove_file(from)
        }
        result => result,
    }
}

fn numbered(directory: &Path, stem: &str, number: u64) -> PathBuf {
    directory.join(format!("{stem}.{number}.log"))
}

fn earlier(directory: &Path, stem: &str) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| {
            let digits = name.strip_prefix(stem)?.strip_prefix('.')?.strip_suffix(".log")?;
            // "+1" and "01" are not names that we give.
            digits.parse::<u64>().ok().filter(|number| number.to_string() == digits)
        });
        numbers.extend(number);
    }
    Ok(numbers)
}

#[cfg(test)]
mod tests;
