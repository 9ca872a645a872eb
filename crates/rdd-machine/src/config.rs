//! A machine's configuration with every default filled in: what a lima.yaml template means on this
//! host. Made by `rdd-template`, read by the seed, the hostagent, the engine and the drivers.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::name::MachineName;

/// What a template means on this host, for one machine.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineConfig {
    /// The machine's name.
    pub name: MachineName,
    /// The machine's directory, absolute.
    pub dir: PathBuf,
    /// The driver: `qemu`, `wsl2`, `vz` or `fake`.
    pub vm_type: String,
    /// The guest's architecture.
    pub arch: Arch,
    /// Virtual CPUs, at least 1.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory: u64,
    /// Size of the main disk in bytes.
    pub disk: u64,
    /// Where the main disk comes from: the first that matches `arch` and can be had.
    pub images: Vec<Image>,
    /// A CPU model that overrides the driver's choice (`vmOpts.qemu.cpuType[arch]`).
    pub cpu_type: Option<String>,
    /// The oldest QEMU that will do: major, minor, patch (`vmOpts.qemu.minimumVersion`).
    pub qemu_minimum_version: Option<(u64, u64, u64)>,
    /// Boot by BIOS instead of UEFI.
    pub legacy_bios: bool,
    /// Additional disks, in the order of the template.
    pub additional_disks: Vec<AdditionalDisk>,
    /// Host directories that the guest sees.
    pub mounts: Vec<Mount>,
    /// How mounts reach the guest: `reverse-sshfs`, `9p`, `virtiofs` or `wsl2`.
    pub mount_type: String,
    /// SSH settings.
    pub ssh: Ssh,
    /// The guest's user.
    pub user: GuestUser,
    /// Provisioning, in order.
    pub provision: Vec<Provision>,
    /// Scripts that must succeed before the machine counts as ready.
    pub probes: Vec<Probe>,
    /// Port forwarding rules, in order; the built-in rules are not in the list.
    pub port_forwards: Vec<PortForward>,
    /// Environment of every session in the guest.
    pub env: BTreeMap<String, String>,
    /// Parameters, exported to scripts as `PARAM_<KEY>`.
    pub param: BTreeMap<String, String>,
    /// Name servers for the guest, instead of the host's resolver.
    pub dns: Vec<IpAddr>,
    /// Answer the guest's DNS with the host's resolver.
    pub host_resolver: bool,
    /// Names with fixed answers for the guest.
    pub host_resolver_hosts: BTreeMap<String, String>,
    /// Pass the host's proxy variables on.
    pub propagate_proxy_env: bool,
    /// The guest's time zone; empty leaves the guest's own.
    pub timezone: String,
    /// CA certificates for the guest.
    pub ca_certs: CaCerts,
    /// Install package updates at boot.
    pub upgrade_packages: bool,
    /// No agent, no mounts, no forwards: boot scripts are left out, provisioning still runs.
    pub plain: bool,
    /// A text for people, shown when the machine runs (a Go template, unrendered).
    pub message: String,
    /// QEMU's `-display` value; `none` by default.
    pub video_display: String,
    /// The MAC address of the guest's first network card. The driver gives it to the card, the seed
    /// tells the guest to look for it.
    pub mac_address: String,
    /// Where helper programs are installed in the guest.
    pub guest_install_prefix: String,
    /// Files to be copied from the guest when it is ready.
    pub copy_to_host: Vec<CopyToHost>,
}

