//! `edit`: opens an object in an editor and sends what was changed.

use std::path::Path;
use std::process::Command;

use clap::Args;
use rdd_schema::yaml;
use serde_json::Value;

use crate::commands::apply::Strategy;
use crate::context::Context;
use crate::failure::Failure;
use crate::manifest::FileArgs;
use crate::print::{PrintArgs, pretty_json};
use crate::selection::{Fetch, Found, Query, SelectorArgs, find};
use crate::session::Call;
use crate::writing::{DryRun, Report, ValidateArgs, write_call};

const HEADER: &str = "# Please edit the object below. Lines beginning with a '#' will be ignored,\n\
    # and an empty file will abort the edit. If an error occurs while saving this file will be\n\
    # reopened with the relevant failures.\n#\n";

/// Change an object in an editor
///
/// The editor is KUBE_EDITOR, else EDITOR, else VISUAL, else vi.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  # A VM's template\n  kubectl edit configmap demo-template\n\n  # With another editor\n  KUBE_EDITOR=nano kubectl edit limavm demo"
)]
pub(crate) struct EditArgs {
    /// TYPE NAME or TYPE/NAME...
    #[arg(value_name = "TYPE[/NAME]")]
    words: Vec<String>,
    #[command(flatten)]
    files: FileArgs,
    /// A subresource to edit, as in `status`
    #[arg(long, value_name = "NAME")]
    subresource: Option<String>,
    /// Name under which the server remembers who set which field
    #[arg(long, value_name = "NAME", default_value = "kubectl-edit")]
    field_manager: String,
    #[command(flatten)]
    validate: ValidateArgs,
    #[command(flatten)]
    print: PrintArgs,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: &EditArgs) -> Result<(), Failure> {
    if args.words.is_empty() && args.files.is_empty() {
        return Err(Failure::no_objects());
    }
    let is_json = args.print.output.as_deref() == Some("json");
    let form = crate::print::Form::Human { wide: false };
    let selectors = SelectorArgs::default();
    let query =
        Query { files: &args.files, words: &args.words, selectors: &selectors, all: false, fetch: Fetch::Latest };
    let (all, failures) = find(context, &query).await?;
    Failure::all(failures)?;
    let mut report = Report::new(&form, &args.print, DryRun::No);
    let mut was_changed = false;
    for mut found in all {
        args.print.clean(&mut found.object);
        was_changed |= one(context, args, is_json, &found, &mut report).await?;
    }
    if !was_changed {
        context.console.say("Edit cancelled, no changes made.\n");
    }
    Ok(())
}

/// Lets the user edit until the server takes it or the user gives up. Returns whether anything was changed.
async fn one(
    context: &Context,
    args: &EditArgs,
    is_json: bool,
    found: &Found,
    report: &mut Report<'_>,
) -> Result<bool, Failure> {
    let original = if is_json { pretty_json(&found.object) } else { yaml::print(&found.object) };
    let original = if is_json { original } else { format!("{HEADER}{original}") };
    let (mut shown, mut body, mut problem) = (original.clone(), original.clone(), String::new());
    let file = EditFile::new(if is_json { "json" } else { "yaml" })?;
    loop {
        file.write(&shown)?;
        open_editor(&context.console.editor(), &file.path)?;
        let edited = file.read()?;
        let has_failed = !problem.is_empty();
        if strip_comments(&edited) == strip_comments(&body) {
            if has_failed {
                // Saved again as it was refused: keep the work and say why.
                let kept = file.keep();
                context.console.say(&problem);
                context.console.say(&format!("A copy of your changes has been stored to \"{}\"\n", kept.display()));
                return Err(Failure::message("Edit cancelled, no valid changes were saved."));
            }
            return Ok(false);
        }
        if strip_comments(&edited).trim().is_empty() {
            context.console.say("Edit cancelled, saved file was empty.\n");
            return Ok(true);
        }
        body = edited;
        match send(context, args, found, &body).await {
            Ok(None) => return Ok(false),
            Ok(Some(object)) => {
                report.tell(context, &found.label(), "edited", &object)?;
                return Ok(true);
            }
            Err(failure) => {
                problem = failure.render();
                let told: String = problem.lines().map(|line| format!("# {line}\n")).collect();
                shown = if is_json { body.clone() } else { format!("{HEADER}{told}#\n{}", strip_comments(&body)) };
            }
        }
    }
}

async fn send(context: &Context, args: &EditArgs, found: &Found, text: &str) -> Result<Option<Value>, Failure> {
    let edited = yaml::parse(text).map_err(|error| Failure::message(error.to_string()))?;
    if edited["metadata"]["name"] != found.object["metadata"]["name"] || edited["kind"] != found.object["kind"] {
        return Err(Failure::message("At least one of apiVersion, kind and name was changed"));
    }
    let strategy = Strategy::of(context, &found.resource).await?;
    let patch = strategy.two_way(&found.object, &edited).map_err(|error| Failure::message(error.to_string()))?;
    if patch.as_object().is_none_or(serde_json::Map::is_empty) {
        return Ok(None);
    }
    let path = match &args.subresource {
        Some(subresource) => format!("{}/{subresource}", found.path()),
        None => found.path(),
    };
    let call = Call::new(http::Method::PATCH, path);
    let call = write_call(call, &args.field_manager, args.validate.parameter()?, DryRun::No);
    context.session().await?.json(&call.text(strategy.content_type(), patch.to_string())).await.map(Some)
}

fn strip_comments(text: &str) -> String {
    text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect()
}

/// Runs the editor's command line; it has the terminal until it ends.
fn open_editor(command: &str, path: &Path) -> Result<(), Failure> {
    let mut words = command.split_whitespace();
    let Some(program) = words.next() else { return Err(Failure::message("no editor is set")) };
    let status = match command.contains(['"', '\'', '\\']) && cfg!(unix) {
        true => Command::new("sh").arg("-c").arg(format!("{command} \"$0\"")).arg(path).status(),
        false => Command::new(program).args(words).arg(path).status(),
    };
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(Failure::message(format!("there was a problem with the editor \"{command}\""))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(Failure::message(format!("unable to launch the editor \"{command}\"")))
        }
        Err(error) => Err(Failure::message(format!("there was a problem with the editor \"{command}\": {error}"))),
    }
}

/// The file that the editor sees; removed unless kept.
struct EditFile {
    path: std::path::PathBuf,
    kept: std::cell::Cell<bool>,
}

impl EditFile {
    fn new(extension: &str) -> Result<Self, Failure> {
        let nanoseconds = jiff::Timestamp::now().as_nanosecond();
        let name = format!("kubectl-edit-{}-{nanoseconds}.{extension}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(&path).map_err(|error| Failure::message(format!("create {}: {error}", path.display())))?;
        Ok(Self { path, kept: false.into() })
    }

    fn write(&self, text: &str) -> Result<(), Failure> {
        let refuse = |error| Failure::message(format!("write {}: {error}", self.path.display()));
        std::fs::write(&self.path, text).map_err(refuse)
    }

    fn read(&self) -> Result<String, Failure> {
        let refuse = |error| Failure::message(format!("read {}: {error}", self.path.display()));
        std::fs::read_to_string(&self.path).map_err(refuse)
    }

    fn keep(&self) -> &Path {
        self.kept.set(true);
        &self.path
    }
}

impl Drop for EditFile {
    fn drop(&mut self) {
        if !self.kept.get() {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
