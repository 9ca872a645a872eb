//! `apply`: makes objects as files say, leaving alone what others added.
//!
//! Client-side by default: what was applied last is kept in an annotation, and the patch is made
//! here (`rdd-merge`). With `--server-side` the server does it all, if it can.

use clap::Args;
use rdd_merge::{LAST_APPLIED, NoMergeKeys, SchemaKeys};
use serde_json::{Value, json};

use crate::context::Context;
use crate::discovery::Resource;
use crate::failure::Failure;
use crate::manifest::FileArgs;
use crate::print::{PrintArgs, compact_json};
use crate::selection::{Found, locate};
use crate::session::Call;
use crate::writing::{DryRun, DryRunArgs, Report, ValidateArgs, write_call};

/// How often a patch is made anew when someone else was quicker.
const MAX_ATTEMPTS: u32 = 5;

/// Make objects as files say
///
/// Creates what is not there. Of what is there, changes what the file says, removes what the file
/// said the last time and does not say any more, and leaves the rest alone.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    # A VM and its template, from a file\n  kubectl apply -f demo.yaml\n\n  \
    # Everything in a directory, and what another program prints\n  kubectl apply -f vms/\n  generate | kubectl apply -f -\n\n  \
    # See what the server would say\n  kubectl apply -f demo.yaml --dry-run=server")]
pub(crate) struct ApplyArgs {
    /// `view-last-applied` and its like are not there yet
    #[arg(hide = true)]
    words: Vec<String>,
    #[command(flatten)]
    files: FileArgs,
    /// Only objects with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// Let the server merge
    #[arg(long)]
    server_side: bool,
    /// With --server-side: take over fields that others manage. Else: replace what cannot be patched
    #[arg(long)]
    force_conflicts: bool,
    /// Not there yet
    #[arg(long, hide = true)]
    force: bool,
    /// Not there yet
    #[arg(long, hide = true)]
    prune: bool,
    /// Resolve conflicts between what is there and what is wanted in favour of the file
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", hide = true)]
    overwrite: String,
    /// Name under which the server remembers who set which field
    #[arg(long, value_name = "NAME", default_value = "")]
    field_manager: String,
    #[command(flatten)]
    dry_run: DryRunArgs,
    #[command(flatten)]
    validate: ValidateArgs,
    #[command(flatten)]
    print: PrintArgs,
    /// Wait for what is deleted; nothing is deleted without --prune
    #[arg(long, hide = true)]
    wait: bool,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: &ApplyArgs) -> Result<(), Failure> {
    if !args.words.is_empty() {
        return Err(Failure::usage("apply", &format!("Unexpected args: [{}]", args.words.join(" "))));
    }
    if args.files.is_empty() && args.files.kustomize.is_none() {
        return Err(Failure::message("must specify one of -f and -k"));
    }
    if args.prune || args.force {
        let text = "--prune and --force are not supported".to_owned();
        return Err(Failure::Elsewhere { text, lead: "use ", words: "apply …".to_owned() });
    }
    let dry_run = args.dry_run.mode(context)?;
    if args.server_side && dry_run == DryRun::Client {
        return Err(Failure::message(
            "--dry-run=client doesn't work with --server-side (did you mean --dry-run=server instead?)",
        ));
    }
    if args.force_conflicts && !args.server_side {
        return Err(Failure::message("--force-conflicts only works with --server-side"));
    }
    let validation = args.validate.parameter()?;
    let form = args.print.write_form()?;
    let mut failures = Vec::new();
    let mut all = Vec::new();
    let selector = match args.selector.as_deref() {
        Some(text) => Some(
            rdd_schema::selector::LabelSelector::parse(text).map_err(|error| Failure::message(error.to_string()))?,
        ),
        None => None,
    };
    for document in args.files.read(context)? {
        if selector.as_ref().is_some_and(|s| !s.matches(document.object["metadata"]["labels"].as_object())) {
            continue;
        }
        match locate(context, document.object, Some(document.source)).await {
            Ok(found) => all.push(found),
            Err(failure) => failures.push(failure),
        }
    }
    if all.is_empty() && failures.is_empty() {
        return Err(Failure::message("no objects passed to apply"));
    }
    let mut applier = Applier { context, args, validation, dry_run, report: Report::new(&form, &args.print, dry_run) };
    for found in all {
        if let Err(failure) = applier.apply(&found).await {
            if matches!(failure, Failure::ReaderGone) {
                return Err(failure);
            }
            failures.push(failure);
        }
    }
    Failure::all(failures)
}

struct Applier<'a> {
    context: &'a Context,
    args: &'a ApplyArgs,
    validation: &'static str,
    dry_run: DryRun,
    report: Report<'a>,
}

