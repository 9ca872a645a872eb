//! `patch`: changes fields of objects.

use clap::Args;
use rdd_merge::NoMergeKeys;
use rdd_schema::yaml;
use serde_json::Value;

use crate::commands::apply::Strategy;
use crate::context::Context;
use crate::failure::Failure;
use crate::manifest::FileArgs;
use crate::print::{PrintArgs, go_io};
use crate::selection::{Fetch, Found, Query, SelectorArgs, find};
use crate::session::Call;
use crate::writing::{DryRun, DryRunArgs, Report, write_call};

/// Change fields of objects
///
/// A merge patch says the fields to change, null removes one. A JSON patch is a list of operations.
/// Custom resources such as LimaVMs take merge and json, the built-in kinds also strategic.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    # Stop a VM\n  kubectl patch limavm demo --type=merge -p '{\"spec\":{\"running\":false}}'\n\n  \
    # Remove a field\n  kubectl patch cm demo --type=json -p '[{\"op\":\"remove\",\"path\":\"/data/key\"}]'")]
pub(crate) struct PatchArgs {
    /// TYPE NAME or TYPE/NAME...
    #[arg(value_name = "TYPE[/NAME]")]
    words: Vec<String>,
    #[command(flatten)]
    files: FileArgs,
    /// The patch, as JSON or YAML
    #[arg(short = 'p', long, value_name = "PATCH")]
    patch: Option<String>,
    /// A file with the patch
    #[arg(long, value_name = "FILE")]
    patch_file: Option<String>,
    /// The patch's kind: strategic, merge or json
    #[arg(long = "type", value_name = "KIND", default_value = "strategic")]
    kind: String,
    /// A subresource to patch, as in `status`
    #[arg(long, value_name = "NAME")]
    subresource: Option<String>,
    /// Patch what the file holds, and print it; nothing is sent
    #[arg(long)]
    local: bool,
    /// Name under which the server remembers who set which field
    #[arg(long, value_name = "NAME", default_value = "kubectl-patch")]
    field_manager: String,
    #[command(flatten)]
    dry_run: DryRunArgs,
    #[command(flatten)]
    print: PrintArgs,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: &PatchArgs) -> Result<(), Failure> {
    let content_type = match args.kind.to_lowercase().as_str() {
        "strategic" => "application/strategic-merge-patch+json",
        "merge" => "application/merge-patch+json",
        "json" => "application/json-patch+json",
        _ => {
            let kind = &args.kind;
            return Err(Failure::message(format!("--type must be one of [json merge strategic], not \"{kind}\"")));
        }
    };
    let form = args.print.write_form()?;
    let text = match (&args.patch, &args.patch_file) {
        (Some(_), Some(_)) => return Err(Failure::message("cannot specify --patch and --patch-file together")),
        (Some(text), None) if !text.is_empty() => text.clone(),
        (_, Some(file)) => std::fs::read_to_string(file)
            .map_err(|error| Failure::message(format!("unable to read patch file: {}", go_io(&error, file))))?,
        _ => return Err(Failure::message("must specify --patch or --patch-file containing the contents of the patch")),
    };
    // What looks like JSON goes as it is: the server says what is wrong with it.
    let is_json = text.trim_start().starts_with('{');
    let parsed = yaml::parse(&text)
        .map_err(|error| Failure::message(format!("unable to parse {}: {error}", rdd_api::field::quote(&text))));
    let (patch, text) = match parsed {
        Ok(patch) if is_json => (patch, text),
        Ok(patch) => (patch.clone(), patch.to_string()),
        Err(_) if is_json => (Value::Null, text),
        Err(failure) => return Err(failure),
    };
    let dry_run = if args.local { DryRun::Client } else { args.dry_run.mode(context)? };
    let selectors = SelectorArgs::default();
    let fetch = if args.local { Fetch::Names } else { Fetch::Latest };
    let query = Query { files: &args.files, words: &args.words, selectors: &selectors, all: false, fetch };
    let (all, mut failures) = find(context, &query).await?;
    let has_none = all.is_empty() && failures.is_empty();
    // kubectl does not mark dry runs of patches.
    let mut report = Report::new(&form, &args.print, DryRun::No);
    for found in all {
        let patched = match dry_run {
            DryRun::Client => local(context, args, &found, &patch).await,
            _ => send(context, args, &found, content_type, &text, dry_run).await,
        };
        match patched {
            Ok(object) => {
                let done = if object == found.object { "patched (no change)" } else { "patched" };
                report.tell(context, &found.label(), done, &object)?;
            }
            Err(failure) => failures.push(failure),
        }
    }
    if has_none {
        return Err(Failure::message("no objects passed to patch"));
    }
    Failure::all(failures)
}

async fn send(
    context: &Context,
    args: &PatchArgs,
    found: &Found,
    content_type: &'static str,
    patch: &str,
    dry_run: DryRun,
) -> Result<Value, Failure> {
    let path = match &args.subresource {
        Some(subresource) => format!("{}/{subresource}", found.path()),
        None => found.path(),
    };
    let call = write_call(Call::new(http::Method::PATCH, path), &args.field_manager, "", dry_run);
    let answer = context.session().await?.json(&call.text(content_type, patch.to_owned())).await;
    answer.map_err(|failure| match failure.status() {
        Some(status) if status.is(&rdd_api::Reason::UNSUPPORTED_MEDIA_TYPE) => Failure::message(format!(
            "{content_type} is not supported by {}/{}, Kind={}: {failure}",
            found.resource.group, found.resource.version, found.resource.kind
        )),
        _ => failure,
    })
}

async fn local(context: &Context, args: &PatchArgs, found: &Found, patch: &Value) -> Result<Value, Failure> {
    let refuse = |error: rdd_merge::PatchError| Failure::message(error.to_string());
    match args.kind.to_lowercase().as_str() {
        "json" => rdd_merge::json_patch(&found.object, patch).map_err(refuse),
        "merge" => {
            let mut object = found.object.clone();
            rdd_merge::merge_patch(&mut object, patch);
            Ok(object)
        }
        _ => match Strategy::of(context, &found.resource).await? {
            Strategy::Json => Err(Failure::message(
                "strategic merge patch is not supported for custom resources\nhint: use --type=merge",
            )),
            Strategy::Strategic { document, pointer } => match document.pointer(&pointer) {
                Some(schema) if !pointer.is_empty() => {
                    let keys = rdd_merge::SchemaKeys::within(schema, &document);
                    rdd_merge::strategic(&found.object, patch, &keys).map_err(refuse)
                }
                _ => rdd_merge::strategic(&found.object, patch, &NoMergeKeys).map_err(refuse),
            },
        },
    }
}
