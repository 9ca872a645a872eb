//! A machine as a QEMU command line. Pure: everything that had to be looked up is handed in.
//!
//! Compared with Lima's (VM engine specification §3.15): the format of every drive is said, so a
//! guest cannot change what its disk is taken for; commas in paths are doubled; additional disks carry
//! a serial number, by which the guest finds them; no default devices and no network boot ROM; the
//! seed is a virtio disk (as with Apple's driver), which guests see earlier than a SCSI drive.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rdd_machine::config::{Arch, MachineConfig};
use rdd_machine::network;

use crate::accelerator::Accelerator;

/// What a machine's files are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Files {
    /// The main disk.
    pub disk: Option<DiskFile>,
    /// An installer or live CD.
    pub iso: Option<PathBuf>,
    /// Additional disks.
    pub additional: Vec<DiskFile>,
    /// A kernel to boot directly.
    pub kernel: Option<KernelFiles>,
    /// UEFI firmware.
    pub firmware: Option<PathBuf>,
}

/// A disk and its format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskFile {
    /// The file.
    pub path: PathBuf,
    /// QEMU's name of its format: `qcow2` or `raw`.
    pub format: String,
    /// The serial number that the guest sees; empty for none.
    pub serial: String,
}

/// A kernel to boot directly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KernelFiles {
    /// The kernel image.
    pub kernel: PathBuf,
    /// Its command line.
    pub cmdline: String,
    /// The initial ram disk.
    pub initrd: Option<PathBuf>,
}

/// Where QEMU puts what it makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlets {
    /// The control socket.
    pub qmp: PathBuf,
    /// The process id, for people.
    pub pid_file: PathBuf,
    /// The first serial port: socket and log.
    pub serial: (PathBuf, PathBuf),
    /// The PCI serial port (ARM): socket and log.
    pub serial_pci: (PathBuf, PathBuf),
    /// The virtio console: socket and log.
    pub serial_virtio: (PathBuf, PathBuf),
}

/// Everything a command line is made of.
#[derive(Clone, Debug)]
pub struct Plan<'a> {
    /// The machine.
    pub config: &'a MachineConfig,
    /// Its files.
    pub files: Files,
    /// What QEMU makes.
    pub outlets: Outlets,
    /// The accelerator.
    pub accelerator: Accelerator,
    /// The NoCloud seed.
    pub seed: PathBuf,
    /// The loopback port that leads to the guest's port 22.
    pub ssh_port: u16,
}

/// Returns the arguments, without the program.
pub fn arguments(plan: &Plan<'_>) -> Vec<OsString> {
    let mut line = Line::default();
    let config = plan.config;
    line.words(&["-nodefaults", "-no-user-config"]);
    line.pair("-name", &format!("lima-{}", config.name));
    platform(&mut line, plan);
    line.pair("-m", &(config.memory >> 20).max(1).to_string());
    line.pair("-smp", &format!("{0},sockets=1,cores={0},threads=1", config.cpus));
    boot(&mut line, plan);
    disks(&mut line, plan);
    network_card(&mut line, plan);
    line.pair("-device", &virtio(config.arch, "rng"));
    display(&mut line, config);
    consoles(&mut line, plan);
    shares(&mut line, config);
    line.option("-chardev", "socket,id=char-qmp", &[("path", &plan.outlets.qmp)], ",server=on,wait=off");
    line.pair("-qmp", "chardev:char-qmp");
    line.path("-pidfile", &plan.outlets.pid_file);
    line.0
}

fn platform(line: &mut Line, plan: &Plan<'_>) {
    let config = plan.config;
    let software = plan.accelerator == Accelerator::Tcg;
    let machine = match config.arch {
        // The VMware port costs an exit per access and no guest of ours asks for it.
        Arch::X86_64 => "q35,vmport=off",
        Arch::Aarch64 | Arch::Armv7l => "virt",
        Arch::Riscv64 => "virt,acpi=off",
        Arch::Ppc64le => "pseries",
        Arch::S390x => "s390-ccw-virtio",
    };
    line.pair("-machine", machine);
    if software {
        line.pair("-accel", "tcg,thread=multi,tb-size=512");
    } else {
        line.pair("-accel", plan.accelerator.as_str());
    }
    let cpu = config.cpu_type.clone().unwrap_or_else(|| if software { "max".into() } else { "host".into() });
    line.pair("-cpu", &cpu);
    if config.arch == Arch::X86_64 {
        // A guest that sleeps looks dead, and nobody can wake it.
        line.pair("-global", "ICH9-LPC.disable_s3=1");
        line.pair("-global", "ICH9-LPC.disable_s4=1");
    }
}

fn boot(line: &mut Line, plan: &Plan<'_>) {
    if let Some(firmware) = &plan.files.firmware {
        line.option("-drive", "if=pflash,format=raw,readonly=on", &[("file", firmware)], "");
    }
    if let Some(kernel) = &plan.files.kernel {
        line.path("-kernel", &kernel.kernel);
        if !kernel.cmdline.is_empty() {
            line.pair("-append", &kernel.cmdline);
        }
        if let Some(initrd) = &kernel.initrd {
            line.path("-initrd", initrd);
        }
    }
}

