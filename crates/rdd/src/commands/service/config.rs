//! `rdd service config`.

use anyhow::Context as _;
use clap::Args;

use crate::context::Context;
use crate::output;

/// Arguments of `service config`.
#[derive(Args, Debug)]
pub(crate) struct ConfigArgs {}

/// Prints the kubeconfig.
pub(crate) async fn run(_: &ConfigArgs, context: &Context) -> anyhow::Result<()> {
    let connection = context.connect(&context.instance()?).await?;
    let path = connection.kubeconfig;
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    // One line feed more than the file has, as programs that read this know it.
    Ok(output::line(&text)?)
}
