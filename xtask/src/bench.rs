//! The figures of PROMISES.md, measured side by side in one run, on the optimised build.
//!
//! Each figure is the median of several runs, with the least and the greatest; where there is
//! something to compare with, both are measured in turn and the ratio is told. These machines are
//! noisy: quote ratios.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::Args;
use tempfile::TempDir;

use crate::guest::{self, GuestKind};
use crate::{packages, shell};

/// Arguments of `cargo xtask bench`.
#[derive(Args)]
pub struct BenchArgs {
    /// How often each start of the service is measured.
    #[arg(long, default_value_t = 10)]
    runs: usize,
    /// How often each start of a VM is measured.
    #[arg(long, default_value_t = 5)]
    vm_runs: usize,
    /// Leaves the Debian guest out, which takes minutes.
    #[arg(long)]
    micro_only: bool,
    /// Measures the optimised build that is there.
    #[arg(long)]
    no_build: bool,
}

/// Runs `cargo xtask bench`.
pub fn run(args: &BenchArgs) -> Result<()> {
    packages::ensure(&[packages::QEMU, packages::SSH])?;
    guest::ensure(GuestKind::Micro)?;
    let mut guests = vec![GuestKind::Micro];
    if !args.micro_only {
        guest::ensure(GuestKind::Debian)?;
        guests.push(GuestKind::Debian);
    }
    if !args.no_build {
        println!("building (optimised)");
        // At once, so that all share one build of the dependencies.
        let packages = ["--package", "rdd", "--package", "rdd-store", "--package", "rdd-e2e"];
        shell::run(shell::cargo().args(["build", "--release", "--bins", "--examples"]).args(packages))?;
    }

    println!("\n| figure | median | least | greatest |\n|---|---|---|---|");
    let rdd = shell::target_dir().join("release/rdd");
    row("size of the binary, MB", &[std::fs::metadata(&rdd)?.len() as f64 / 1e6]);
    service(&rdd, args.runs)?;
    creates(&rdd)?;
    for kind in guests {
        machine(&rdd, kind, args.vm_runs)?;
    }
    Ok(())
}

/// Prints a row of the table.
fn row(name: &str, values: &[f64]) {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (Some(least), Some(greatest)) = (sorted.first(), sorted.last()) else { return };
    println!("| {name} | {:.3} | {least:.3} | {greatest:.3} |", median(&sorted));
}

fn median(sorted: &[f64]) -> f64 {
    let middle = sorted.len() / 2;
    if sorted.len() % 2 == 1 { sorted[middle] } else { f64::midpoint(sorted[middle - 1], sorted[middle]) }
}

/// Prints two series and the ratio of each pair.
fn compare(name: &str, ours: &[f64], theirs_name: &str, theirs: &[f64]) {
    row(name, ours);
    row(theirs_name, theirs);
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a / b).collect();
    row("… ratio, pair by pair", &ratios);
}

/// A home directory with an instance; deleted at the end.
struct Home {
    dir: TempDir,
    rdd: PathBuf,
}

impl Home {
    fn new(rdd: &Path) -> Result<Self> {
        Ok(Self { dir: tempfile::Builder::new().prefix("rddb").tempdir()?, rdd: rdd.to_owned() })
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.rdd);
        command.args(args).stdin(Stdio::null());
        command.env("HOME", self.dir.path()).env("RDD_INSTANCE", "b").env("RDD_LOG_LEVEL", "warn");
        command
    }

    /// Runs a command and returns what it printed and the seconds it took.
    fn timed(&self, args: &[&str]) -> Result<(String, f64)> {
        let start = Instant::now();
        let text = shell::capture(&mut self.command(args))?;
        Ok((text, start.elapsed().as_secs_f64()))
    }

    fn service_dir(&self) -> PathBuf {
        self.dir.path().join(".local/share/rancher-desktop-b")
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if let Err(error) = shell::capture(&mut self.command(&["svc", "delete"])) {
            eprintln!("cannot delete the instance: {error:#}");
        }
    }
}