fn disks(line: &mut Line, plan: &Plan<'_>) {
    let block = virtio(plan.config.arch, "blk");
    let mut boot_index = 1..;
    let mut next = || boot_index.next().expect("the range has no end");
    if let Some(iso) = &plan.files.iso {
        line.option("-drive", "id=iso,if=none,format=raw,media=cdrom,readonly=on", &[("file", iso)], "");
        line.pair("-device", &virtio(plan.config.arch, "scsi"));
        line.pair("-device", &format!("scsi-cd,drive=iso,bootindex={}", next()));
    }
    if let Some(disk) = &plan.files.disk {
        let options = format!("id=boot-disk,if=none,format={},discard=on", disk.format);
        line.option("-drive", &options, &[("file", &disk.path)], "");
        line.pair("-device", &format!("{block},drive=boot-disk,bootindex={}", next()));
    }
    for (index, disk) in plan.files.additional.iter().enumerate() {
        let options = format!("id=disk-{index},if=none,format={},discard=on", disk.format);
        line.option("-drive", &options, &[("file", &disk.path)], "");
        line.pair("-device", &format!("{block},drive=disk-{index},serial={}", escape(&disk.serial)));
    }
    // Last, so that the disks keep the names that Lima's guests give them: vda, vdb, ...
    line.option("-drive", "id=cidata,if=none,format=raw,readonly=on", &[("file", &plan.seed)], "");
    line.pair("-device", &format!("{block},drive=cidata,serial=cidata"));
}

fn network_card(line: &mut Line, plan: &Plan<'_>) {
    let (net, guest, port) = (network::NETWORK, network::GUEST, plan.ssh_port);
    line.pair("-netdev", &format!("user,id=net0,net={net},dhcpstart={guest},hostfwd=tcp:127.0.0.1:{port}-:22"));
    let arch = plan.config.arch;
    // No boot from the network, so no ROM to load for it; channel devices have none.
    let rom = if arch == Arch::S390x { "" } else { ",romfile=" };
    line.pair("-device", &format!("{},netdev=net0,mac={}{rom}", virtio(arch, "net"), plan.config.mac_address));
}

fn display(line: &mut Line, config: &MachineConfig) {
    if matches!(config.video_display.as_str(), "" | "none") {
        line.pair("-display", "none");
        return;
    }
    line.pair("-display", &config.video_display);
    line.pair("-device", if config.arch == Arch::X86_64 { "virtio-vga" } else { "virtio-gpu" });
    line.pair("-device", "virtio-keyboard-pci");
    line.pair("-device", "virtio-tablet-pci");
}

fn consoles(line: &mut Line, plan: &Plan<'_>) {
    let outlets = &plan.outlets;
    let arch = plan.config.arch;
    let mut console = |id: &str, (socket, log): &(PathBuf, PathBuf)| {
        let files = [("path", socket.as_path()), ("logfile", log.as_path())];
        line.option("-chardev", &format!("socket,id={id}"), &files, ",server=on,wait=off");
    };
    console("char-serial", &outlets.serial);
    console("char-serial-virtio", &outlets.serial_virtio);
    let pci = matches!(arch, Arch::Aarch64 | Arch::Armv7l);
    if pci {
        console("char-serial-pci", &outlets.serial_pci);
    }
    line.pair("-serial", "chardev:char-serial");
    if pci {
        line.pair("-device", "pci-serial,chardev=char-serial-pci");
    }
    line.pair("-device", &format!("{},id=virtio-serial0,max_ports=1", virtio(arch, "serial")));
    line.pair("-device", "virtconsole,chardev=char-serial-virtio,id=console0");
}

fn shares(line: &mut Line, config: &MachineConfig) {
    if config.mount_type != "9p" || config.plain {
        return;
    }
    for mount in &config.mounts {
        let (tag, model) = (escape(&mount.tag), escape(&mount.nine_p.security_model));
        let options = format!("local,mount_tag={tag},security_model={model}");
        let end = if mount.writable { "" } else { ",readonly=on" };
        line.option("-virtfs", &options, &[("path", &mount.location)], end);
    }
}

/// Returns the name of a virtio device on the architecture's bus.
fn virtio(arch: Arch, device: &str) -> String {
    format!("virtio-{device}-{}", if arch == Arch::S390x { "ccw" } else { "pci" })
}

/// Doubles commas, which end a value in QEMU's option lists.
fn escape(value: &str) -> String {
    value.replace(',', ",,")
}

#[derive(Default)]
struct Line(Vec<OsString>);

impl Line {
    fn words(&mut self, words: &[&str]) {
        self.0.extend(words.iter().map(OsString::from));
    }

    fn pair(&mut self, name: &str, value: &str) {
        self.words(&[name, value]);
    }

    fn path(&mut self, name: &str, path: &Path) {
        self.0.push(name.into());
        self.0.push(path.into());
    }

    /// Adds an option list with paths in it. Paths are bytes, so they are escaped as bytes.
    fn option(&mut self, name: &str, start: &str, paths: &[(&str, &Path)], end: &str) {
        let mut value = OsString::from(start);
        for (key, path) in paths {
            value.push(format!(",{key}="));
            value.push(escape_path(path));
        }
        value.push(end);
        self.0.push(name.into());
        self.0.push(value);
    }
}

#[cfg(unix)]
fn escape_path(path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut bytes = Vec::with_capacity(path.as_os_str().len());
    for byte in path.as_os_str().as_bytes() {
        bytes.push(*byte);
        if *byte == b',' {
            bytes.push(b',');
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(not(unix))]
fn escape_path(path: &Path) -> OsString {
    escape(&path.to_string_lossy()).into()
}

#[cfg(test)]
mod tests;