impl Applier<'_> {
    async fn apply(&mut self, found: &Found) -> Result<(), Failure> {
        if found.name.is_empty() {
            let generate = found.object["metadata"]["generateName"].as_str().unwrap_or_default();
            return Err(Failure::message(match generate {
                "" => "resource name may not be empty".to_owned(),
                name => format!("from {name}: cannot use generate name with apply"),
            }));
        }
        if self.args.server_side {
            return self.server_side(found).await;
        }
        let modified = with_last_applied(&found.object);
        let live = match found.fetch(self.context).await {
            Ok(live) => live,
            Err(failure) if failure.is_not_found() => return self.create(found, modified).await,
            Err(failure) => {
                let source = found.source.as_deref();
                let what = format!("retrieving current configuration of:\n{}\nfrom server for:", describe(found));
                return Err(error_for(failure, &what, source));
            }
        };
        self.patch(found, &modified, live).await
    }

    fn manager(&self) -> &str {
        match self.args.field_manager.as_str() {
            "" if self.args.server_side => "kubectl",
            "" => "kubectl-client-side-apply",
            name => name,
        }
    }

    fn write(&self, call: Call) -> Call {
        write_call(call, self.manager(), self.validation, self.dry_run)
    }

    async fn server_side(&mut self, found: &Found) -> Result<(), Failure> {
        let force = if self.args.force_conflicts { "true" } else { "false" };
        let call = Call::new(http::Method::PATCH, found.path()).with("force", force);
        let call = self.write(call).text("application/apply-patch+yaml", found.object.to_string());
        let object = self.context.session().await?.json(&call).await.map_err(|failure| {
            if failure.is_conflict() {
                return conflict_advice(failure);
            }
            failure
        })?;
        self.report.tell(self.context, &found.label(), "serverside-applied", &object)
    }

    async fn create(&mut self, found: &Found, modified: Value) -> Result<(), Failure> {
        let object = match self.dry_run {
            DryRun::Client => modified,
            _ => {
                let call = self.write(Call::new(http::Method::POST, found.collection())).body(&modified);
                let created = self.context.session().await?.json(&call).await;
                created.map_err(|failure| failure.when("creating", found.source.as_deref()))?
            }
        };
        self.report.tell(self.context, &found.label(), "created", &object)
    }

    async fn patch(&mut self, found: &Found, modified: &Value, mut live: Value) -> Result<(), Failure> {
        let console = &self.context.console;
        let label = found.label().replacen(&found.resource.lower_kind(), &found.resource.qualified(), 1);
        if rdd_api::object::annotation(&live, LAST_APPLIED).is_none() {
            console.say(&format!(
                "Warning: resource {label} is missing the {LAST_APPLIED} annotation which is required by kubectl \
                 apply. kubectl apply should only be used on resources created declaratively by either kubectl create \
                 --save-config or kubectl apply. The missing annotation will be patched automatically.\n"
            ));
        }
        if rdd_api::object::is_terminating(&live) {
            console.say(&format!(
                "Warning: Detected changes to resource {} which is currently being deleted.\n",
                found.name
            ));
        }
        let schema = Strategy::of(self.context, &found.resource).await?;
        let mut attempt = 1;
        loop {
            if self.dry_run == DryRun::Client {
                return self.report.tell(self.context, &found.label(), "configured", modified);
            }
            let patch = schema.patch(modified, &live).map_err(|error| {
                let what = format!("applying patch:\nto:\n{}\nfor:", describe(found));
                error_for(Failure::message(error.to_string()), &what, found.source.as_deref())
            })?;
            if patch.as_object().is_none_or(serde_json::Map::is_empty) {
                return self.report.tell(self.context, &found.label(), "unchanged", &live);
            }
            let call = self.write(Call::new(http::Method::PATCH, found.path()));
            let call = call.text(schema.content_type(), patch.to_string());
            match self.context.session().await?.json(&call).await {
                Ok(object) => {
                    let is_same =
                        rdd_api::object::resource_version(&object) == rdd_api::object::resource_version(&live);
                    let done = if is_same && self.dry_run == DryRun::No { "unchanged" } else { "configured" };
                    return self.report.tell(self.context, &found.label(), done, &object);
                }
                Err(failure) if failure.is_conflict() && attempt < MAX_ATTEMPTS => {
                    attempt += 1;
                    live = found.fetch(self.context).await?;
                }
                Err(failure) => {
                    let what = format!("applying patch:\n{}\nto:\n{}\nfor:", compact_json(&patch), describe(found));
                    return Err(error_for(failure, &what, found.source.as_deref()));
                }
            }
        }
    }
}

fn error_for(failure: Failure, doing: &str, source: Option<&str>) -> Failure {
    failure.when(doing, source)
}

