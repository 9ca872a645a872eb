//! The micro guest: Debian's cloud kernel, busybox, dropbear and a reader of NoCloud seeds, all in an
//! initial ram disk, and a small data disk for what must survive a restart.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::cpio::Archive;
use super::kernel;
use crate::{packages, shell};

const PACKAGES: [&str; 9] = [
    "busybox-static",
    "dropbear-bin",
    "libtomcrypt1",
    "libtommath1",
    "zlib1g",
    "libc6",
    "libcrypt1",
    "libgmp10",
    "openssh-sftp-server",
];

const LIBRARIES: [(&str, &str); 6] = [
    ("libc6", "lib/x86_64-linux-gnu/libc.so.6"),
    ("libcrypt1", "lib/x86_64-linux-gnu/libcrypt.so.1"),
    ("zlib1g", "lib/x86_64-linux-gnu/libz.so.1"),
    ("libtomcrypt1", "usr/lib/x86_64-linux-gnu/libtomcrypt.so.1"),
    ("libtommath1", "usr/lib/x86_64-linux-gnu/libtommath.so.1"),
    ("libgmp10", "usr/lib/x86_64-linux-gnu/libgmp.so.10"),
];

/// In the order in which `init` may need them; the order here does not matter.
const MODULES: [&str; 25] = [
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci",
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/net/virtio_net",
    "drivers/block/virtio_blk",
    "drivers/scsi/scsi_common",
    "drivers/scsi/scsi_mod",
    "drivers/scsi/virtio_scsi",
    "drivers/cdrom/cdrom",
    "drivers/scsi/sr_mod",
    "drivers/scsi/sd_mod",
    "drivers/acpi/button",
    "drivers/input/evdev",
    "drivers/char/virtio_console",
    "drivers/char/hw_random/virtio-rng",
    "fs/isofs/isofs",
    "fs/fat/fat",
    "fs/fat/vfat",
    "fs/nls/nls_cp437",
    "fs/nls/nls_ascii",
    "fs/fuse/fuse",
];

const DIRECTORIES: &str = "bin sbin usr usr/bin usr/sbin usr/lib usr/lib/micro usr/local usr/local/bin usr/local/sbin \
    lib lib/m lib64 lib/x86_64-linux-gnu etc etc/acpi etc/acpi/PWRF etc/dropbear proc sys dev run mnt mnt/cidata \
    mnt/lima-cidata home var var/log var/lib opt data";

const FILES: [(&str, &str, u32); 8] = [
    ("init", include_str!("../../guest/micro/init"), 0o755),
    ("usr/lib/micro/rc.late", include_str!("../../guest/micro/rc.late"), 0o755),
    ("usr/lib/micro/rc.shutdown", include_str!("../../guest/micro/rc.shutdown"), 0o755),
    ("usr/lib/micro/cidata.awk", include_str!("../../guest/micro/cidata.awk"), 0o644),
    ("etc/inittab", include_str!("../../guest/micro/inittab"), 0o644),
    ("etc/acpi/PWRF/00000080", include_str!("../../guest/micro/power"), 0o755),
    ("usr/bin/sudo", include_str!("../../guest/micro/sudo"), 0o755),
    ("etc/udhcpc.script", include_str!("../../guest/micro/udhcpc.script"), 0o755),
];

const ETC: [(&str, &str, u32); 6] = [
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n", 0o644),
    ("etc/shadow", "root::19000:0:99999:7:::\n", 0o600),
    ("etc/group", "root:x:0:\ntty:x:5:\ndisk:x:6:\nnogroup:x:65534:\n", 0o644),
    ("etc/shells", "/bin/sh\n/bin/ash\n", 0o644),
    (
        "etc/profile",
        "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n\
         # Values stand unquoted there, as pam_env reads them.\n\
         [ ! -r /etc/environment ] || while IFS= read -r line; do\n  \
         case $line in [A-Za-z_]*=*) export \"$line\" ;; esac\ndone </etc/environment\n",
        0o644,
    ),
    ("etc/os-release", "NAME=\"micro\"\nID=micro\nPRETTY_NAME=\"micro guest (Debian busybox)\"\nVERSION_ID=1\n", 0o644),
];

