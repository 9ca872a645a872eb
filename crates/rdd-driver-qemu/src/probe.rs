//! What a QEMU program is and can: asked once per program file, then remembered on disk.
//!
//! Asking starts the program twice, about 0.1 s; the answer can change only when the file does.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use rdd_host::files;
use rdd_machine::DriverError;
use serde::{Deserialize, Serialize};

use crate::accelerator::Accelerator;

/// A program that does not answer by then is broken.
const PATIENCE: Duration = Duration::from_secs(10);
/// Older ones lack what the command line uses.
const OLDEST: (u64, u64, u64) = (6, 2, 0);

/// What a QEMU program is and can.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Abilities {
    /// As in `7.2.22`.
    pub(crate) version: String,
    /// In QEMU's words; those that we do not know are left in.
    pub(crate) accelerators: Vec<String>,
}

impl Abilities {
    /// Returns whether this is at least the version: major, minor, patch.
    pub(crate) fn is_at_least(&self, version: (u64, u64, u64)) -> bool {
        numbers(&self.version) >= version
    }

    pub(crate) fn accelerators(&self) -> Vec<Accelerator> {
        self.accelerators.iter().filter_map(|word| Accelerator::parse(word)).collect()
    }
}

/// The file that remembers: program path to what was found.
#[derive(Default, Serialize, Deserialize)]
struct Memory(BTreeMap<PathBuf, Remembered>);

#[derive(Serialize, Deserialize)]
struct Remembered {
    /// Modification time in nanoseconds since 1970, and size: a program is replaced, not edited.
    modified: u128,
    size: u64,
    abilities: Abilities,
}

/// Returns what `program` can, from memory if the file has not changed since.
pub(crate) async fn abilities(program: &Path, memory_file: &Path) -> Result<Abilities, DriverError> {
    let unusable = |reason: String| DriverError::NotUsable { program: program.display().to_string(), reason };
    let (modified, size) = identity(program).map_err(|e| unusable(e.to_string()))?;
    let mut memory = recall(memory_file);
    if let Some(known) = memory.0.get(program)
        && (known.modified, known.size) == (modified, size)
    {
        return Ok(known.abilities.clone());
    }
    let (version, accelerators) =
        tokio::join!(ask(program, &["--version"]), ask(program, &["-M", "none", "-accel", "help"]));
    let abilities = Abilities {
        version: parse_version(&version.map_err(unusable)?).ok_or_else(|| unusable("it tells no version".into()))?,
        accelerators: parse_accelerators(&accelerators.map_err(unusable)?),
    };
    if !abilities.is_at_least(OLDEST) {
        let reason = format!("version {} is too old, at least {}.{} is needed", abilities.version, OLDEST.0, OLDEST.1);
        return Err(unusable(reason));
    }
    tracing::debug!(program = %program.display(), version = abilities.version, "asked QEMU what it can");
    memory.0.insert(program.to_owned(), Remembered { modified, size, abilities: abilities.clone() });
    // Two processes that remember at once may lose one answer, which is then asked for again.
    if let Ok(bytes) = serde_json::to_vec_pretty(&memory)
        && let Err(error) = files::write_whole(memory_file, &bytes, 0o600)
    {
        tracing::debug!(%error, "cannot remember what QEMU can");
    }
    Ok(abilities)
}

fn identity(program: &Path) -> std::io::Result<(u128, u64)> {
    let metadata = std::fs::metadata(program)?;
    let modified = metadata.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    Ok((modified, metadata.len()))
}

fn recall(file: &Path) -> Memory {
    std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
}

async fn ask(program: &Path, arguments: &[&str]) -> Result<String, String> {
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).stdin(std::process::Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output())
        .await
        .map_err(|_| format!("it does not answer to {}", arguments.join(" ")))?
        .map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim()))
}

fn parse_version(text: &str) -> Option<String> {
    let word = text.strip_prefix("QEMU emulator version ")?.split_whitespace().next()?;
    Some(word.to_owned())
}

fn parse_accelerators(text: &str) -> Vec<String> {
    text.lines().skip(1).map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// Reads `7.2.22`; what does not belong to a number (`-rc1`, `+dfsg`) does not count.
fn numbers(version: &str) -> (u64, u64, u64) {
    let digits = |part: &str| part.chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap_or(0);
    let mut numbers = version.split('.').map(digits);
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let debian = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright (c) 2003-2022\n";
        assert_eq!(parse_version(debian).as_deref(), Some("7.2.22"));
        assert_eq!(parse_version("QEMU emulator version 10.0.2\n").as_deref(), Some("10.0.2"));
        assert_eq!(parse_version("something else"), None);
        assert_eq!((numbers("9.2.0-rc1"), numbers("8.1")), ((9, 2, 0), (8, 1, 0)));
        assert!(numbers("10.0.2") > OLDEST && numbers("6.2.0") >= OLDEST && numbers("5.2.0") < OLDEST);
        assert_eq!(
            parse_accelerators("Accelerators supported in QEMU binary:\ntcg\nxen\nkvm\n"),
            ["tcg", "xen", "kvm"]
        );
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn asked_once_per_program_file() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let (program, memory, count) = (dir.path().join("qemu"), dir.path().join("memory"), dir.path().join("count"));
        let write = |version: &str| {
            let text = format!(
                "#!/bin/sh\necho x >>{}\ncase $1 in --version) echo 'QEMU emulator version {version}';;\n*) printf 'Accelerators:\\ntcg\\n';; esac\n",
                count.display()
            );
            std::fs::write(&program, text).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        };
        let asked = || std::fs::read_to_string(&count).unwrap().lines().count();
        write("7.2.22");
        for _ in 0..3 {
            let abilities = abilities(&program, &memory).await.unwrap();
            assert_eq!(abilities.version, "7.2.22");
            assert_eq!(abilities.accelerators(), [Accelerator::Tcg]);
        }
        assert_eq!(asked(), 2);
        write("10.0.2-new");
        assert_eq!(abilities(&program, &memory).await.unwrap().version, "10.0.2-new");
        assert_eq!(asked(), 4);
        write("4.0");
        let error = abilities(&program, &memory).await.unwrap_err().to_string();
        assert!(error.contains("version 4.0 is too old"), "{error}");
    }
}
