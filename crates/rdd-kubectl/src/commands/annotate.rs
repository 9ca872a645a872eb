//! `annotate`: sets and removes annotations.

use clap::Args;

use crate::commands::metadata_pairs::{self, PairArgs, Pairs};
use crate::context::Context;
use crate::failure::Failure;

/// Set and remove annotations
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    # Set an annotation; change it; remove it\n  kubectl annotate limavm demo note='built by hand'\n  kubectl annotate limavm demo note=new --overwrite\n  kubectl annotate limavm demo note-")]
pub(crate) struct AnnotateArgs {
    #[command(flatten)]
    pairs: PairArgs,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: &AnnotateArgs) -> Result<(), Failure> {
    metadata_pairs::run(context, &args.pairs, Pairs::Annotations).await
}
