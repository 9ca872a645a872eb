//! `rdd limavm shell`: a command in a VM, or a shell, through OpenSSH.

use std::io::IsTerminal as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use clap::Args;
use rdd_host::environment;
use rdd_host::process::Spawn;
use rdd_machine::MachineName;
use rdd_machine_dir::{Inspection, MachineDir, Standing, inspect};

use super::api::Vms;
use super::quote;
use crate::context::Context;

/// Options beside those of the machine's `ssh.config`. A shared connection would outlive the
/// command, so there is none.
const OPTIONS: [&str; 6] = [
    "ControlMaster=no",
    "ControlPath=none",
    "LogLevel=ERROR",
    "ConnectTimeout=30",
    "ServerAliveInterval=30",
    "ServerAliveCountMax=3",
];

/// Arguments of `limavm shell`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  # A shell
  rdd limavm shell demo

  # A command; its exit code becomes ours
  rdd limavm shell demo uname -a

  # A command line for the guest's shell
  rdd limavm shell demo sh -c 'echo $HOME'")]
pub(crate) struct ShellArgs {
    /// Shell in the guest, instead of the user's login shell
    #[arg(long)]
    shell: Option<String>,

    /// Directory in the guest
    #[arg(long)]
    workdir: Option<String>,

    /// The VM
    name: String,

    /// The command and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Becomes `ssh`.
pub(super) async fn run(args: &ShellArgs, context: &Context) -> anyhow::Result<()> {
    let vm = Vms::connect(context).await?.find(&args.name).await?;
    let name = MachineName::new(&vm.name)?;
    let instance = context.instance()?;
    let dir = MachineDir::new(&instance.paths().lima_home, &name);
    let inspection = inspect(&dir).with_context(|| format!("cannot look at {}", dir.path().display()))?;
    let runs = inspection.as_ref().is_some_and(|found| found.standing == Standing::Running);
    if !runs || !dir.ssh_config().is_file() {
        let status = inspection.as_ref().map_or("Uninitialized", Inspection::lima_status);
        bail!("instance {:?} is not running (status: {status}), use 'rdd lima start {}' first", vm.name, vm.name);
    }

    let ssh = environment::get_text(environment::SSH).unwrap_or_else(|| "ssh".into());
    let mut words = ssh.split_whitespace();
    let program = words.next().context("SSH names no program")?;
    let mut spawn = Spawn::new(program).args(words).arg("-F").arg(dir.ssh_config());
    for option in OPTIONS {
        spawn = spawn.arg("-o").arg(option);
    }
    if environment::get(environment::COLORTERM).is_some() {
        spawn = spawn.arg("-o").arg("SendEnv=COLORTERM");
    }
    if std::io::stdout().is_terminal() {
        spawn = spawn.arg("-t");
    }
    let script = script(args, mounted_directories(inspection.and_then(|i| i.template), &name, dir.path()).as_ref());
    let error = spawn.arg(format!("lima-{name}")).arg("--").arg(script).exec();
    if error.kind() == std::io::ErrorKind::NotFound {
        bail!("{program} is not installed: no program of that name on PATH; on Debian it is in openssh-client");
    }
    Err(error).with_context(|| format!("cannot run {program}"))
}

/// Returns what the guest's shell runs.
fn script(args: &ShellArgs, mounted: Option<&Directories>) -> String {
    let change = match (&args.workdir, mounted) {
        (Some(dir), _) => format!("cd {} || exit 1; ", quote::word(dir)),
        (None, Some(Directories { current, home })) => {
            format!("cd {} 2>/dev/null || cd {} 2>/dev/null; ", quote::word(current), quote::word(home))
        }
        (None, None) => String::new(),
    };
    let shell = args.shell.as_deref().map_or_else(|| "\"$SHELL\"".to_owned(), quote::word);
    let command = match args.command.as_slice() {
        [] => String::new(),
        words => format!(" -c {}", quote::word(&quote::line(words))),
    };
    format!("{change}exec {shell} --login{command}")
}

/// The host's directories that the guest may see as well.
struct Directories {
    current: String,
    home: String,
}

/// Returns the directories to try in a guest that sees some of the host's.
fn mounted_directories(template: Option<String>, name: &MachineName, dir: &Path) -> Option<Directories> {
    let host = rdd_template::HostFacts::detect(&[]);
    let config = rdd_template::parse(&template?).ok()?.resolve(name, dir, &host).ok()?;
    if config.mounts.is_empty() {
        return None;
    }
    let current = std::env::current_dir().ok()?.to_str()?.to_owned();
    Some(Directories { current, home: host.home.to_str()?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(workdir: Option<&str>, shell: Option<&str>, command: &[&str], expect: &str) {
        let args = ShellArgs {
            shell: shell.map(str::to_owned),
            workdir: workdir.map(str::to_owned),
            name: "demo".into(),
            command: command.iter().map(|word| (*word).to_owned()).collect(),
        };
        assert_eq!(script(&args, None), expect);
    }

    #[test]
    fn scripts() {
        check(None, None, &[], r#"exec "$SHELL" --login"#);
        check(None, None, &["uname", "-a"], r#"exec "$SHELL" --login -c 'uname -a'"#);
        check(Some("/a b"), None, &[], r#"cd '/a b' || exit 1; exec "$SHELL" --login"#);
        check(None, Some("/bin/zsh"), &["exit", "7"], "exec /bin/zsh --login -c 'exit 7'");
        check(None, None, &["sh", "-c", "exit 7"], r#"exec "$SHELL" --login -c 'sh -c '"'"'exit 7'"'"''"#);
    }
}
