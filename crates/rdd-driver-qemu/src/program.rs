//! Which QEMU program runs a guest, and what the driver takes from its surroundings.

use std::path::PathBuf;

use rdd_host::environment;
use rdd_machine::DriverError;
use rdd_machine::config::Arch;

use crate::accelerator::Accelerator;

/// What the driver takes from its surroundings.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The accelerator to use, instead of the best that works.
    pub accelerator: Option<Accelerator>,
    /// Programs to use per architecture, with leading arguments, instead of those on the path.
    pub programs: Vec<(Arch, Vec<String>)>,
    /// Directories in which programs are looked for.
    pub path: Vec<PathBuf>,
    /// The user's home directory.
    pub home: Option<PathBuf>,
}

impl Settings {
    /// Reads `RDD_ACCEL`, `QEMU_SYSTEM_*`, `PATH` and the home directory.
    pub fn from_env() -> Self {
        let programs = Arch::ALL.into_iter().filter_map(|arch| {
            let variable = program_name(arch).to_ascii_uppercase().replace('-', "_");
            let words = split_words(&environment::get_text(&variable)?);
            (!words.is_empty()).then_some((arch, words))
        });
        let wanted = environment::get_text(environment::ACCEL);
        let accelerator = wanted.as_deref().and_then(Accelerator::parse);
        if let (Some(word), None) = (&wanted, accelerator) {
            tracing::warn!(value = word, "RDD_ACCEL names no accelerator and is ignored");
        }
        Self {
            accelerator,
            programs: programs.collect(),
            path: environment::get("PATH").map(|p| std::env::split_paths(&p).collect()).unwrap_or_default(),
            home: environment::get(environment::HOME).map(PathBuf::from),
        }
    }
}

/// A program and the arguments that come before ours.
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) leading: Vec<String>,
}

impl Settings {
    /// Finds the program for an architecture.
    pub(crate) fn program(&self, arch: Arch) -> Result<Program, DriverError> {
        let chosen = self.programs.iter().find(|(a, _)| *a == arch).map(|(_, words)| words.clone());
        let name = program_name(arch);
        let mut words = chosen.unwrap_or_else(|| vec![name.clone()]);
        let first = words.remove(0);
        let path = self.find(&first).ok_or_else(|| DriverError::NotUsable {
            program: first.clone(),
            reason: format!("it is not installed; install {}", package(arch)),
        })?;
        Ok(Program { path, leading: words })
    }

    fn find(&self, program: &str) -> Option<PathBuf> {
        if program.contains(std::path::MAIN_SEPARATOR) {
            return Some(PathBuf::from(program)).filter(|path| path.is_file());
        }
        let name = format!("{program}{}", std::env::consts::EXE_SUFFIX);
        self.path.iter().map(|dir| dir.join(&name)).find(|path| path.is_file())
    }
}

fn program_name(arch: Arch) -> String {
    let word = match arch {
        Arch::Armv7l => "arm",
        Arch::Ppc64le => "ppc64",
        other => other.as_str(),
    };
    format!("qemu-system-{word}")
}

fn package(arch: Arch) -> String {
    let debian = match arch {
        Arch::X86_64 => "qemu-system-x86",
        Arch::Aarch64 | Arch::Armv7l => "qemu-system-arm",
        Arch::Ppc64le => "qemu-system-ppc",
        Arch::Riscv64 | Arch::S390x => "qemu-system-misc",
    };
    format!("the package {debian} (Debian, Ubuntu), qemu (Fedora, Arch, Homebrew)")
}

/// Splits a command line like a shell, as far as spaces and quotes go.
fn split_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    for c in text.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, _) if c.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words() {
        assert_eq!(split_words("  qemu  -L '/a b' \"c d\"e '' "), ["qemu", "-L", "/a b", "c de", ""]);
        assert!(split_words(" ").is_empty());
    }
}
