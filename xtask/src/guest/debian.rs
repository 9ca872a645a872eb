//! The Debian guest: Debian 12 with systemd, cloud-init and openssh-server, its packages unmodified,
//! as a qcow2 image with its kernel beside it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::cpio::Archive;
use super::kernel;
use crate::{packages, shell};

const PACKAGES: &str = include_str!("../../guest/debian/packages");
const CLOUD_CONFIG: &str = include_str!("../../guest/debian/90-rdd.cfg");
const MASKED_UNITS: &str = include_str!("../../guest/debian/masked-units");
const INITRD_INIT: &str = include_str!("../../guest/debian/initrd-init");

const MODULES: [&str; 6] = [
    "virtio/virtio_ring",
    "virtio/virtio",
    "virtio/virtio_pci_modern_dev",
    "virtio/virtio_pci_legacy_dev",
    "virtio/virtio_pci",
    "block/virtio_blk",
];

/// Documentation and translations take half of the space and are of no use in a test.
const DPKG_OPTIONS: [&str; 7] = [
    "path-exclude=/usr/share/man/*",
    "path-exclude=/usr/share/locale/*",
    "path-include=/usr/share/locale/locale.alias",
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/info/*",
    "force-unsafe-io",
];

/// Returns everything that the built guest depends on.
pub fn recipe() -> Vec<(&'static str, &'static str)> {
    vec![
        ("packages", PACKAGES),
        ("90-rdd.cfg", CLOUD_CONFIG),
        ("masked-units", MASKED_UNITS),
        ("initrd-init", INITRD_INIT),
        ("debian.rs", include_str!("debian.rs")),
    ]
}

/// Builds `vmlinux`, `initrd.cpio` and `disk.qcow2` into `out`. Needs root, for the owners of files.
pub fn build(work: &Path, out: &Path) -> Result<()> {
    if !packages::is_root()? {
        bail!("the debian guest can be built by root only\nhint: run this with sudo");
    }
    packages::ensure(&[packages::MMDEBSTRAP, packages::MKE2FS, packages::STRIP, packages::QEMU_IMG])?;
    packages::ensure_lists()?;
    let root = work.join("root");
    shell::step("installing Debian into a directory (about a minute)", || debootstrap(&root))?;
    shell::step("settings for an emulated machine", || tune(&root))?;
    let version = only_entry(&root.join("lib/modules"))?;
    shell::step("unpacking the kernel", || {
        let bzimage = std::fs::read(root.join("boot").join(format!("vmlinuz-{version}")))?;
        Ok(std::fs::write(out.join("vmlinux"), kernel::vmlinux(&bzimage)?)?)
    })?;
    shell::step("packing the initial ram disk", || {
        let debs = work.join("debs");
        packages::unpack(&["busybox-static"], &debs)?;
        let modules = root.join("lib/modules").join(&version).join("kernel/drivers");
        let mut archive = Archive::default();
        for path in ["bin", "dev", "proc", "sys", "lib", "lib/m", "root"] {
            archive.dir(path, 0o755);
        }
        archive.character_device("dev/console", 0o600, (5, 1));
        archive.copy("bin/busybox", &debs.join("busybox-static/bin/busybox"), 0o755)?;
        for applet in ["sh", "mount", "insmod", "switch_root", "findfs", "sleep", "umount"] {
            archive.link(&format!("bin/{applet}"), "/bin/busybox");
        }
        archive.file("init", INITRD_INIT, 0o755);
        for module in MODULES {
            let name = module.rsplit('/').next().expect("a path has a last part");
            archive.module(&format!("lib/m/{name}.ko"), &modules.join(format!("{module}.ko")))?;
        }
        Ok(std::fs::write(out.join("initrd.cpio"), archive.finish())?)
    })?;
    shell::step("making the disk image", || disk(work, &root, &out.join("disk.qcow2")))?;
    let list = shell::capture(Command::new("dpkg-query").arg("--admindir").arg(root.join("var/lib/dpkg")).arg("-W"))?;
    std::fs::write(out.join("packages.txt"), list)?;
    Ok(())
}

fn debootstrap(root: &Path) -> Result<()> {
    let include = PACKAGES.split_whitespace().collect::<Vec<_>>().join(",");
    let hooks = [
        r#"printf 'LABEL=cloudimg-rootfs / ext4 defaults,noatime 0 1\n' >"$1/etc/fstab""#,
        r#"printf 'localhost\n' >"$1/etc/hostname"; : >"$1/etc/machine-id""#,
        r#"rm -f "$1"/etc/ssh/ssh_host_* "$1/var/lib/dbus/machine-id""#,
        r#"printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' >"$1/etc/hosts""#,
    ];
    let mut command = Command::new("mmdebstrap");
    command.args(["--quiet", "--mode=root", "--variant=minbase"]).arg(format!("--include={include}"));
    command.args(["--aptopt=APT::Install-Recommends \"false\"", "--aptopt=Acquire::Languages \"none\""]);
    command.args(DPKG_OPTIONS.map(|option| format!("--dpkgopt={option}")));
    command.args(hooks.map(|hook| format!("--customize-hook={hook}")));
    // No mirror is named: mmdebstrap takes the machine's own package sources for the suite.
    shell::capture(command.arg("bookworm").arg(root)).map(drop)
}

fn tune(root: &Path) -> Result<()> {
    std::fs::write(root.join("etc/cloud/cloud.cfg.d/90-rdd.cfg"), CLOUD_CONFIG)?;
    let units = root.join("etc/systemd/system");
    for unit in MASKED_UNITS.lines() {
        let link = units.join(unit);
        if link.symlink_metadata().is_ok() {
            std::fs::remove_file(&link)?;
        }
        std::os::unix::fs::symlink("/dev/null", &link)?;
    }
    let default = units.join("default.target");
    std::os::unix::fs::symlink("/lib/systemd/system/multi-user.target", &default)
        .with_context(|| format!("cannot create {}", default.display()))
}

fn disk(work: &Path, root: &Path, qcow2: &Path) -> Result<()> {
    let raw = work.join("root.raw");
    std::fs::File::create(&raw)?.set_len(2 << 30)?;
    let mke2fs = shell::which("mke2fs").context("mke2fs was installed above")?;
    let mut format = Command::new(mke2fs);
    format.args(["-q", "-t", "ext4", "-L", "cloudimg-rootfs", "-E", "lazy_itable_init=1,lazy_journal_init=1"]);
    shell::capture(format.args(["-O", "^metadata_csum_seed", "-d"]).arg(root).arg(&raw))?;
    let mut convert = Command::new("qemu-img");
    convert.args(["convert", "-f", "raw", "-O", "qcow2", "-c", "-o", "compression_type=zstd"]);
    shell::capture(convert.arg(&raw).arg(qcow2)).map(drop)
}

fn only_entry(dir: &Path) -> Result<String> {
    let entry = std::fs::read_dir(dir)?.next().with_context(|| format!("{} is empty", dir.display()))??;
    Ok(entry.file_name().to_string_lossy().into_owned())
}
