//! Every test, floor by floor, the least powerful first, so that a failure names the lowest floor that
//! shows it: 10 pure · 20 crate · 30 API · 40 controllers with the fake driver · 50 command line · 60 real VM.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::guest::{self, GuestKind};
use crate::{check, clients, kubectl, packages, shell};

/// Arguments of `cargo xtask test`.
#[derive(Args)]
pub struct TestArgs {
    /// Runs one floor only: 10, 20, 30, 40, 50 or 60.
    #[arg(long)]
    floor: Option<u32>,
    /// Runs only tests whose name contains this.
    filter: Option<String>,
    /// Leaves the gate (rooms, format, clippy, docs) out.
    #[arg(long)]
    no_check: bool,
}

/// Floors and their names, in order.
const FLOORS: [(u32, &str); 6] = [
    (10, "pure"),
    (20, "crate"),
    (30, "API in process"),
    (40, "controllers with the fake driver"),
    (50, "command line"),
    (60, "real VM"),
];

/// Crates whose every test is pure.
const PURE: [&str; 7] = ["rdd-api", "rdd-machine", "rdd-schema", "rdd-merge", "rdd-template", "rdd-seed", "xtask"];
/// Crates whose integration tests run the API.
const API: [&str; 2] = ["rdd-verbs", "rdd-apiserver"];
/// Crates whose integration tests run controllers, the engine or a hostagent on the fake driver.
const CONTROLLERS: [&str; 5] =
    ["rdd-reconcile", "rdd-engine", "rdd-hostagent", "rdd-controllers-core", "rdd-controllers-lima"];

struct TestBinary {
    package: String,
    name: String,
    is_integration: bool,
    executable: PathBuf,
    dir: PathBuf,
}

impl TestBinary {
    fn floor(&self) -> u32 {
        let package = self.package.as_str();
        match package {
            "rdd-e2e" => 60,
            "rdd" | "rdd-kubectl" | "rdd-daemon" if self.is_integration => 50,
            _ if self.is_integration && CONTROLLERS.contains(&package) => 40,
            _ if self.is_integration && API.contains(&package) => 30,
            _ if PURE.contains(&package) => 10,
            _ => 20,
        }
    }
}

/// Runs `cargo xtask test`.
pub fn run(args: &TestArgs) -> Result<()> {
    let wanted = |floor: u32| args.floor.is_none_or(|only| only == floor);
    let needs =
        [packages::QEMU, packages::SSH, packages::QEMU_IMG, packages::XORRISO, packages::MKE2FS, packages::STRIP];
    packages::ensure(&needs)?;
    if wanted(40) || wanted(60) {
        guest::ensure(GuestKind::Micro)?;
    }
    if wanted(60) {
        guest::ensure(GuestKind::Debian)?;
    }
    let mut brought = Vec::new();
    if wanted(30) || wanted(50) {
        brought.extend([("RDD_TEST_KUBECTL", kubectl::recent()?), ("RDD_TEST_KUBECTL_OLD", kubectl::old()?)]);
    }
    if wanted(30) {
        brought.push(("RDD_TEST_PYTHON_PACKAGES", clients::python()?));
        brought.push(("RDD_TEST_JAVASCRIPT_CLIENT", clients::javascript()?));
    }
    if !args.no_check && args.floor.is_none() {
        check::run()?;
    }

    let binaries = build()?;
    let mut failed = Vec::new();
    for (floor, name) in FLOORS.into_iter().filter(|(floor, _)| wanted(*floor)) {
        println!("\n=== floor {floor}: {name}");
        let start = Instant::now();
        for binary in binaries.iter().filter(|binary| binary.floor() == floor) {
            println!("--- {} {}", binary.package, binary.name);
            let mut command = Command::new(&binary.executable);
            command.current_dir(&binary.dir).stdin(Stdio::null()).env("CARGO_MANIFEST_DIR", &binary.dir);
            command.env("RDD_TEST_GUESTS", shell::target_dir().join("guest"));
            // Everything is installed here; a test that finds something missing has failed.
            command.env("RDD_TEST_REQUIRE", "1");
            command.envs(brought.iter().map(|(name, path)| (name, path)));
            if floor == 60 {
                // Not our own program, whose file the build above has replaced.
                command.env("RDD_TEST_XTASK", shell::target_dir().join("debug/xtask"));
                // Two emulated guests at once on two cores only make each other late.
                command.arg("--test-threads=1");
            }
            command.args(&args.filter);
            let status = command.status().with_context(|| format!("cannot run {}", binary.executable.display()))?;
            if !status.success() {
                failed.push(format!("floor {floor}: {} {}", binary.package, binary.name));
            }
        }
        println!("=== floor {floor}: {:.1} s", start.elapsed().as_secs_f64());
    }
    if args.filter.is_none() && wanted(20) {
        println!("\n=== documentation examples");
        shell::run(shell::cargo().args(["test", "--quiet", "--workspace", "--doc"]))?;
    }
    if !failed.is_empty() {
        bail!("tests failed:\n  {}", failed.join("\n  "));
    }
    Ok(())
}

/// Builds all tests and programs at once, and returns the test programs.
fn build() -> Result<Vec<TestBinary>> {
    println!("building");
    shell::run(shell::cargo().args(["build", "--quiet", "--workspace", "--bins", "--examples"]))?;
    let mut command = shell::cargo();
    command.args(["test", "--quiet", "--workspace", "--no-run", "--message-format", "json-render-diagnostics"]);
    let output = command.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("the tests do not build");
    }
    let mut binaries = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let Ok(message) = serde_json::from_str::<Value>(line) else { continue };
        let Some(executable) = message["executable"].as_str().filter(|_| message["profile"]["test"] == true) else {
            continue;
        };
        let manifest = PathBuf::from(message["manifest_path"].as_str().unwrap_or_default());
        let dir = manifest.parent().context("a manifest lies in a directory")?.to_owned();
        let target = &message["target"];
        binaries.push(TestBinary {
            package: dir.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            name: target["name"].as_str().unwrap_or_default().to_owned(),
            is_integration: target["kind"][0] == "test",
            executable: executable.into(),
            dir,
        });
    }
    binaries.sort_by(|a, b| (&a.package, &a.name).cmp(&(&b.package, &b.name)));
    Ok(binaries)
}
