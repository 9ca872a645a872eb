//! Which accelerator runs a guest: the host's hypervisor if it can, else QEMU's own translator.

use rdd_machine::config::Arch;

/// An accelerator, in QEMU's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// Linux.
    Kvm,
    /// macOS.
    Hvf,
    /// Windows.
    Whpx,
    /// Translation in software; works everywhere, for every guest.
    Tcg,
}

impl Accelerator {
    /// Returns QEMU's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Hvf => "hvf",
            Self::Whpx => "whpx",
            Self::Tcg => "tcg",
        }
    }

    /// Reads QEMU's word.
    pub fn parse(word: &str) -> Option<Self> {
        [Self::Kvm, Self::Hvf, Self::Whpx, Self::Tcg].into_iter().find(|a| a.as_str() == word)
    }
}

/// What the host says about hardware virtualization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hardware {
    /// This accelerator can run guests.
    Usable(Accelerator),
    /// There is none, for this reason.
    Unusable(String),
}

/// The choice, and why it is not the quick one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The accelerator.
    pub accelerator: Accelerator,
    /// Why the guest is slower than it could be; for the log.
    pub reason: Option<String>,
}

/// Chooses the accelerator for a guest. `wanted` overrides (`RDD_ACCEL`); `built_in` is what this
/// QEMU was built with.
pub fn choose(
    wanted: Option<Accelerator>,
    guest: Arch,
    host: Arch,
    hardware: &Hardware,
    built_in: &[Accelerator],
) -> Choice {
    if let Some(accelerator) = wanted {
        return Choice { accelerator, reason: None };
    }
    let slow = |reason: String| Choice { accelerator: Accelerator::Tcg, reason: Some(reason) };
    if guest != host {
        return slow(format!("a {} guest on a {} host", guest.as_str(), host.as_str()));
    }
    match hardware {
        Hardware::Unusable(reason) => slow(reason.clone()),
        Hardware::Usable(accelerator) if !built_in.contains(accelerator) => {
            slow(format!("this QEMU was built without {}", accelerator.as_str()))
        }
        Hardware::Usable(accelerator) => Choice { accelerator: *accelerator, reason: None },
    }
}

/// Looks what the host offers. Quick; starts no process.
#[cfg(target_os = "linux")]
pub fn detect() -> Hardware {
    // Some hosts offer a /dev/kvm although their CPU cannot nest guests: such a guest hangs for ever.
    let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let open = std::fs::OpenOptions::new().read(true).write(true).open("/dev/kvm");
    judge_kvm(open.map(|_| ()).map_err(|e| e.to_string()), &cpu)
}

/// Looks what the host offers. Whether it works is found out by its issue.
#[cfg(not(target_os = "linux"))]
pub fn detect() -> Hardware {
    if cfg!(target_os = "macos") {
        Hardware::Usable(Accelerator::Hvf)
    } else {
        Hardware::Unusable("no accelerator is known for this system".into())
    }
}

/// KVM can be used if its device opens for reading and writing and, where the CPU says so, the CPU
/// can run guests.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "KVM is Linux'"))]
fn judge_kvm(device: Result<(), String>, cpuinfo: &str) -> Hardware {
    if let Err(error) = device {
        return Hardware::Unusable(format!("/dev/kvm cannot be opened: {error}"));
    }
    let x86 = cfg!(target_arch = "x86_64");
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    if x86 && !flags.split_whitespace().any(|flag| flag == "vmx" || flag == "svm") {
        return Hardware::Unusable("the CPU shows neither vmx nor svm".into());
    }
    Hardware::Usable(Accelerator::Kvm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wish_wins() {
        let no = Hardware::Unusable("no".into());
        let choice = choose(Some(Accelerator::Kvm), Arch::Aarch64, Arch::X86_64, &no, &[]);
        assert_eq!(choice, Choice { accelerator: Accelerator::Kvm, reason: None });
    }

    #[test]
    fn hardware_only_for_native_guests_that_this_qemu_can_run() {
        let kvm = Hardware::Usable(Accelerator::Kvm);
        let all = [Accelerator::Kvm, Accelerator::Tcg];
        assert_eq!(choose(None, Arch::X86_64, Arch::X86_64, &kvm, &all).accelerator, Accelerator::Kvm);
        let foreign = choose(None, Arch::Aarch64, Arch::X86_64, &kvm, &all);
        assert_eq!(foreign.accelerator, Accelerator::Tcg);
        assert_eq!(foreign.reason.as_deref(), Some("a aarch64 guest on a x86_64 host"));
        let small = choose(None, Arch::X86_64, Arch::X86_64, &kvm, &[Accelerator::Tcg]);
        assert_eq!(small.reason.as_deref(), Some("this QEMU was built without kvm"));
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn kvm_needs_its_device_and_the_flag() {
        let with = "processor : 0\nflags\t\t: fpu svm sse\n";
        let without = "processor : 0\nflags\t\t: fpu svmx sse\n";
        assert_eq!(judge_kvm(Ok(()), with), Hardware::Usable(Accelerator::Kvm));
        assert!(matches!(judge_kvm(Ok(()), without), Hardware::Unusable(_)));
        assert!(
            matches!(judge_kvm(Err("Permission denied".into()), with), Hardware::Unusable(r) if r.contains("Permission"))
        );
    }
}
