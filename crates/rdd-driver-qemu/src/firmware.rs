//! Where UEFI firmware lies.

use std::path::{Path, PathBuf};

use rdd_machine::DriverError;
use rdd_machine::config::{Arch, MachineConfig};

/// Returns whether this machine boots by UEFI: nothing else boots it, and the architecture has it.
pub(crate) fn is_needed(config: &MachineConfig, boots_kernel: bool) -> bool {
    let by_bios = config.legacy_bios && matches!(config.arch, Arch::X86_64 | Arch::Armv7l);
    !boots_kernel && !by_bios && !matches!(config.arch, Arch::Ppc64le | Arch::S390x)
}

/// Finds the firmware for a machine: its own file first, then what QEMU and the system brought along.
pub(crate) fn find(config: &MachineConfig, program: &Path, home: Option<&Path>) -> Result<PathBuf, DriverError> {
    let candidates = candidates(config, program, home);
    candidates.into_iter().find(|path| path.is_file()).ok_or_else(|| DriverError::NotUsable {
        program: "UEFI firmware".into(),
        reason: format!("none was found for {}; install {}", config.arch.as_str(), package(config.arch)),
    })
}

fn candidates(config: &MachineConfig, program: &Path, home: Option<&Path>) -> Vec<PathBuf> {
    let word = qemu_word(config.arch);
    let edk2 = format!("edk2-{word}-code.fd");
    let mut paths = vec![config.dir.join("qemu-efi-code.fd")];
    paths.extend(home.map(|home| home.join(".local/share/qemu").join(&edk2)));
    if let Some(directory) = program.parent() {
        paths.extend(directory.parent().map(|prefix| prefix.join("share/qemu").join(&edk2)));
        paths.push(directory.join("share").join(&edk2));
    }
    paths.push(Path::new("/usr/share/qemu").join(&edk2));
    paths.extend(system_paths(config.arch).iter().map(PathBuf::from));
    paths
}

/// Debian, Ubuntu, Fedora, openSUSE, Arch.
fn system_paths(arch: Arch) -> &'static [&'static str] {
    match arch {
        Arch::X86_64 => &[
            "/usr/share/OVMF/OVMF_CODE_4M.fd",
            "/usr/share/OVMF/OVMF_CODE.fd",
            "/usr/share/edk2/ovmf/OVMF_CODE.fd",
            "/usr/share/qemu/ovmf-x86_64-code.bin",
            "/usr/share/edk2-ovmf/x64/OVMF_CODE.fd",
            "/usr/share/edk2/x64/OVMF_CODE.4m.fd",
        ],
        Arch::Aarch64 => &[
            "/usr/share/AAVMF/AAVMF_CODE.fd",
            "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd",
            "/usr/share/edk2/aarch64/QEMU_EFI-pflash.raw",
            "/usr/share/edk2-armvirt/aarch64/QEMU_EFI.fd",
        ],
        Arch::Armv7l => &["/usr/share/AAVMF/AAVMF32_CODE.fd"],
        Arch::Riscv64 => {
            &["/usr/share/qemu-efi-riscv64/RISCV_VIRT_CODE.fd", "/usr/share/edk2/riscv/RISCV_VIRT_CODE.fd"]
        }
        Arch::Ppc64le | Arch::S390x => &[],
    }
}

fn package(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "the package ovmf (Debian, Ubuntu) or edk2-ovmf (Fedora, Arch), or set legacyBIOS",
        Arch::Aarch64 => "the package qemu-efi-aarch64 (Debian, Ubuntu) or edk2-aarch64 (Fedora, Arch)",
        _ => "QEMU's own firmware files",
    }
}

/// QEMU's word for an architecture in the names of its firmware files.
fn qemu_word(arch: Arch) -> &'static str {
    match arch {
        Arch::Armv7l => "arm",
        other => other.as_str(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdd_machine::MachineName;

    #[test]
    fn the_machines_own_file_comes_first() {
        let dir = tempfile::tempdir().unwrap();
        let name = MachineName::new("demo").unwrap();
        let config = MachineConfig::new(name, dir.path().to_owned(), "qemu");
        let own = dir.path().join("qemu-efi-code.fd");
        std::fs::write(&own, "").unwrap();
        assert_eq!(find(&config, Path::new("/nowhere/bin/qemu"), None).unwrap(), own);
    }

    #[test]
    fn only_what_nothing_else_boots_needs_it() {
        let name = MachineName::new("demo").unwrap();
        let mut config = MachineConfig::new(name, "/m".into(), "qemu");
        config.arch = Arch::X86_64;
        assert!(is_needed(&config, false));
        assert!(!is_needed(&config, true));
        config.legacy_bios = true;
        assert!(!is_needed(&config, false));
        config.arch = Arch::Aarch64;
        assert!(is_needed(&config, false));
    }
}
