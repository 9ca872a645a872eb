//! `cargo xtask demo` as a person runs it, at a terminal: it shows a guest's answer, and leaves nothing behind, also when
//! Ctrl-C interrupts it.
//!
//! The terminal is that of `script`, which hands on what is typed.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A demo at a terminal, with a directory for temporary files of its own.
struct Demo {
    temporary: TempDir,
    terminal: Child,
}

impl Demo {
    fn start() -> Demo {
        let xtask = std::env::var_os("RDD_TEST_XTASK");
        let xtask = xtask.expect("RDD_TEST_XTASK names no xtask; run the tests by `cargo xtask test`");
        let temporary = tempfile::Builder::new().prefix("rdd").tempdir().expect("a temporary directory can be made");
        let mut command = Command::new("script");
        command.args(["--quiet", "--return", "--command", "exec \"$RDD_TEST_XTASK\" demo", "/dev/null"]);
        command.env("RDD_TEST_XTASK", xtask).env("TMPDIR", temporary.path()).env("SHELL", "/bin/sh");
        let terminal = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script runs");
        Demo { temporary, terminal }
    }

    /// Reads what the demo shows until it ends; types Ctrl-C once a line contains `interrupt_at`.
    fn watch(&mut self, interrupt_at: Option<&str>) -> (Option<i32>, String) {
        let mut keyboard = self.terminal.stdin.take();
        let mut interrupt_at = interrupt_at;
        let mut shown = String::new();
        for line in BufReader::new(self.terminal.stdout.take().expect("a pipe")).lines() {
            let line = line.expect("the demo prints UTF-8");
            shown += &line;
            shown.push('\n');
            if interrupt_at.is_some_and(|text| line.contains(text)) {
                interrupt_at = None;
                keyboard.as_mut().expect("a pipe").write_all(b"\x03").expect("typed");
            }
        }
        let status = self.terminal.wait().expect("it is our child");
        (status.code(), shown)
    }

    /// Checks that no file and no process is left.
    fn left_nothing(self, shown: &str) {
        let place = self.temporary.path().to_str().expect("a temporary path is UTF-8").to_owned();
        let files: Vec<_> =
            std::fs::read_dir(&place).expect("it is ours").map(|file| file.expect("listed").path()).collect();
        assert!(files.is_empty(), "{files:?} stayed after:\n{shown}");
        // Every process of a demo has its home in its command line or in its environment.
        let processes: Vec<String> = std::fs::read_dir("/proc")
            .expect("Linux has it")
            .filter_map(|process| {
                let process = process.ok()?.path();
                let read = |file: &str| {
                    String::from_utf8_lossy(&std::fs::read(process.join(file)).unwrap_or_default()).into_owned()
                };
                let is_number = process.file_name()?.to_str()?.parse::<u32>().is_ok();
                (is_number && (read("cmdline") + &read("environ")).contains(&place)).then(|| read("cmdline"))
            })
            .collect();
        assert!(processes.is_empty(), "{processes:?} stayed after:\n{shown}");
    }
}

#[test]
fn the_demo_shows_a_guest_and_leaves_nothing() {
    let mut demo = Demo::start();
    let (code, shown) = demo.watch(None);
    assert_eq!(code, Some(0), "{shown}");
    for part in ["The guest answered in its own words", "Linux lima-demo ", "What to try next"] {
        assert!(shown.contains(part), "{part:?} is missing in:\n{shown}");
    }
    demo.left_nothing(&shown);
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    // Before there is an instance, while the VM boots, and while it is cleaned up.
    for moment in ["3. A virtual machine", "instance is starting", "$ rdd svc delete"] {
        let mut demo = Demo::start();
        let (code, shown) = demo.watch(Some(moment));
        assert_eq!(code == Some(0), moment == "$ rdd svc delete", "{moment}: {shown}");
        assert!(shown.contains("5. Cleaning up"), "{moment}: {shown}");
        demo.left_nothing(&shown);
    }
}
