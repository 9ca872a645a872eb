//! `replace`: puts a file's object in the place of the one that is there.

use clap::Args;

use crate::context::Context;
use crate::failure::Failure;
use crate::manifest::FileArgs;
use crate::print::PrintArgs;
use crate::selection::locate;
use crate::session::Call;
use crate::writing::{DryRun, DryRunArgs, Report, ValidateArgs, write_call};

/// Put a file's object in the place of the one that is there
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  # All fields as the file says\n  kubectl replace -f demo.yaml")]
pub(crate) struct ReplaceArgs {
    #[command(flatten)]
    files: FileArgs,
    /// Not there yet: delete and make anew
    #[arg(long, hide = true)]
    force: bool,
    /// A subresource to replace, as in `status`
    #[arg(long, value_name = "NAME")]
    subresource: Option<String>,
    /// Name under which the server remembers who set which field
    #[arg(long, value_name = "NAME", default_value = "kubectl-replace")]
    field_manager: String,
    #[command(flatten)]
    dry_run: DryRunArgs,
    #[command(flatten)]
    validate: ValidateArgs,
    #[command(flatten)]
    print: PrintArgs,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: &ReplaceArgs) -> Result<(), Failure> {
    if args.files.is_empty() {
        return Err(Failure::message("must specify one of -f and -k"));
    }
    if args.force {
        return Err(Failure::message("--force is not supported\nhint: delete and create the object"));
    }
    let dry_run = args.dry_run.mode(context)?;
    let validation = args.validate.parameter()?;
    let form = args.print.write_form()?;
    let mut report = Report::new(&form, &args.print, dry_run);
    let mut failures = Vec::new();
    for document in args.files.read(context)? {
        let replaced = async {
            let mut found = locate(context, document.object, Some(document.source)).await?;
            let source = found.source.clone();
            let what = source.as_deref();
            if dry_run == DryRun::Client {
                let label = found.label();
                return Ok((label, found.object));
            }
            // Without a version of its own, the file replaces whatever is there.
            let live = found.fetch(context).await.map_err(|failure| failure.when("replacing", what))?;
            if rdd_api::object::resource_version(&found.object).is_empty() {
                let version = live["metadata"]["resourceVersion"].clone();
                rdd_api::object::metadata_mut(&mut found.object).insert("resourceVersion".into(), version);
            }
            let path = match &args.subresource {
                Some(subresource) => format!("{}/{subresource}", found.path()),
                None => found.path(),
            };
            let call = write_call(Call::new(http::Method::PUT, path), &args.field_manager, validation, dry_run);
            let answer = context.session().await?.json(&call.body(&found.object)).await;
            Ok((found.label(), answer.map_err(|failure| failure.when("replacing", what))?))
        };
        match replaced.await {
            Ok((label, object)) => report.tell(context, &label, "replaced", &object)?,
            Err(failure) => failures.push(failure),
        }
    }
    Failure::all(failures)
}
