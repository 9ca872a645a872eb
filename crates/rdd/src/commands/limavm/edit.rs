//! `rdd limavm edit`.

use std::ffi::OsString;
use std::io::Write as _;
use std::process::Command;

use anyhow::{Context as _, bail};
use clap::Args;
use rdd_host::environment;

use super::api::Vms;
use crate::context::Context;

/// Arguments of `limavm edit`.
#[derive(Args, Debug)]
pub(crate) struct EditArgs {
    /// The VM
    name: String,
}

/// Opens the VM's own copy of its template in an editor, and stores what changed.
pub(super) async fn run(args: &EditArgs, context: &Context) -> anyhow::Result<()> {
    let vms = Vms::connect(context).await?;
    let vm = vms.find(&args.name).await?;
    let config_map = &vm.status.template_config_map;
    if config_map.is_empty() {
        bail!("LimaVM {:?} has no template yet; try again in a moment", vm.name);
    }
    let (old, version) = vms.template(&vm.namespace, config_map).await?;
    let new = edited(&old)?;
    if new.trim().is_empty() {
        bail!("template data was cleared, aborting edit");
    }
    if new == old {
        tracing::info!("No changes made to template, skipping update");
        return Ok(());
    }
    vms.set_template(&vm.namespace, config_map, &new, &version).await?;
    tracing::info!("Template ConfigMap {config_map:?} updated successfully");
    Ok(())
}

fn edited(text: &str) -> anyhow::Result<String> {
    let mut file = tempfile::Builder::new().prefix("rdd-").suffix(".yaml").tempfile().context("cannot make a file")?;
    file.write_all(text.as_bytes()).context("cannot write the file to edit")?;
    let editor = editor();
    // A shell splits the words of an editor with arguments, as kubectl does.
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!("{} \"$1\"", editor.to_string_lossy()))
        .arg("sh")
        .arg(file.path())
        .status()
        .with_context(|| format!("cannot run the editor {}", editor.display()))?;
    if !status.success() {
        bail!("the editor {} failed: {status}", editor.display());
    }
    std::fs::read_to_string(file.path()).context("cannot read the edited file")
}

fn editor() -> OsString {
    environment::EDITORS.into_iter().find_map(environment::get).unwrap_or_else(|| "vi".into())
}
