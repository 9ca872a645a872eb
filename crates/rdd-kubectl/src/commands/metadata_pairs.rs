//! What `label` and `annotate` share: `KEY=VALUE` and `KEY-`.

use clap::Args;
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::manifest::FileArgs;
use crate::print::PrintArgs;
use crate::selection::{Fetch, Query, SelectorArgs, find};
use crate::session::Call;
use crate::writing::{DryRun, DryRunArgs, Report, write_call};

/// The flags of both.
#[derive(Args, Debug)]
pub(crate) struct PairArgs {
    /// TYPE NAME... or TYPE/NAME..., then KEY=VALUE to set or KEY- to remove
    #[arg(value_name = "TYPE[/NAME] KEY=VALUE|KEY-")]
    words: Vec<String>,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    selectors: SelectorArgs,
    /// All objects of the type in the namespace
    #[arg(long)]
    all: bool,
    /// Replace values that are there
    #[arg(long)]
    overwrite: bool,
    /// Show what is there
    #[arg(long)]
    list: bool,
    /// Print the changed objects; nothing is sent
    #[arg(long)]
    local: bool,
    /// Change only this version of the object
    #[arg(long, value_name = "VERSION", default_value = "")]
    resource_version: String,
    /// Name under which the server remembers who set which field
    #[arg(long, value_name = "NAME")]
    field_manager: Option<String>,
    #[command(flatten)]
    dry_run: DryRunArgs,
    #[command(flatten)]
    print: PrintArgs,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pairs {
    Labels,
    Annotations,
}

impl Pairs {
    fn field(self) -> &'static str {
        match self {
            Self::Labels => "labels",
            Self::Annotations => "annotations",
        }
    }

    fn one(self) -> &'static str {
        match self {
            Self::Labels => "label",
            Self::Annotations => "annotation",
        }
    }

    fn command(self) -> &'static str {
        match self {
            Self::Labels => "label",
            Self::Annotations => "annotate",
        }
    }
}

/// Splits the words where the pairs begin.
fn split(words: &[String]) -> (Vec<String>, Vec<String>) {
    let is_pair = |word: &String| word.contains('=') || word.ends_with('-');
    let start = words.iter().skip(1).position(is_pair).map_or(words.len(), |i| i + 1);
    let start = if words.first().is_some_and(is_pair) { 0 } else { start };
    (words[..start].to_vec(), words[start..].to_vec())
}

type Change = (Vec<(String, String)>, Vec<String>);

fn parse(pairs: &[String], kind: Pairs) -> Result<Change, Failure> {
    let (mut set, mut removed) = (Vec::new(), Vec::new());
    for pair in pairs {
        if let Some((key, value)) = pair.split_once('=').filter(|(key, _)| !key.is_empty()) {
            if let Some(problem) = rdd_schema::validation::label_value(value).first().filter(|_| kind == Pairs::Labels)
            {
                return Err(Failure::message(format!(
                    "invalid label value: {}: {problem}",
                    rdd_api::field::quote(pair)
                )));
            }
            set.push((key.to_owned(), value.to_owned()));
        } else if let Some(key) = pair.strip_suffix('-') {
            removed.push(key.to_owned());
        } else {
            return Err(Failure::message(match kind {
                Pairs::Labels => format!("unknown label spec: {pair}"),
                Pairs::Annotations => format!("invalid annotation format: {pair}"),
            }));
        }
    }
    if let Some(key) = removed.iter().find(|key| set.iter().any(|(k, _)| k == *key)) {
        let text = format!(
            "can not both modify and remove {} {} in the same command",
            kind_article(kind),
            rdd_api::field::quote(key)
        );
        return Err(Failure::message(text));
    }
    Ok((set, removed))
}

fn kind_article(kind: Pairs) -> &'static str {
    match kind {
        Pairs::Labels => "a label",
        Pairs::Annotations => "an annotation",
    }
}

