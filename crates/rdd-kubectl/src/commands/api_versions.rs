//! `api-versions`: lists the group versions that the server serves.

use crate::context::Context;
use crate::failure::Failure;

/// List the group versions that the server serves
#[derive(clap::Args, Debug)]
pub(crate) struct ApiVersionsArgs {}

/// Runs the command.
pub(crate) async fn run(context: &Context) -> Result<(), Failure> {
    let mut all = context.discovery().await?.group_versions.clone();
    all.sort();
    context.console.out(&all.iter().map(|version| format!("{version}\n")).collect::<String>())
}
