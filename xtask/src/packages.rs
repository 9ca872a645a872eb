//! Debian packages that the demo and the tests need: found, installed as root, or named.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::shell;

/// A program that must be there, and the Debian package that brings it.
pub struct Need {
    /// The program, looked up on PATH.
    pub program: &'static str,
    /// The package.
    pub package: &'static str,
}

/// QEMU, for real VMs.
pub const QEMU: Need = Need { program: "qemu-system-x86_64", package: "qemu-system-x86" };
/// The SSH client, for `rdd limavm shell`.
pub const SSH: Need = Need { program: "ssh", package: "openssh-client" };
/// Makes ext4 file systems without mounting them.
pub const MKE2FS: Need = Need { program: "mke2fs", package: "e2fsprogs" };
/// Strips kernel modules.
pub const STRIP: Need = Need { program: "strip", package: "binutils" };
/// Fetches the lists of public images.
pub const CURL: Need = Need { program: "curl", package: "curl" };
/// Downloads Python packages.
pub const PIP: Need = Need { program: "pip3", package: "python3-pip" };
/// Runs the JavaScript client.
pub const NODE: Need = Need { program: "node", package: "nodejs" };
/// Downloads JavaScript packages.
pub const NPM: Need = Need { program: "npm", package: "npm" };
/// Makes a Debian root file system.
pub const MMDEBSTRAP: Need = Need { program: "mmdebstrap", package: "mmdebstrap" };
/// Makes and checks disk images.
pub const QEMU_IMG: Need = Need { program: "qemu-img", package: "qemu-utils" };
/// Reads the seeds that we write, to have another opinion.
pub const XORRISO: Need = Need { program: "xorriso", package: "xorriso" };

/// Installs what is missing. Without root, fails and names the packages.
pub fn ensure(needs: &[Need]) -> Result<()> {
    let missing: Vec<&str> =
        needs.iter().filter(|need| shell::which(need.program).is_none()).map(|need| need.package).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let install = format!("apt-get update && apt-get install -y --no-install-recommends {}", missing.join(" "));
    if shell::which("apt-get").is_none() {
        bail!("missing programs; on Debian they are in the packages: {}", missing.join(" "));
    }
    if !is_root()? {
        bail!("missing packages: {}\nhint: run this as root, or with sudo: {install}", missing.join(" "));
    }
    shell::step(&format!("installing {}", missing.join(", ")), || {
        update_lists()?;
        let backports = missing.contains(&QEMU.package) && qemu_utils_is_from_backports()?;
        if backports {
            add_backports()?;
        }
        let mut command = apt_get();
        command.args(["install", "-y", "-q", "--no-install-recommends"]);
        if backports {
            command.args(["-t", "bookworm-backports"]);
        }
        shell::capture(command.args(&missing)).map(drop)
    })
}

/// Makes the package lists usable for look-ups and downloads.
pub fn ensure_lists() -> Result<()> {
    if has_candidate("busybox-static")? {
        return Ok(());
    }
    if !is_root()? {
        bail!("the package lists are empty\nhint: run this as root, or with sudo: apt-get update");
    }
    shell::step("updating the package lists", update_lists)
}

/// Downloads packages into `dir` and unpacks each into a directory of its name below `dir`.
///
/// Returns the files, so that a caller can note what it used.
pub fn unpack(names: &[&str], dir: &Path) -> Result<Vec<String>> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let mut download = apt_get();
    // The user `_apt` often cannot write here; root then downloads itself, which is what we want.
    download.args(["-q", "-o", "APT::Sandbox::User=root", "download"]).args(names).current_dir(dir);
    shell::capture(&mut download)?;
    let mut files = Vec::new();
    for name in names {
        let file = deb_file(dir, name)?;
        shell::capture(Command::new("dpkg-deb").arg("-x").arg(&file).arg(dir.join(name)))?;
        files.push(file.file_name().expect("a file has a name").to_string_lossy().into_owned());
        std::fs::remove_file(&file)?;
    }
    Ok(files)
}

/// Returns the package that a meta package stands for, as `linux-image-6.1.0-…` for `linux-image-cloud-amd64`.
pub fn depended_on(meta: &str, prefix: &str) -> Result<String> {
    let text = shell::capture(Command::new("apt-cache").args(["depends", meta]))?;
    let found =
        text.lines().filter_map(|line| line.trim().strip_prefix("Depends: ")).find(|name| name.starts_with(prefix));
    Ok(found.with_context(|| format!("package {meta} depends on no {prefix}*"))?.to_owned())
}

/// Returns whether we are the superuser.
pub fn is_root() -> Result<bool> {
    Ok(shell::capture(Command::new("id").arg("-u"))?.trim() == "0")
}

fn deb_file(dir: &Path, name: &str) -> Result<PathBuf> {
    let prefix = format!("{name}_");
    for entry in std::fs::read_dir(dir)? {
        let file_name = entry?.file_name();
        let text = file_name.to_string_lossy();
        if text.starts_with(&prefix) && text.ends_with(".deb") {
            return Ok(dir.join(&file_name));
        }
    }
    bail!("package {name} was not downloaded")
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
}

fn update_lists() -> Result<()> {
    shell::capture(apt_get().args(["update", "-q"])).map(drop)
}

fn has_candidate(package: &str) -> Result<bool> {
    let text = shell::capture(Command::new("apt-cache").args(["policy", package]))?;
    Ok(text.lines().any(|line| line.trim().strip_prefix("Candidate: ").is_some_and(|version| version != "(none)")))
}

/// A qemu-system from another suite than an installed qemu-utils cannot be installed beside it.
fn qemu_utils_is_from_backports() -> Result<bool> {
    let output = Command::new("dpkg-query").args(["-W", "-f", "${Version}", "qemu-utils"]).output()?;
    Ok(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("~bpo"))
}

fn add_backports() -> Result<()> {
    let policy = shell::capture(Command::new("apt-cache").arg("policy"))?;
    if policy.contains("bookworm-backports") {
        return Ok(());
    }
    // The mirror is the one that the machine's own sources name for the main suite.
    let mirror = policy
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with("http")))
        .find(|url| url.trim_end_matches('/').ends_with("/debian"))
        .context("no Debian mirror in the machine's package sources")?
        .to_owned();
    let line = format!("deb {mirror} bookworm-backports main\n");
    std::fs::write("/etc/apt/sources.list.d/bookworm-backports.list", line).context("cannot add bookworm-backports")?;
    update_lists()
}
