//! `rdd kubectl`: hands over to the kubectl that is installed.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use rdd_host::process::Spawn;

use crate::context::own_program;

/// Arguments of `kubectl`.
#[derive(Args, Debug)]
pub(crate) struct KubectlArgs {
    /// kubectl's own arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGS")]
    args: Vec<OsString>,
}

/// Replaces this process by kubectl.
pub(crate) fn run(args: &KubectlArgs) -> anyhow::Result<()> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let Some(program) = find(&path, &own_program()?) else {
        bail!(
            "kubectl is not installed: no program of that name on PATH; install it, or use 'rdd ctl', which needs none"
        );
    };
    let error = Spawn::new(&program).args(&args.args).exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}

/// Finds the first kubectl on the path that is not ourselves under that name.
fn find(path: &OsStr, ourselves: &Path) -> Option<PathBuf> {
    let ourselves = ourselves.canonicalize().ok();
    let name = format!("kubectl{}", std::env::consts::EXE_SUFFIX);
    std::env::split_paths(path).map(|directory| directory.join(&name)).find(|candidate| {
        is_program(candidate) && candidate.canonicalize().ok().is_some_and(|real| Some(real) != ourselves)
    })
}

#[cfg(unix)]
fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_program(path: &Path) -> bool {
    path.is_file()
}