fn service(rdd: &Path, runs: usize) -> Result<()> {
    let (mut first, mut later, mut process) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let home = Home::new(rdd)?;
        first.push(home.timed(&["svc", "start"])?.1);
        home.timed(&["svc", "stop"])?;
        later.push(home.timed(&["svc", "start"])?.1);
        process.push(home.timed(&["version"])?.1);
    }
    row("svc start to ready, first, s", &first);
    row("svc start to ready, later, s", &later);
    row("(rdd version, for scale, s)", &process);

    let home = Home::new(rdd)?;
    home.timed(&["svc", "start"])?;
    let pid = std::fs::read_to_string(home.service_dir().join("rdd.pid")).context("cannot read rdd.pid")?;
    // What the service does right after its start is over by then; this measures rest.
    std::thread::sleep(Duration::from_secs(5));
    let before = cpu_ticks(pid.trim())?;
    std::thread::sleep(Duration::from_secs(10));
    row("resident memory of the idle service, MB", &[resident_kb(pid.trim())? / 1e3]);
    row("processor time of the idle service, ms in 10 s", &[(cpu_ticks(pid.trim())? - before) * 10.0]);
    Ok(())
}

fn resident_kb(pid: &str) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse()?)
}

/// User and system time, in ticks of 10 ms (proc(5)).
fn cpu_ticks(pid: &str) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit(')').next().context("stat has a name in parentheses")?;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    Ok(fields[11].parse::<f64>()? + fields[12].parse::<f64>()?)
}

fn creates(rdd: &Path) -> Result<()> {
    let examples = shell::target_dir().join("release/examples");
    // On the same disk, one after the other: raw commits and the store, then the whole way over HTTPS.
    let home = Home::new(rdd)?;
    let store = shell::capture(Command::new(examples.join("commit_rate")).arg(home.dir.path()))?;
    home.timed(&["svc", "start"])?;
    let api = shell::capture(Command::new(examples.join("creates")).arg(home.service_dir().join("config.yaml")))?;
    println!("\nDurable creates per second:\n\n```text\n{store}{api}```");
    Ok(())
}

/// The start of a VM, to `Running` and to a shell, beside QEMU started bare with the same arguments.
fn machine(rdd: &Path, kind: GuestKind, runs: usize) -> Result<()> {
    let dir = guest::dir(kind);
    let (name, settings) = match kind {
        GuestKind::Micro => ("micro", "cpus: 1\nmemory: 256MiB\ndisk: 256MiB\n"),
        GuestKind::Debian => ("debian", "cpus: 2\nmemory: 1GiB\ndisk: 4GiB\n"),
    };
    let (disk, cmdline) = match kind {
        GuestKind::Micro => ("disk.raw", "console=ttyS0 quiet cryptomgr.notests"),
        GuestKind::Debian => ("disk.qcow2", "root=LABEL=cloudimg-rootfs rw console=ttyS0 quiet cryptomgr.notests"),
    };
    let d = dir.display();
    let template = format!(
        "vmType: qemu\nimages:\n- location: {d}/{disk}\n  kernel:\n    location: {d}/vmlinux\n    cmdline: {cmdline}\n  \
         initrd:\n    location: {d}/initrd.cpio\nmounts: []\ncontainerd: {{system: false, user: false}}\n{settings}"
    );
    let home = Home::new(rdd)?;
    let file = home.dir.path().join("template.yaml");
    std::fs::write(&file, template)?;
    let file = file.to_str().context("the path is UTF-8")?;
    home.timed(&["limavm", "create", name, file])?;
    // The first boot does once-only work in the guest; it is not what is compared.
    home.timed(&["limavm", "start", name, "--timeout=10m"])?;
    let machine = home.dir.path().join(".rdb/lima").join(name);
    let arguments = arguments_of(&machine)?;
    home.timed(&["limavm", "stop", name, "--timeout=5m"])?;

    let (mut running, mut shell, mut bare_shell, mut bare_done) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let start = Instant::now();
        home.timed(&["limavm", "start", name, "--timeout=10m"])?;
        running.push(start.elapsed().as_secs_f64());
        home.timed(&["limavm", "shell", name, "true"])?;
        shell.push(start.elapsed().as_secs_f64());
        home.timed(&["limavm", "stop", name, "--timeout=5m"])?;
        let (done, ready) = bare(&arguments, &machine, name)?;
        bare_done.push(done);
        bare_shell.push(ready);
    }
    println!("\n| {name}: figure | median | least | greatest |\n|---|---|---|---|");
    compare("limavm start to Running, s", &running, "bare QEMU to the end of its boot scripts, s", &bare_done);
    compare("limavm start to a shell, s", &shell, "bare QEMU to an SSH command after them, s", &bare_shell);
    Ok(())
}

