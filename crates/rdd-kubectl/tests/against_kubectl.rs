//! Floor 30: every command beside a real kubectl, against two servers of the same kind over TLS.
//!
//! Each invocation runs twice: kubectl against the one server, ours against the other. Both
//! servers begin empty and see the same writes, so standard output, standard error and exit code
//! must be the same, after what cannot be the same (addresses, UIDs, times) is named alike.
//! Where we differ on purpose, the row says why. Without a kubectl on PATH nothing can be compared, which is said; the
//! one that `RDD_TEST_KUBECTL` names has to be there.

#![expect(dead_code, reason = "each test binary uses its part of the support")]

mod support;

use std::ffi::{OsStr, OsString};
use std::process::{Command, Stdio};

use support::{Answer, Live, Row, Verdict, normalize, run_ours, table::rows};

#[test]
fn ours_does_as_kubectl_does() {
    let Some(kubectl) = kubectl() else { return eprintln!("skipped: there is no kubectl on PATH to compare with") };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let (theirs, ours) = runtime.block_on(async { (Live::start().await, Live::start().await) });
    // Servers do not start with the same number of writes; from here on, both see the same.
    let start = (support::revision(&theirs), support::revision(&ours));
    let (mut compared, mut failures, mut has_diverged) = (0, Vec::new(), false);
    for row in rows() {
        let expect = normalize(&run_kubectl(&kubectl, &theirs, &row));
        let got = normalize(&run_ours(&ours, &row));
        let (theirs, ours) = (support::revision(&theirs) - start.0, support::revision(&ours) - start.1);
        if theirs != ours && !has_diverged {
            has_diverged = true;
            failures.push(format!("{:?}: kubectl has written {theirs} times, ours {ours}", row.args));
        }
        compared += usize::from(!matches!(row.verdict, Verdict::Ours(_)));
        let is_same = got == expect;
        match row.verdict {
            Verdict::Same if !is_same => failures.push(difference(&row, &expect, &got)),
            Verdict::SameCode(_) if got.code != expect.code => failures.push(difference(&row, &expect, &got)),
            Verdict::SameOut(_) if (got.code, &got.out) != (expect.code, &expect.out) => {
                failures.push(difference(&row, &expect, &got));
            }
            Verdict::SameOut(reason) | Verdict::Ours(reason) if is_same => {
                failures.push(format!("{:?} does not differ any more: {reason}", row.args));
            }
            _ => {}
        }
    }
    runtime.block_on(async {
        theirs.stop().await;
        ours.stop().await;
    });
    assert!(compared >= 100, "only {compared} rows were compared");
    assert!(failures.is_empty(), "{} of {compared} differ:\n\n{}", failures.len(), failures.join("\n\n"));
}

fn difference(row: &Row, expect: &Answer, got: &Answer) -> String {
    let mut text = format!("=== {}", row.args.join(" "));
    for (what, theirs, ours) in [("stdout", &expect.out, &got.out), ("stderr", &expect.err, &got.err)] {
        if theirs != ours {
            text += &format!("\n--- {what}, kubectl:\n{theirs}--- {what}, ours:\n{ours}");
        }
    }
    if expect.code != got.code {
        text += &format!("\n--- code: kubectl {}, ours {}", expect.code, got.code);
    }
    text
}

/// The kubectl that `cargo xtask test` hands over, the same on every machine; else the one on PATH, if there is one.
fn kubectl() -> Option<OsString> {
    let named = std::env::var_os("RDD_TEST_KUBECTL");
    let program = named.clone().unwrap_or_else(|| "kubectl".into());
    let output = Command::new(&program).args(["version", "--client"]).stdin(Stdio::null()).output();
    let runs = output.as_ref().is_ok_and(|output| output.status.success());
    assert!(runs || named.is_none(), "RDD_TEST_KUBECTL names {program:?}, which does not run: {output:?}");
    runs.then_some(program)
}

fn run_kubectl(kubectl: &OsStr, live: &Live, row: &Row) -> Answer {
    use std::io::Write as _;
    let mut command = Command::new(kubectl);
    command.args(live.args(row)).env_clear().env("HOME", live.path()).env("KUBE_EDITOR", row.editor);
    // In the environment, not as flags: flags before an unknown command are an error of its own.
    command.env("KUBECONFIG", live.kubeconfig()).env("KUBECACHEDIR", live.path().join("cache"));
    for name in ["PATH", "TMPDIR"] {
        if let Some(value) = std::env::var_os(name) {
            command.env(name, value);
        }
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("kubectl runs");
    child.stdin.take().expect("a pipe").write_all(row.input.as_bytes()).expect("kubectl reads or has ended");
    let output = child.wait_with_output().expect("kubectl ends");
    Answer {
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
        code: output.status.code().unwrap_or(-1),
    }
}
