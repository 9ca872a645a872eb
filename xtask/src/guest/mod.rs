//! Guest images made from Debian packages, without loop devices: `micro`, a few MB that boot in
//! seconds, and `debian`, a real Debian with systemd, cloud-init and openssh-server.
//!
//! A built guest lies in `target/guest/NAME`, and is made again only when its recipe changes. A link
//! from the user's cache directory leads there, so that templates can name it.

mod cpio;
mod debian;
mod kernel;
mod micro;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use sha2::{Digest as _, Sha256};

use crate::shell;

/// Arguments of `cargo xtask guest`.
#[derive(Args)]
pub struct GuestArgs {
    /// Which guest.
    kind: GuestKind,
    /// Build it even if it is there.
    #[arg(long)]
    force: bool,
}

/// The guests there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GuestKind {
    /// Kernel, busybox and dropbear in an initial ram disk; boots in seconds.
    Micro,
    /// Debian 12 with systemd, cloud-init and OpenSSH.
    Debian,
}

impl GuestKind {
    fn name(self) -> &'static str {
        match self {
            GuestKind::Micro => "micro",
            GuestKind::Debian => "debian",
        }
    }

    fn recipe(self) -> Vec<(&'static str, &'static str)> {
        match self {
            GuestKind::Micro => micro::recipe(),
            GuestKind::Debian => debian::recipe(),
        }
    }
}

/// Runs `cargo xtask guest`.
pub fn run(args: &GuestArgs) -> Result<()> {
    if args.force {
        let dir = dir(args.kind);
        if dir.exists() {
            std::fs::remove_dir_all(&dir).with_context(|| format!("cannot remove {}", dir.display()))?;
        }
    }
    let built = ensure(args.kind)?;
    for entry in list(&built)? {
        let size = std::fs::metadata(&entry)?.len();
        println!("  {:>9.1} MB  {}", size as f64 / 1e6, entry.display());
    }
    Ok(())
}

/// Returns where a guest's files are, or will be.
pub fn dir(kind: GuestKind) -> PathBuf {
    shell::target_dir().join("guest").join(kind.name())
}

/// Builds a guest unless it is there, and returns its directory.
pub fn ensure(kind: GuestKind) -> Result<PathBuf> {
    let dir = dir(kind);
    let key = key(kind);
    let stamp = dir.join("recipe.sha256");
    if std::fs::read_to_string(&stamp).is_ok_and(|old| old == key) {
        link(kind, &dir)?;
        return Ok(dir);
    }
    if std::env::consts::ARCH != "x86_64" {
        bail!("guests are built for x86_64 hosts only; this one is {}", std::env::consts::ARCH);
    }
    println!("building the {} guest from Debian packages", kind.name());
    let parent = dir.parent().expect("it lies in target/guest");
    std::fs::create_dir_all(parent)?;
    // Built aside and renamed whole, so that an interrupted build is never taken for a guest.
    let work = tempfile::Builder::new().prefix(".building-").tempdir_in(parent)?;
    let out = work.path().join("out");
    std::fs::create_dir(&out)?;
    match kind {
        GuestKind::Micro => micro::build(work.path(), &out)?,
        GuestKind::Debian => debian::build(work.path(), &out)?,
    }
    std::fs::write(out.join("recipe.sha256"), &key)?;
    if dir.exists() {
        std::fs::remove_dir_all(&dir)?;
    }
    std::fs::rename(&out, &dir).with_context(|| format!("cannot move the guest to {}", dir.display()))?;
    link(kind, &dir)?;
    Ok(dir)
}

fn key(kind: GuestKind) -> String {
    let mut hash = Sha256::new();
    for (name, text) in kind.recipe() {
        hash.update(name);
        hash.update([0]);
        hash.update(text);
        hash.update([0]);
    }
    hex::encode(hash.finalize())
}

/// Templates in `examples/` name `~/.cache/rdd/guest/NAME`.
fn link(kind: GuestKind, dir: &Path) -> Result<()> {
    let Some(home) = std::env::var_os("HOME") else { return Ok(()) };
    let parent = Path::new(&home).join(".cache/rdd/guest");
    let link = parent.join(kind.name());
    if std::fs::read_link(&link).is_ok_and(|to| to == dir) {
        return Ok(());
    }
    std::fs::create_dir_all(&parent).with_context(|| format!("cannot create {}", parent.display()))?;
    if link.symlink_metadata().is_ok() {
        std::fs::remove_file(&link).with_context(|| format!("cannot replace {}", link.display()))?;
    }
    std::os::unix::fs::symlink(dir, &link).with_context(|| format!("cannot create {}", link.display()))
}

fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = std::fs::read_dir(dir)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}