/// Returns everything that the built guest depends on.
pub fn recipe() -> Vec<(&'static str, &'static str)> {
    let mut recipe: Vec<_> = FILES.iter().chain(&ETC).map(|(name, text, _)| (*name, *text)).collect();
    recipe.push(("micro.rs", include_str!("micro.rs")));
    recipe.push(("cpio.rs", include_str!("cpio.rs")));
    recipe
}

/// Builds `vmlinux`, `initrd.cpio` and `disk.raw` into `out`. Needs no root.
pub fn build(work: &Path, out: &Path) -> Result<()> {
    packages::ensure(&[packages::STRIP, packages::MKE2FS])?;
    packages::ensure_lists()?;
    let kernel_package = packages::depended_on("linux-image-cloud-amd64", "linux-image-")?;
    let debs = work.join("debs");
    let mut used = shell::step("downloading packages", || {
        let mut names = PACKAGES.to_vec();
        names.push(&kernel_package);
        packages::unpack(&names, &debs)
    })?;
    used.sort();
    let version = kernel_package.trim_start_matches("linux-image-").to_owned();
    let kernel_root = debs.join(&kernel_package);
    shell::step("unpacking the kernel", || {
        let image = kernel_root.join("boot").join(format!("vmlinuz-{version}"));
        let bzimage = std::fs::read(&image).with_context(|| format!("cannot read {}", image.display()))?;
        Ok(std::fs::write(out.join("vmlinux"), kernel::vmlinux(&bzimage)?)?)
    })?;
    shell::step("packing the initial ram disk", || {
        let modules = kernel_root.join("lib/modules").join(&version).join("kernel");
        Ok(std::fs::write(out.join("initrd.cpio"), archive(&debs, &modules)?)?)
    })?;
    shell::step("making the data disk", || {
        let disk = out.join("disk.raw");
        std::fs::File::create(&disk)?.set_len(256 << 20)?;
        let mke2fs = shell::which("mke2fs").context("mke2fs was installed above")?;
        shell::capture(Command::new(mke2fs).args(["-q", "-t", "ext4", "-L", "micro-data"]).arg(&disk)).map(drop)
    })?;
    std::fs::write(out.join("packages.txt"), used.join("\n") + "\n")?;
    Ok(())
}

fn archive(debs: &Path, modules: &Path) -> Result<Vec<u8>> {
    let mut archive = Archive::default();
    for path in DIRECTORIES.split_whitespace() {
        archive.dir(path, 0o755);
    }
    archive.dir("tmp", 0o1777);
    archive.dir("root", 0o700);
    archive.character_device("dev/console", 0o600, (5, 1));

    let busybox = debs.join("busybox-static/bin/busybox");
    archive.copy("bin/busybox", &busybox, 0o755)?;
    // A copy of its own, setuid: the applet's name comes from argv[0].
    archive.copy("usr/lib/micro/su", &busybox, 0o4755)?;
    for (package, path) in LIBRARIES {
        let name = path.rsplit('/').next().expect("a path has a last part");
        archive.copy(&format!("lib/x86_64-linux-gnu/{name}"), &debs.join(package).join(path), 0o755)?;
    }
    let loader = "lib/x86_64-linux-gnu/ld-linux-x86-64.so.2";
    archive.copy("lib64/ld-linux-x86-64.so.2", &debs.join("libc6").join(loader), 0o755)?;
    archive.copy("usr/sbin/dropbear", &debs.join("dropbear-bin/usr/sbin/dropbear"), 0o755)?;
    archive.copy("usr/bin/dropbearkey", &debs.join("dropbear-bin/usr/bin/dropbearkey"), 0o755)?;
    let sftp = debs.join("openssh-sftp-server/usr/lib/openssh/sftp-server");
    archive.copy("usr/lib/sftp-server", &sftp, 0o755)?;
    for (path, text, mode) in FILES.iter().chain(&ETC) {
        archive.file(path, *text, *mode);
    }
    for module in MODULES {
        let name = module.rsplit('/').next().expect("a path has a last part");
        archive.module(&format!("lib/m/{name}.ko"), &modules.join(format!("{module}.ko")))?;
    }
    // Last, because a link gives way to a file of ours.
    let applets = shell::capture(Command::new(&busybox).arg("--list-full"))?;
    for applet in applets.lines().filter(|applet| *applet != "linuxrc") {
        archive.link(applet, "/bin/busybox");
    }
    Ok(archive.finish())
}
