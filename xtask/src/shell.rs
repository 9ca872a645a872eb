//! Running other programs, and saying what is done and how long it took.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

/// Returns the repository's root.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask lies in the repository").to_owned()
}

/// Returns the build directory.
pub fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// Returns cargo, the one that runs us.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Runs a command, its output going to ours, and fails unless it succeeds.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {}", print(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", print(command));
    }
    Ok(())
}

/// Runs a command quietly and returns what it printed; what it said is in the error if it fails.
pub fn capture(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot run {}", print(command)))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed ({}): {}", print(command), output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns where a program is on PATH, or in the directories of the superuser's programs.
pub fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let extra = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(extra).map(|dir| dir.join(program)).find(|file| file.is_file())
}

/// Returns all files below a directory.
pub fn files_below(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

/// Does a step, showing its name and then the time it took.
pub fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let start = Instant::now();
    print!("  {name} … ");
    std::io::stdout().flush()?;
    match work() {
        Ok(value) => {
            println!("{:.1} s", start.elapsed().as_secs_f64());
            Ok(value)
        }
        Err(error) => {
            println!("failed");
            Err(error)
        }
    }
}

fn print(command: &Command) -> String {
    let words: Vec<_> =
        std::iter::once(command.get_program()).chain(command.get_args()).map(OsStr::to_string_lossy).collect();
    words.join(" ")
}

/// Returns a file in a directory of the build directory, which `unpack` fills if it is not there.
pub fn unpacked(name: &str, program: &str, unpack: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    let dir = target_dir().join(name);
    let found = dir.join(program);
    if found.is_file() {
        return Ok(found);
    }
    step(&format!("unpacking {name}"), || {
        let parent = dir.parent().expect("it lies in the build directory");
        std::fs::create_dir_all(parent)?;
        let work = tempfile::Builder::new().prefix(".unpack-").tempdir_in(parent)?;
        unpack(work.path())?;
        if !work.path().join(program).is_file() {
            bail!("the package holds no {program}");
        }
        if dir.exists() {
            std::fs::remove_dir_all(&dir)?;
        }
        Ok(std::fs::rename(work.keep(), &dir)?)
    })?;
    Ok(found)
}