impl MachineConfig {
    /// Returns a machine with the built-in defaults that need no knowledge of the host: 1 CPU,
    /// 1 GiB, no image. Templates are resolved on top of it; tests change what they are about.
    pub fn new(name: MachineName, dir: PathBuf, vm_type: impl Into<String>) -> Self {
        Self {
            name,
            dir,
            vm_type: vm_type.into(),
            arch: Arch::native(),
            cpus: 1,
            memory: 1 << 30,
            disk: 100 << 30,
            images: Vec::new(),
            cpu_type: None,
            qemu_minimum_version: None,
            legacy_bios: false,
            additional_disks: Vec::new(),
            mounts: Vec::new(),
            mount_type: "reverse-sshfs".into(),
            ssh: Ssh::default(),
            user: GuestUser::default(),
            provision: Vec::new(),
            probes: Vec::new(),
            port_forwards: Vec::new(),
            env: BTreeMap::new(),
            param: BTreeMap::new(),
            dns: Vec::new(),
            host_resolver: true,
            host_resolver_hosts: BTreeMap::new(),
            propagate_proxy_env: true,
            timezone: String::new(),
            ca_certs: CaCerts::default(),
            upgrade_packages: false,
            plain: false,
            message: String::new(),
            video_display: "none".into(),
            mac_address: "52:55:55:00:00:01".into(),
            guest_install_prefix: "/usr/local".into(),
            copy_to_host: Vec::new(),
        }
    }
}

/// A file to be copied from the guest when it is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyToHost {
    /// The file in the guest, absolute.
    pub guest: String,
    /// The file on the host, absolute.
    pub host: PathBuf,
    /// Delete the copy when the machine stops.
    pub delete_on_stop: bool,
}

/// A guest architecture, in Lima's spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arch {
    /// `x86_64`
    X86_64,
    /// `aarch64`
    Aarch64,
    /// `armv7l`
    Armv7l,
    /// `ppc64le`
    Ppc64le,
    /// `riscv64`
    Riscv64,
    /// `s390x`
    S390x,
}

impl Arch {
    /// All architectures.
    pub const ALL: [Arch; 6] = [Arch::X86_64, Arch::Aarch64, Arch::Armv7l, Arch::Ppc64le, Arch::Riscv64, Arch::S390x];

    /// Returns Lima's spelling.
    pub fn as_str(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
            Arch::Armv7l => "armv7l",
            Arch::Ppc64le => "ppc64le",
            Arch::Riscv64 => "riscv64",
            Arch::S390x => "s390x",
        }
    }

    /// Reads Lima's spelling.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.as_str() == text)
    }

    /// Returns the architecture that this program was built for.
    pub fn native() -> Self {
        Self::parse(std::env::consts::ARCH).unwrap_or(match std::env::consts::ARCH {
            "arm" => Arch::Armv7l,
            "powerpc64" => Arch::Ppc64le,
            _ => Arch::X86_64,
        })
    }
}

/// A file to be had from a URL or a local path, with its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSource {
    /// An `http(s)://` or `file://` URL, or a local path.
    pub location: String,
    /// The architecture it is for.
    pub arch: Arch,
    /// `algorithm:hex`; checked if given.
    pub digest: Option<String>,
}

/// A disk image, and the kernel to boot it with if it is not booted by firmware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The disk image: qcow2 or raw, maybe compressed; or an ISO 9660 image.
    pub file: FileSource,
    /// A kernel for direct boot.
    pub kernel: Option<Kernel>,
    /// An initial ram disk for direct boot.
    pub initrd: Option<FileSource>,
}

/// A kernel for direct boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// The kernel image.
    pub file: FileSource,
    /// The kernel command line.
    pub cmdline: String,
}

/// An additional disk, which lives in `_disks/<name>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdditionalDisk {
    /// The disk's name.
    pub name: String,
    /// Format and mount it in the guest.
    pub format: bool,
    /// The file system, `ext4` if empty.
    pub fs_type: String,
    /// Arguments for mkfs.
    pub fs_args: Vec<String>,
}

impl AdditionalDisk {
    /// Returns the serial number of the disk at `index` in the machine's list. The driver gives it
    /// to the device and the guest finds the disk by it, so that no other disk is formatted by
    /// mistake. At most 20 bytes, which is virtio-blk's limit.
    pub fn serial(index: usize) -> String {
        format!("lima-disk-{index}")
    }
}

