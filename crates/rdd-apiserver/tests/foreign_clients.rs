//! Floor 30: the official clients of other languages against a server with a TLS listener.

mod support;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rdd_apiserver::UserInfo;
use support::Live;
use tokio::process::Command;

/// Returns what the environment names; `cargo xtask test` brings the clients and names them.
fn named(variable: &str) -> Option<OsString> {
    let found = std::env::var_os(variable);
    assert!(found.is_some() || std::env::var_os("RDD_TEST_REQUIRE").is_none(), "{variable} is not set");
    found
}

/// Runs a client's program to its end; each part of it says that it is done.
async fn run(mut command: Command, kubeconfig: &Path, parts: &[&str]) {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.env("HOME", kubeconfig.parent().expect("in a directory"));
    let child = command.spawn().expect("the client starts");
    let ended = tokio::time::timeout(support::PATIENCE * 2, child.wait_with_output()).await;
    let output = ended.expect("the client ends in time").expect("the client ends");
    let (told, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{told}{error}");
    let expected: String = parts.iter().map(|part| format!("ok {part}\n")).collect();
    assert_eq!(told, expected);
}

/// Starts a server, and returns the kubeconfigs of its administrator and of bob, who may do nothing.
async fn live() -> (Live, PathBuf, PathBuf) {
    const BOBS: &str = "bobs-token";
    let bob = UserInfo { name: "bob".to_owned(), ..UserInfo::default() };
    let live = Live::serve(support::builder().token(BOBS, bob).start().await.expect("the server starts")).await;
    let (kubeconfig, bobs) = (live.path().join("kubeconfig"), live.path().join("bobs-kubeconfig"));
    std::fs::write(&kubeconfig, live.kubeconfig()).expect("a kubeconfig");
    std::fs::write(&bobs, live.kubeconfig().replace(support::TOKEN, BOBS)).expect("a kubeconfig");
    (live, kubeconfig, bobs)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn python() {
    let Some(packages) = named("RDD_TEST_PYTHON_PACKAGES") else {
        return eprintln!("skipped: RDD_TEST_PYTHON_PACKAGES names no directory with the client");
    };
    let (live, kubeconfig, bobs) = live().await;
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", packages).env("PYTHONDONTWRITEBYTECODE", "1");
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/client.py")).arg(&kubeconfig).arg(bobs);
    run(command, &kubeconfig, &["core_kinds", "pages", "apply", "definitions", "roles", "watches", "deletes"]).await;
    live.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn javascript() {
    let Some(module) = named("RDD_TEST_JAVASCRIPT_CLIENT") else {
        return eprintln!("skipped: RDD_TEST_JAVASCRIPT_CLIENT names no module");
    };
    let (live, kubeconfig, bobs) = live().await;
    let mut command = Command::new("node");
    command
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/client.mjs"))
        .arg(&kubeconfig)
        .arg(bobs)
        .arg(module);
    run(command, &kubeconfig, &["coreKinds", "definitions", "apply", "roles", "watches", "informs", "deletes"]).await;
    live.stop().await;
}
