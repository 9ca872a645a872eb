//! `rdd kubectl`: hands over to the kubectl that is installed.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::Args;
use rdd_host::environment;
use rdd_host::process::Spawn;

use crate::context::own_program;
use crate::failure::Advised;

/// How often kubectl may lead back here. Its plugins run kubectl, and that may be us; only a kubectl that is we, by a
/// script or as a copy of us, goes on for ever.
const MOST_HAND_OVERS: u32 = 8;

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
    let hand_overs = environment::get_text(environment::HAND_OVERS).and_then(|n| n.parse().ok()).unwrap_or(0);
    if hand_overs >= MOST_HAND_OVERS {
        let program = program.display();
        return Err(Advised::new(
            format!("{program} runs 'rdd kubectl', which hands over to {program} again"),
            "put the kubectl that is meant before it on PATH, or use 'rdd ctl', which needs none",
        )
        .into());
    }
    let spawn = Spawn::new(&program).args(&args.args);
    let error = spawn.env(environment::HAND_OVERS, (hand_overs + 1).to_string()).exec();
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