fn conflict_advice(failure: Failure) -> Failure {
    match failure {
        Failure::Status { mut status, context } => {
            status.message.push_str(
                "\nPlease review the fields above--they currently have other managers. Here\nare the ways you can \
                 resolve this warning:\n* If you intend to manage all of these fields, please re-run the apply\n  \
                 command with the `--force-conflicts` flag.\n* If you do not intend to manage all of the fields, please \
                 edit your\n  manifest to remove references to the fields that should keep their\n  current \
                 managers.\n* You may co-own fields by updating your manifest to match the existing\n  value; in this \
                 case, you'll become the manager if the other manager(s)\n  stop managing the field (remove it from \
                 their configuration).\nSee https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts",
            );
            Failure::Status { status, context }
        }
        other => other,
    }
}

/// Returns an object as kubectl's messages about patches describe it.
pub(crate) fn describe(found: &Found) -> String {
    let resource = &found.resource;
    format!(
        "Resource: \"{0}/{1}, Resource={2}\", GroupVersionKind: \"{0}/{1}, Kind={3}\"\nName: \"{4}\", Namespace: \"{5}\"",
        resource.group,
        resource.version,
        resource.name,
        resource.kind,
        found.name,
        found.namespace.as_deref().unwrap_or_default()
    )
}

/// Returns the object with itself in its annotation.
pub(crate) fn with_last_applied(object: &Value) -> Value {
    let mut object = object.clone();
    let annotations = rdd_api::object::metadata_mut(&mut object).entry("annotations").or_insert_with(|| json!({}));
    if annotations.is_null() {
        *annotations = json!({});
    }
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.remove(LAST_APPLIED);
    }
    let text = compact_json(&object) + "\n";
    object["metadata"]["annotations"][LAST_APPLIED] = text.into();
    object
}

/// How the lists of a kind merge.
pub(crate) enum Strategy {
    /// Custom resources: lists are replaced.
    Json,
    /// Built-in kinds: as the server's schema says.
    Strategic { document: Value, pointer: String },
}

impl Strategy {
    /// Asks the server how a resource's lists merge.
    pub(crate) async fn of(context: &Context, resource: &Resource) -> Result<Self, Failure> {
        let group = resource.group.as_str();
        let is_built_in = match group {
            "" | "apps" | "batch" | "autoscaling" | "policy" => true,
            "apiextensions.k8s.io" | "apiregistration.k8s.io" => false,
            _ => group.ends_with(".k8s.io"),
        };
        if !is_built_in {
            return Ok(Self::Json);
        }
        let path = match group {
            "" => format!("/openapi/v3/api/{}", resource.version),
            _ => format!("/openapi/v3/apis/{}", resource.api_version()),
        };
        let document = match context.session().await?.json(&Call::get(path)).await {
            Ok(document) => document,
            Err(failure) if failure.is_not_found() => json!({}),
            Err(failure) => return Err(failure),
        };
        let wanted = json!({"group": group, "version": resource.version, "kind": resource.kind});
        let schemas = document["components"]["schemas"].as_object();
        let name = schemas.into_iter().flatten().find_map(|(name, schema)| {
            let kinds = schema["x-kubernetes-group-version-kind"].as_array()?;
            (kinds.len() == 1 && kinds[0] == wanted).then(|| name.replace('~', "~0").replace('/', "~1"))
        });
        let pointer = name.map(|n| format!("/components/schemas/{n}")).unwrap_or_default();
        Ok(Self::Strategic { document, pointer })
    }

    /// Returns the patch's content type.
    pub(crate) fn content_type(&self) -> &'static str {
        match self {
            Self::Json => "application/merge-patch+json",
            Self::Strategic { .. } => "application/strategic-merge-patch+json",
        }
    }

    fn patch(&self, modified: &Value, live: &Value) -> Result<Value, rdd_merge::PatchError> {
        let last = rdd_api::object::annotation(live, LAST_APPLIED).and_then(|t| serde_json::from_str::<Value>(t).ok());
        match self {
            Self::Json => rdd_merge::three_way_json_merge(last.as_ref(), modified, live),
            Self::Strategic { document, pointer } => match document.pointer(pointer) {
                Some(schema) if !pointer.is_empty() => {
                    let keys = SchemaKeys::within(schema, document);
                    rdd_merge::three_way_strategic(last.as_ref(), modified, live, &keys)
                }
                _ => rdd_merge::three_way_strategic(last.as_ref(), modified, live, &NoMergeKeys),
            },
        }
    }

    /// Returns the patch from one state to another.
    pub(crate) fn two_way(&self, original: &Value, modified: &Value) -> Result<Value, rdd_merge::PatchError> {
        match self {
            Self::Json => Ok(rdd_merge::two_way_merge(original, modified)),
            Self::Strategic { document, pointer } => match document.pointer(pointer) {
                Some(schema) if !pointer.is_empty() => {
                    rdd_merge::two_way_strategic(original, modified, &SchemaKeys::within(schema, document))
                }
                _ => rdd_merge::two_way_strategic(original, modified, &NoMergeKeys),
            },
        }
    }
}
