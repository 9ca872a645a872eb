//! The gate: what must be in order before a change lands, here and in CI.

use anyhow::Result;

use crate::{shell, tidy};

/// Runs the gate.
pub fn run() -> Result<()> {
    tidy::run()?;
    shell::run(shell::cargo().args(["fmt", "--all", "--check"]))?;
    println!("format: in order");
    shell::run(shell::cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    println!("clippy: no warnings");
    let mut docs = shell::cargo();
    docs.args(["doc", "--quiet", "--workspace", "--no-deps", "--document-private-items"]);
    shell::run(docs.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links"))?;
    println!("docs: no warnings");
    Ok(())
}