/// Runs either command.
pub(crate) async fn run(context: &Context, args: &PairArgs, kind: Pairs) -> Result<(), Failure> {
    let (words, pairs) = split(&args.words);
    if words.is_empty() && args.files.is_empty() {
        return Err(Failure::message(
            "one or more resources must be specified as <resource> <name> or <resource>/<name>",
        ));
    }
    let (set, removed) = parse(&pairs, kind)?;
    if set.is_empty() && removed.is_empty() && !args.list {
        return Err(Failure::message(format!("at least one {} update is required", kind.one())));
    }
    let form = args.print.write_form()?;
    let dry_run = if args.local { DryRun::Client } else { args.dry_run.mode(context)? };
    let fetch = if args.local { Fetch::Names } else { Fetch::Latest };
    let query = Query { files: &args.files, words: &words, selectors: &args.selectors, all: args.all, fetch };
    let (all, mut failures) = find(context, &query).await?;
    if kind == Pairs::Labels && all.is_empty() && failures.is_empty() && args.selectors.selector.is_none() && !args.all
    {
        return Err(Failure::message("no resources found"));
    }
    let manager = args.field_manager.clone().unwrap_or_else(|| format!("kubectl-{}", kind.command()));
    let mut report = Report::new(&form, &args.print, dry_run);
    let has_several = all.len() > 1;
    for found in all {
        let old = found.object["metadata"][kind.field()].clone();
        if args.list {
            if has_several {
                context.console.line(&format!(
                    "Listing {} for {}/{}:",
                    kind.field(),
                    found.resource.kind,
                    found.name
                ))?;
            }
            let mut text = String::new();
            for (key, value) in old.as_object().into_iter().flatten() {
                text +=
                    &format!("{}{key}={}\n", if has_several { " " } else { "" }, value.as_str().unwrap_or_default());
            }
            context.console.out(&text)?;
            if set.is_empty() && removed.is_empty() {
                continue;
            }
        }
        if let Some(failure) = taken(&old, &set, args.overwrite, kind) {
            failures.push(failure);
            continue;
        }
        let mut changes = serde_json::Map::new();
        for (key, value) in &set {
            changes.insert(key.clone(), value.as_str().into());
        }
        for key in &removed {
            if old.get(key).is_none() && kind == Pairs::Labels {
                context.console.line(&format!("label {} not found.", rdd_api::field::quote(key)))?;
            }
            changes.insert(key.clone(), Value::Null);
        }
        let mut patch = json!({"metadata": {kind.field(): changes}});
        if !args.resource_version.is_empty() {
            patch["metadata"]["resourceVersion"] = args.resource_version.as_str().into();
        }
        let changed = if dry_run == DryRun::Client {
            let mut object = found.object.clone();
            rdd_merge::merge_patch(&mut object, &patch);
            Ok(object)
        } else {
            let call = write_call(Call::new(http::Method::PATCH, found.path()), &manager, "", dry_run);
            let call = call.text("application/merge-patch+json", patch.to_string());
            context.session().await?.json(&call).await
        };
        match changed {
            Ok(object) => {
                let done = done(kind, &old, &object["metadata"][kind.field()], &set, &removed);
                report.tell(context, &found.label(), done, &object)?;
            }
            Err(failure) => failures.push(failure),
        }
    }
    Failure::all(failures)
}

fn done(kind: Pairs, old: &Value, new: &Value, set: &[(String, String)], removed: &[String]) -> &'static str {
    match kind {
        Pairs::Annotations => "annotated",
        Pairs::Labels if old == new => "not labeled",
        Pairs::Labels if set.is_empty() && !removed.is_empty() => "unlabeled",
        Pairs::Labels => "labeled",
    }
}

fn taken(old: &Value, set: &[(String, String)], overwrite: bool, kind: Pairs) -> Option<Failure> {
    if overwrite {
        return None;
    }
    let taken: Vec<(&String, &str)> =
        set.iter().filter_map(|(key, value)| Some((key, old.get(key)?.as_str().filter(|old| old != value)?))).collect();
    let texts: Vec<String> = taken
        .iter()
        .map(|(key, value)| match kind {
            Pairs::Labels => format!("'{key}' already has a value ({value}), and --overwrite is false"),
            Pairs::Annotations => format!("--overwrite is false but found the following declared annotation(s): '{key}' already has a value ({value})"),
        })
        .collect();
    match texts.as_slice() {
        [] => None,
        [one] => Some(Failure::message(one.clone())),
        several => Some(Failure::message(format!("[{}]", several.join(", ")))),
    }
}
