//! `delete`: deletes objects and waits until they are gone.

use clap::Args;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::context::Context;
use crate::failure::Failure;
use crate::manifest::FileArgs;
use crate::parse_go_duration;
use crate::selection::{Fetch, Found, Query, SelectorArgs, find};
use crate::session::{Call, Session};
use crate::watch::{Change, Watch};
use crate::writing::{DryRun, DryRunArgs};

/// Delete objects
///
/// Waits until they are gone, which may take a while: a VM shuts down first.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    # A VM, waiting until it is gone\n  kubectl delete limavm demo\n\n  \
    # What a file made\n  kubectl delete -f demo.yaml --ignore-not-found\n\n  \
    # All ConfigMaps with a label, without waiting\n  kubectl delete cm -l app=web --wait=false")]
pub(crate) struct DeleteArgs {
    /// TYPE NAME... or TYPE/NAME...
    #[arg(value_name = "TYPE[/NAME]")]
    words: Vec<String>,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    selectors: SelectorArgs,
    /// All objects of the type in the namespace
    #[arg(long)]
    all: bool,
    /// Succeed when an object is not there
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    ignore_not_found: Option<bool>,
    /// Wait until the objects are gone
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", value_name = "BOOL", action = clap::ArgAction::Set)]
    wait: bool,
    /// How long to wait; 0 is as long as it takes
    #[arg(long, value_name = "DURATION", default_value = "0s")]
    timeout: String,
    /// What to do with objects that this one owns: background, foreground or orphan
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "background", default_value = "background", value_name = "HOW")]
    cascade: String,
    /// Seconds that the object gets to end; 1 at once, 0 only with --force
    #[arg(long, value_name = "SECONDS", default_value_t = -1, allow_negative_numbers = true)]
    grace_period: i64,
    /// Do not let the object end by itself
    #[arg(long)]
    force: bool,
    /// Shorthand for --grace-period=1
    #[arg(long)]
    now: bool,
    /// `name` prints TYPE/NAME of what is deleted
    #[arg(short = 'o', long, value_name = "FORM", default_value = "")]
    output: String,
    /// DELETE this path
    #[arg(long, value_name = "PATH")]
    raw: Option<String>,
    #[command(flatten)]
    dry_run: DryRunArgs,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: &DeleteArgs) -> Result<(), Failure> {
    if let Some(path) = &args.raw {
        let call = Call::new(http::Method::DELETE, path.as_str());
        return context.console.out(&context.session().await?.text(&call).await?);
    }
    if args.words.is_empty() && args.files.is_empty() {
        return Err(Failure::no_objects());
    }
    let dry_run = args.dry_run.mode(context)?;
    let options = options(context, args, dry_run)?;
    let selected = args.all || args.selectors.selector.is_some() || args.selectors.field_selector.is_some();
    if args.all && args.selectors.selector.is_some() {
        return Err(Failure::message("cannot set --all and --selector at the same time"));
    }
    let query = Query {
        files: &args.files,
        words: &args.words,
        selectors: &args.selectors,
        all: args.all,
        fetch: Fetch::Names,
    };
    if args.all
        && matches!(
            crate::selection::Words::parse(&args.words)?,
            crate::selection::Words::Names(..) | crate::selection::Words::Pairs(_)
        )
    {
        return Err(Failure::message("name cannot be provided when a selector is specified"));
    }
    let (all, mut failures) = find(context, &query).await?;
    let ignores = args.ignore_not_found.unwrap_or(selected);
    let session = context.session().await?;
    let (mut deleted, mut count) = (Vec::new(), 0);
    let mut warned = false;
    for found in all {
        count += 1;
        if context.explicit_namespace().is_some() && !found.resource.is_namespaced && !warned {
            context.console.say("Warning: deleting cluster-scoped resources, not scoped to the provided namespace\n");
            warned = true;
        }
        match one(context, session, args, &found, &options, dry_run).await {
            Ok(uid) => deleted.push((found, uid)),
            Err(Failure::ReaderGone) => return Err(Failure::ReaderGone),
            Err(failure) if ignores && failure.is_not_found() => {}
            Err(failure) => failures.push(failure.when("deleting", found.source.as_deref())),
        }
    }
    if !failures.is_empty() {
        return Failure::all(failures);
    }
    if count == 0 {
        return context.console.line("No resources found");
    }
    if args.wait && dry_run == DryRun::No {
        wait(session, args, deleted).await?;
    }
    Ok(())
}