/// Returns the command line of a machine's running QEMU.
fn arguments_of(machine: &Path) -> Result<Vec<String>> {
    let pid = std::fs::read_to_string(machine.join("qemu.pid")).context("cannot read qemu.pid")?;
    let line = std::fs::read(format!("/proc/{}/cmdline", pid.trim()))?;
    let words = line.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    let mut words: Vec<String> = words.collect();
    words.pop();
    Ok(words)
}

/// Starts QEMU by itself and returns the seconds to the end of the boot scripts, and to the end of an SSH
/// command after them.
fn bare(arguments: &[String], machine: &Path, name: &str) -> Result<(f64, f64)> {
    let config = std::fs::read_to_string(machine.join("ssh.config"))?;
    let port = config.lines().find_map(|line| line.trim().strip_prefix("Port ")).context("ssh.config names a port")?;
    let address = format!("127.0.0.1:{}", forwarded_port(arguments).unwrap_or_else(|| port.to_owned()));
    let seed_token = boot_token(machine);
    let start = Instant::now();
    let mut qemu = Command::new(&arguments[0]);
    let mut child =
        qemu.args(&arguments[1..]).current_dir(machine).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
    let result = (|| {
        let mut patience = Duration::from_millis(100);
        while !has_banner(&address, patience) {
            patience = (patience * 5 / 4).min(Duration::from_secs(4));
            if let Some(status) = child.try_wait()? {
                bail!("QEMU ended: {status}");
            }
            if start.elapsed() > Duration::from_secs(300) {
                bail!("no SSH server after 300 s");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let port = address.rsplit(':').next().unwrap_or_default();
        let ssh = |command: &str| {
            let mut ssh = Command::new("ssh");
            ssh.arg("-F").arg(machine.join("ssh.config")).args(["-o", "ControlMaster=no", "-o", "ControlPath=none"]);
            ssh.args(["-o", "LogLevel=ERROR", "-p", port]).arg(format!("lima-{name}")).arg(command);
            ssh
        };
        // Early logins are refused until the guest has made its user; asked again at once.
        while shell::capture(&mut ssh("true")).is_err() {
            if start.elapsed() > Duration::from_secs(300) {
                bail!("no login after 300 s");
            }
        }
        let wait = format!("until sudo grep -qs '{seed_token}' /run/lima-boot-done; do sleep 0.05; done");
        shell::capture(&mut ssh(&wait))?;
        let done = start.elapsed().as_secs_f64();
        shell::capture(&mut ssh("true"))?;
        Ok((done, start.elapsed().as_secs_f64()))
    })();
    power_down(&machine.join("qmp.sock")).ok();
    let deadline = Instant::now() + Duration::from_secs(30);
    while Instant::now() < deadline && child.try_wait()?.is_none() {
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().ok();
    child.wait()?;
    result
}

fn forwarded_port(arguments: &[String]) -> Option<String> {
    let netdev = arguments.iter().find(|word| word.contains("hostfwd=tcp:127.0.0.1:"))?;
    let rest = netdev.split("hostfwd=tcp:127.0.0.1:").nth(1)?;
    Some(rest.split('-').next()?.to_owned())
}

/// The mark that the boot scripts leave: the machine's token of its last boot. Empty matches any.
fn boot_token(machine: &Path) -> String {
    std::fs::read_to_string(machine.join("boot-id")).map(|text| text.trim().to_owned()).unwrap_or_default()
}

fn has_banner(address: &str, patience: Duration) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    // A connection that reaches a guest before its network is up gets its banner seconds late (slirp
    // repeats its SYN ever more seldom), which would be charged to QEMU: rather a new one, soon. Slow
    // guests need longer to greet, so patience grows.
    if stream.set_read_timeout(Some(patience)).is_err() {
        return false;
    }
    let mut banner = [0; 4];
    stream.read_exact(&mut banner).is_ok() && &banner == b"SSH-"
}

fn power_down(socket: &Path) -> Result<()> {
    let stream = UnixStream::connect(socket)?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    lines.next().context("QMP greets")??;
    for command in ["qmp_capabilities", "system_powerdown"] {
        writeln!(&stream, "{{\"execute\":\"{command}\"}}")?;
        lines.next().context("QMP answers")??;
    }
    Ok(())
}
