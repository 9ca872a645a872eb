//! The official Kubernetes clients of other languages that tests run, unpacked below the build directory and never
//! installed. They come from the registries of their languages, as their own package programs are configured.

use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use crate::{packages, shell};

/// The official Python client.
const PYTHON: &str = "kubernetes==36.0.2";
/// What npm installs, with the digest of each package.
const JAVASCRIPT: &str = include_str!("clients/package.json");
const JAVASCRIPT_LOCK: &str = include_str!("clients/package-lock.json");

/// Returns the directory with the Python client, for `PYTHONPATH`.
pub fn python() -> Result<PathBuf> {
    // Compiled packages are for one version of Python.
    let version = {
        packages::ensure(&[packages::PIP])?;
        shell::capture(Command::new("python3").args(["-c", "import sys; print('%d.%d' % sys.version_info[:2])"]))?
    };
    let name = format!("client-python-{}", version.trim());
    shell::unpacked(&name, "kubernetes/__init__.py", |work| {
        let mut install = Command::new("pip3");
        install.args([
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-compile",
            "--root-user-action=ignore",
        ]);
        shell::capture(install.arg("--target").arg(work).arg(PYTHON)).map(drop)
    })
    .map(|found| found.ancestors().nth(2).expect("it lies two levels down").to_owned())
}

/// Returns the JavaScript client's main module.
pub fn javascript() -> Result<PathBuf> {
    packages::ensure(&[packages::NODE, packages::NPM])?;
    shell::unpacked("client-javascript", "node_modules/@kubernetes/client-node/dist/index.js", |work| {
        std::fs::write(work.join("package.json"), JAVASCRIPT)?;
        std::fs::write(work.join("package-lock.json"), JAVASCRIPT_LOCK)?;
        let mut install = Command::new("npm");
        install.args([
            "ci",
            "--omit=dev",
            "--omit=optional",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--silent",
        ]);
        shell::capture(install.current_dir(work)).map(drop)
    })
}