fn options(context: &Context, args: &DeleteArgs, dry_run: DryRun) -> Result<Value, Failure> {
    let policy = match args.cascade.as_str() {
        "background" | "true" => "Background",
        "foreground" => "Foreground",
        "orphan" | "false" => "Orphan",
        other => {
            return Err(Failure::message(format!(
                "invalid cascade value ({other}). Must be \"background\", \"foreground\", or \"orphan\""
            )));
        }
    };
    if !matches!(args.output.as_str(), "" | "name") {
        let text = format!("unexpected -o output mode: {}. We only support '-o name'", args.output);
        return Err(Failure::usage("delete", &text));
    }
    let mut grace = args.grace_period;
    if args.now {
        if grace != -1 {
            return Err(Failure::message("--now and --grace-period cannot be specified together"));
        }
        grace = 1;
    }
    if args.force && grace < 0 {
        grace = 0;
    } else if grace == 0 && !args.force {
        // As kubectl: without --force, zero means one, and waiting.
        grace = 1;
    }
    if args.force && grace == 0 {
        context.console.say(
            "Warning: Immediate deletion does not wait for confirmation that the running resource has been \
             terminated. The resource may continue to run on the cluster indefinitely.\n",
        );
    }
    let mut options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": policy});
    if grace >= 0 {
        options["gracePeriodSeconds"] = grace.into();
    }
    if dry_run == DryRun::Server {
        options["dryRun"] = json!(["All"]);
    }
    Ok(options)
}

/// Deletes one object, says so, and returns its UID.
async fn one(
    context: &Context,
    session: &Session,
    args: &DeleteArgs,
    found: &Found,
    options: &Value,
    dry_run: DryRun,
) -> Result<String, Failure> {
    let mut uid = String::new();
    if dry_run != DryRun::Client {
        let call = Call::new(http::Method::DELETE, found.path()).body(options);
        let answer = session.json(&call).await?;
        let own = if answer["kind"] == "Status" { &answer["details"]["uid"] } else { &answer["metadata"]["uid"] };
        uid = own.as_str().unwrap_or_default().to_owned();
    }
    let suffix = match dry_run {
        DryRun::No => "",
        DryRun::Client => " (dry run)",
        DryRun::Server => " (server dry run)",
    };
    if args.output == "name" {
        context.console.line(&found.label())?;
    } else {
        let done = if args.force { "force deleted" } else { "deleted" };
        let kind = found.resource.lower_kind();
        let from = match &found.namespace {
            Some(namespace) => format!(" from {namespace} namespace"),
            None => String::new(),
        };
        context.console.line(&format!("{kind} \"{}\" {done}{from}{suffix}", found.name))?;
    }
    Ok(uid)
}

/// Waits until all are gone, or replaced by others of their name.
async fn wait(session: &Session, args: &DeleteArgs, deleted: Vec<(Found, String)>) -> Result<(), Failure> {
    let limit = parse_go_duration(&args.timeout).map_err(|error| {
        Failure::message(format!("invalid argument \"{}\" for \"--timeout\" flag: {error}", args.timeout))
    })?;
    let deadline = (!limit.is_zero() && !limit.is_negative).then(|| Instant::now() + limit.length);
    let mut failures = Vec::new();
    for (found, uid) in deleted {
        let gone = until_gone(session, &found, &uid);
        let outcome = match deadline {
            Some(deadline) => tokio::time::timeout_at(deadline, gone).await.unwrap_or_else(|_| {
                let text = format!("timed out waiting for the condition on {}/{}", found.resource.name, found.name);
                Err(Failure::message(text))
            }),
            None => gone.await,
        };
        if let Err(failure) = outcome {
            failures.push(failure);
        }
    }
    Failure::all(failures)
}

/// Waits until an object is gone, or another has its name. An empty UID is any.
pub(crate) async fn until_gone(session: &Session, found: &Found, uid: &str) -> Result<(), Failure> {
    let is_other = |object: &Value| !uid.is_empty() && rdd_api::object::uid(object) != uid;
    loop {
        match session.json(&Call::get(found.path())).await {
            Ok(object) if is_other(&object) => return Ok(()),
            Ok(object) => {
                let call = Call::get(found.collection())
                    .with("fieldSelector", format!("metadata.name={}", found.name))
                    .with("resourceVersion", rdd_api::object::resource_version(&object));
                let mut watch = Watch::start(session, call).await?;
                // A watch that ends, and one that is too old, begin anew with a look.
                while let Ok(Some((change, object))) = watch.next().await {
                    if change == Change::Deleted || (change != Change::Bookmark && is_other(&object)) {
                        return Ok(());
                    }
                }
            }
            Err(failure) if failure.is_not_found() => return Ok(()),
            Err(failure) => return Err(failure),
        }
    }
}