/// A host directory that the guest sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The host directory, absolute.
    pub location: PathBuf,
    /// The guest directory.
    pub mount_point: String,
    /// Whether the guest may write.
    pub writable: bool,
    /// The name by which driver and guest mean this mount (9p's mount tag). Stable, because guests
    /// keep it in their fstab.
    pub tag: String,
    /// 9p settings.
    pub nine_p: NineP,
}

/// How a 9p mount is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NineP {
    /// QEMU's `security_model`.
    pub security_model: String,
    /// As in `9p2000.L`.
    pub protocol_version: String,
    /// Packet size in bytes.
    pub msize: u64,
    /// The guest's `cache=` option.
    pub cache: String,
}

impl Default for NineP {
    fn default() -> Self {
        Self {
            security_model: "none".into(),
            protocol_version: "9p2000.L".into(),
            msize: 128 << 10,
            cache: "fscache".into(),
        }
    }
}

/// SSH settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ssh {
    /// The loopback port that leads to the guest's port 22; 0 picks a free one.
    pub local_port: u16,
    /// Offer the user's own public keys to the guest as well.
    pub load_dot_ssh_pub_keys: bool,
    /// Forward the SSH agent.
    pub forward_agent: bool,
}

/// The guest's user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestUser {
    /// The login name.
    pub name: String,
    /// The full name.
    pub comment: String,
    /// The home directory in the guest.
    pub home: String,
    /// The login shell.
    pub shell: String,
    /// The user id; never 0.
    pub uid: u32,
}

impl Default for GuestUser {
    fn default() -> Self {
        Self {
            name: "lima".into(),
            comment: String::new(),
            home: "/home/lima.guest".into(),
            shell: "/bin/bash".into(),
            uid: 1000,
        }
    }
}

/// When and how a provisioning step runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProvisionMode {
    /// As root, by the boot script.
    System,
    /// As the guest's user, by the boot script.
    User,
    /// As root, early, by cloud-init's bootcmd.
    Boot,
    /// As root, before packages are installed.
    Dependency,
    /// Writes a file.
    Data,
    /// Edits a YAML or JSON file.
    Yq,
}

/// A provisioning step, with templates rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provision {
    /// When and how.
    pub mode: ProvisionMode,
    /// The script, the file's content, or the yq expression.
    pub text: String,
    /// For data and yq: the file.
    pub path: String,
    /// For data and yq: `user:group`.
    pub owner: String,
    /// For data and yq: octal permissions, as in `644`.
    pub permissions: String,
    /// For data: replace a file that exists.
    pub overwrite: bool,
    /// For yq: the file's format, `auto` by default.
    pub format: String,
    /// For dependency: do not install the default packages.
    pub skip_default_dependency_resolution: bool,
}

/// A readiness probe, with templates rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What it waits for, in words.
    pub description: String,
    /// The script; begins with `#!`.
    pub script: String,
    /// What to look at when it fails.
    pub hint: String,
}

/// A transport protocol of a forwarding rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// TCP only.
    Tcp,
    /// UDP only.
    Udp,
    /// Both.
    Any,
}

/// A port forwarding rule, with defaults filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortForward {
    /// Match only listeners on the unspecified address.
    pub guest_ip_must_be_zero: bool,
    /// The guest's listening address.
    pub guest_ip: IpAddr,
    /// Guest ports, first and last.
    pub guest_port_range: (u16, u16),
    /// A guest Unix socket instead of a port; empty if none.
    pub guest_socket: String,
    /// The host's listening address.
    pub host_ip: IpAddr,
    /// Host ports, first and last.
    pub host_port_range: (u16, u16),
    /// A host Unix socket instead of a port; empty if none.
    pub host_socket: String,
    /// The protocol.
    pub protocol: Protocol,
    /// Forward from guest to host.
    pub reverse: bool,
    /// Do not forward what matches.
    pub ignore: bool,
    /// Forward at boot, without an agent.
    pub is_static: bool,
}

/// CA certificates for the guest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaCerts {
    /// Distrust the guest's own.
    pub remove_defaults: bool,
    /// PEM texts to trust.
    pub certs: Vec<String>,
}
