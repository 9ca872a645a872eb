//! `rdd version`.

use clap::Args;

use crate::{output, version};

/// Arguments of `version`.
#[derive(Args, Debug)]
pub(crate) struct VersionArgs {}

/// Prints the version.
pub(crate) fn run(_: &VersionArgs) -> anyhow::Result<()> {
    Ok(output::line(version::VERSION)?)
}
