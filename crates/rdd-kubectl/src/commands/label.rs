//! `label`: sets and removes labels.

use clap::Args;

use crate::commands::metadata_pairs::{self, PairArgs, Pairs};
use crate::context::Context;
use crate::failure::Failure;

/// Set and remove labels
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    # Set a label; change it; remove it\n  kubectl label limavm demo tier=test\n  kubectl label limavm demo tier=prod --overwrite\n  kubectl label limavm demo tier-")]
pub(crate) struct LabelArgs {
    #[command(flatten)]
    pairs: PairArgs,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: &LabelArgs) -> Result<(), Failure> {
    metadata_pairs::run(context, &args.pairs, Pairs::Labels).await
}
