//! `rdd limavm create`.

use std::io::Read as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use clap::Args;
use rdd_api::limavm;
use serde_json::json;

use super::api::{Refusal, Vm, Vms};
use super::flags::WaitFlags;
use super::source::Source;
use super::wait;
use crate::context::Context;
use crate::failure::{self, Advised};

/// Arguments of `limavm create`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  # From a file; a ConfigMap named like the VM is made of it
  rdd limavm create demo ./debian.yaml --start

  # From a ConfigMap that exists
  rdd limavm create demo my-template --start

  # From standard input
  rdd limavm create demo - --start < debian.yaml")]
pub(crate) struct CreateArgs {
    /// The VM; its name is unique in all namespaces
    name: String,

    /// The template: a file, - for standard input, or a ConfigMap's name
    template: String,

    /// The namespace of the VM, and of the ConfigMap
    #[arg(short, long, default_value = "default")]
    namespace: String,

    /// Check everything and create nothing
    #[arg(long)]
    dry_run: bool,

    /// Start the VM
    #[arg(long)]
    start: bool,

    #[command(flatten)]
    wait: WaitFlags,
}

/// Creates the VM, and the ConfigMap if the template is a file.
pub(super) async fn run(args: &CreateArgs, context: &Context) -> anyhow::Result<()> {
    let deadline = args.wait.deadline();
    if !is_object_name(&args.name) {
        bail!(
            "invalid LimaVM name {:?}: use lower-case letters, digits, '-' and '.', with a letter or digit at both ends",
            args.name
        );
    }
    if !is_namespace(&args.namespace) {
        bail!(
            "invalid namespace {:?}: use at most 63 lower-case letters, digits and '-', with a letter or digit at both ends",
            args.namespace
        );
    }
    let text = read_template(&args.template)?;
    let vms = Vms::connect(context).await?;
    if let Some(there) = vms.look_up(&args.name).await? {
        return Err(taken(&there).into());
    }
    let config_map = if text.is_some() { &args.name } else { &args.template };
    let source = match &text {
        // Also for a dry run: the VM's check reads the ConfigMap, so it is there until that is done.
        Some(text) => Some(Source::make(&vms, &args.namespace, config_map, text).await?),
        None => None,
    };
    if source.is_some() {
        let (namespace, template) = (&args.namespace, &args.template);
        tracing::info!(
            "ConfigMap {config_map:?} created in namespace {namespace:?} with template from file {template:?}"
        );
    }
    let object = json!({
        "apiVersion": format!("{}/{}", limavm::GROUP, limavm::VERSION), "kind": limavm::KIND,
        "metadata": {"name": args.name, "namespace": args.namespace},
        "spec": {"templateRef": {"name": config_map}, "running": args.start},
    });
    let created = vms.create(&object, &args.namespace, args.dry_run).await;
    if let Some(source) = source.as_ref().filter(|_| created.is_err() || args.dry_run) {
        tracing::warn!("Cleaning up created ConfigMap {config_map:?}");
        if let Err(error) = source.remove(&vms, &args.namespace).await {
            tracing::warn!("cannot delete ConfigMap {config_map:?}: {error:#}");
        }
    }
    let vm = match created {
        Ok(vm) => vm,
        // Somebody was quicker, or an interrupted create has come through after all.
        Err(error) if error.downcast_ref().is_some_and(|r: &Refusal| r.code == 409) => {
            return Err(vms.look_up(&args.name).await?.map_or(error, |there| taken(&there).into()));
        }
        // What is not the caller's mistake is not put right in the template.
        Err(error) if source.is_some() && error.downcast_ref().is_some_and(|r: &Refusal| r.code < 500) => {
            let hint =
                format!("nothing was created; correct {} or the command line, then try again", shown(&args.template));
            return Err(Advised::new(failure::message(&error), hint).into());
        }
        Err(error) => return Err(error),
    };
    if args.dry_run {
        tracing::info!("LimaVM {:?} can be created in namespace {:?} (dry run)", vm.name, vm.namespace);
        return Ok(());
    }
    if let Some(source) = &source
        && let Err(error) = source.hand_over(&vms, &vm).await
    {
        // The VM is there and has a copy of the template. Its delete looks for the ConfigMap once more.
        tracing::warn!("cannot make LimaVM {:?} the owner of ConfigMap {config_map:?}: {error:#}", vm.name);
    }
    let name = &vm.name;
    tracing::info!("LimaVM {name:?} created in namespace {:?} with template ConfigMap {config_map:?}", vm.namespace);
    if args.start {
        if args.wait.wait {
            wait::running(&vms, &vm, &vm, deadline).await?;
        }
        tracing::info!("LimaVM {name:?} started in namespace {:?}", vm.namespace);
    }
    Ok(())
}

fn taken(there: &Vm) -> Advised {
    let name = &there.name;
    Advised::new(
        format!("LimaVM {name:?} already exists in namespace {:?}", there.namespace),
        format!("choose another name, or delete it with 'rdd limavm delete {name}'"),
    )
}

/// Returns a file's text; `None` if the template is a ConfigMap's name.
///
/// A file that exists is meant even where its name would be a ConfigMap's, as in `alpine.yaml`.
fn read_template(template: &str) -> anyhow::Result<Option<String>> {
    if template == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read the template from standard input")?;
        return Ok(Some(text));
    }
    let path = Path::new(template);
    if path.is_file() {
        return std::fs::read_to_string(path).with_context(|| format!("cannot read template {template}")).map(Some);
    }
    if !is_object_name(template) {
        bail!("template {template:?} is neither a file nor the name of a ConfigMap");
    }
    Ok(None)
}

/// Returns how people know a template.
fn shown(template: &str) -> &str {
    if template == "-" { "standard input" } else { template }
}

/// Returns whether a text is a DNS-1123 subdomain.
fn is_object_name(text: &str) -> bool {
    let is_word = |word: &str| {
        let bytes = word.as_bytes();
        let ends = [bytes.first(), bytes.last()];
        let good = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        ends.iter().all(|end| end.is_some_and(good)) && bytes.iter().all(|b| good(b) || *b == b'-')
    };
    text.len() <= 253 && text.split('.').all(is_word)
}

/// Returns whether a namespace can have this name.
fn is_namespace(text: &str) -> bool {
    text.len() <= 63 && !text.contains('.') && is_object_name(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_names() {
        for good in ["demo", "a-b", "alpine.yaml", "1"] {
            assert!(is_object_name(good), "{good}");
        }
        for bad in ["", "./x", "A", "a_b", "-a", "a.", "x/y"] {
            assert!(!is_object_name(bad), "{bad}");
        }
    }
}
