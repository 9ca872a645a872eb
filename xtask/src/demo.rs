//! `cargo xtask demo`: the whole product in a minute, on a machine where nothing was installed.
//!
//! It runs the commands of the README's first screen in a home directory of its own and removes that
//! home at the end, also after Ctrl-C: no process, no instance and no file stays behind.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use tempfile::TempDir;

use crate::guest::{self, GuestKind};
use crate::{packages, shell};

/// Arguments of `cargo xtask demo`.
#[derive(Args)]
pub struct DemoArgs {
    /// Uses the optimised build; takes minutes longer to build.
    #[arg(long)]
    release: bool,
}

/// Runs `cargo xtask demo`.
pub fn run(args: &DemoArgs) -> Result<()> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    // The terminal sends Ctrl-C to the running command as well, which ends; then we clean up.
    ctrlc::set_handler(move || flag.store(true, Ordering::SeqCst)).context("cannot handle Ctrl-C")?;

    let start = Instant::now();
    println!("1. What the demo needs");
    packages::ensure(&[packages::QEMU, packages::SSH])?;
    guest::ensure(GuestKind::Micro)?;
    check(&interrupted)?;

    println!("2. Building rdd");
    let rdd = build(args.release)?;
    check(&interrupted)?;

    println!("3. A virtual machine, declared");
    let stage = Stage::new(rdd)?;
    let answer = stage.play(&interrupted);
    println!("5. Cleaning up");
    stage.clear()?;
    let answer = answer?;

    println!("\nThe guest answered in its own words:\n\n    {}\n", answer.trim());
    println!("All of it took {:.0} s. What to try next:\n", start.elapsed().as_secs_f64());
    println!("    cargo build --release && export PATH=\"$PWD/target/release:$PATH\"");
    println!("    rdd svc start");
    println!("    rdd ctl apply -f examples/demo.yaml");
    println!("    rdd ctl get limavm --watch        # Ctrl-C when it runs");
    println!("    rdd limavm shell demo\n");
    println!("README.md goes on from there.");
    Ok(())
}

fn check(interrupted: &AtomicBool) -> Result<()> {
    if interrupted.load(Ordering::SeqCst) {
        bail!("interrupted");
    }
    Ok(())
}

fn build(release: bool) -> Result<PathBuf> {
    let mut command = shell::cargo();
    command.args(["build", "--package", "rdd", "--bin", "rdd"]);
    if release {
        command.arg("--release");
    }
    shell::run(&mut command)?;
    Ok(shell::target_dir().join(if release { "release" } else { "debug" }).join("rdd"))
}

/// A home directory with an instance in it.
struct Stage {
    home: TempDir,
    rdd: PathBuf,
}

impl Stage {
    fn new(rdd: PathBuf) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("rdd-demo-").tempdir().context("cannot make a directory")?;
        // The template names files below ~/.cache, as it does for a person.
        let cache = home.path().join(".cache/rdd");
        std::fs::create_dir_all(&cache)?;
        let guests = guest::dir(GuestKind::Micro);
        std::os::unix::fs::symlink(guests.parent().expect("it lies in target/guest"), cache.join("guest"))?;
        Ok(Self { home, rdd })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.rdd);
        command.args(args).current_dir(shell::root()).stdin(Stdio::null());
        command.env("HOME", self.home.path()).env("RDD_INSTANCE", "demo").env("RDD_LOG_LEVEL", "warn");
        command
    }

    fn play(&self, interrupted: &AtomicBool) -> Result<String> {
        let show = |args: &[&str]| {
            check(interrupted)?;
            self.show(args)
        };
        show(&["svc", "start"])?;
        show(&["ctl", "apply", "-f", "examples/demo.yaml"])?;
        let progress = Progress::of(self)?;
        let waited = show(&["ctl", "wait", "--for=condition=Running", "limavm/demo", "--timeout=5m"]);
        progress.end();
        waited?;
        show(&["ctl", "get", "limavm,configmap"])?;
        println!("4. You are in it");
        let answer = show(&["limavm", "shell", "demo", "uname", "-a"])?;
        if let Some(kubectl) = shell::which("kubectl") {
            check(interrupted)?;
            self.show_kubectl(&kubectl)?;
        }
        show(&["limavm", "stop", "demo"])?;
        show(&["limavm", "delete", "demo"])?;
        Ok(answer)
    }

    /// Runs a command, showing it, what it printed and the time it took.
    fn show(&self, args: &[&str]) -> Result<String> {
        show(&format!("rdd {}", args.join(" ")), &mut self.command(args))
    }

    fn show_kubectl(&self, kubectl: &Path) -> Result<()> {
        let config = self.home.path().join("kubeconfig");
        std::fs::write(&config, shell::capture(&mut self.command(&["svc", "config"]))?)?;
        let mut command = Command::new(kubectl);
        command.arg("--kubeconfig").arg(&config).args(["get", "limavm"]).env("HOME", self.home.path());
        show("kubectl --kubeconfig <(rdd svc config) get limavm", &mut command).map(drop)
    }

    /// Stops and deletes the instance, then removes the home. Not disturbed by Ctrl-C.
    fn clear(self) -> Result<()> {
        let mut command = self.command(&["svc", "delete"]);
        // Out of the terminal's foreground group, so that a second Ctrl-C does not reach it.
        command.process_group(0);
        show("rdd svc delete", &mut command)?;
        self.home.close().context("cannot remove the demo's directory")
    }
}

/// What the VM's conditions say while somebody waits, line by line.
struct Progress {
    watch: Child,
    reader: std::thread::JoinHandle<()>,
}

impl Progress {
    fn of(stage: &Stage) -> Result<Self> {
        let message = r#"jsonpath={.status.conditions[-1:].message}{"\n"}"#;
        let mut command = stage.command(&["ctl", "get", "limavm", "demo", "--watch", "-o", message]);
        let mut watch = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("cannot run rdd")?;
        let lines = BufReader::new(watch.stdout.take().expect("it is piped")).lines();
        let reader = std::thread::spawn(move || {
            let mut last = String::new();
            for line in lines.map_while(Result::ok).filter(|line| !line.is_empty()) {
                if line != last {
                    println!("     … {line}");
                    last = line;
                }
            }
        });
        Ok(Self { watch, reader })
    }

    fn end(mut self) {
        // It may have ended by itself, as after Ctrl-C.
        self.watch.kill().ok();
        self.watch.wait().ok();
        self.reader.join().ok();
    }
}

fn show(title: &str, command: &mut Command) -> Result<String> {
    println!("   $ {title}");
    let start = Instant::now();
    let output = command.output().with_context(|| format!("cannot run {title}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for line in text.lines() {
        println!("     {line}");
    }
    if !output.status.success() {
        bail!("{title}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    println!("     ({:.1} s)", start.elapsed().as_secs_f64());
    Ok(text)
}
