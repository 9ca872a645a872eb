//! `get`: shows objects, as the server's tables or in a form of the user's.

use clap::Args;
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::manifest::FileArgs;
use crate::print::{Form, ObjectPrinter, PrintArgs, SortBy, TableOptions, TablePrinter, generic_table, label};
use crate::selection::{SelectorArgs, Target, items, locate, targets};
use crate::session::{Call, TABLE};
use crate::watch::{Change, Watch};

/// Show objects
///
/// Without -o, what the server thinks worth a table. TYPE may be a plural, a singular, a short name,
/// several with commas between, or a category such as `all`.
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    # All VMs of the namespace, and all of all namespaces\n  kubectl get limavms\n  kubectl get limavms -A\n\n  \
    # One object, as YAML\n  kubectl get limavm demo -o yaml\n\n  \
    # Whether a VM runs, for a script\n  kubectl get limavm demo -o jsonpath='{.status.conditions[?(@.type==\"Running\")].status}'\n\n  \
    # Several kinds, and what happens to one from now on\n  kubectl get cm,secrets\n  kubectl get limavm demo -w")]
pub(crate) struct GetArgs {
    /// TYPE, TYPE NAME... or TYPE/NAME...
    #[arg(value_name = "TYPE[/NAME]")]
    words: Vec<String>,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    selectors: SelectorArgs,
    #[command(flatten)]
    print: PrintArgs,
    /// Go on and show every change
    #[arg(short = 'w', long)]
    watch: bool,
    /// Show changes only, not what is there
    #[arg(long)]
    watch_only: bool,
    /// Show what each change is, in a column EVENT
    #[arg(long)]
    output_watch_events: bool,
    /// Sort by a field, as in `.metadata.name`
    #[arg(long, value_name = "PATH")]
    sort_by: Option<String>,
    /// Show all labels in a last column
    #[arg(long)]
    show_labels: bool,
    /// Show these labels as columns
    #[arg(short = 'L', long, value_name = "LABEL", value_delimiter = ',')]
    label_columns: Vec<String>,
    /// Show the kind before each name
    #[arg(long)]
    show_kind: bool,
    /// Leave out the line of headers
    #[arg(long)]
    no_headers: bool,
    /// Succeed silently when the object is not there
    #[arg(long)]
    ignore_not_found: bool,
    /// Print what the server answers to this path
    #[arg(long, value_name = "PATH")]
    raw: Option<String>,
    /// Fetch large lists in pieces of this size; 0 is all at once
    #[arg(long, value_name = "N", default_value_t = 500, hide_short_help = true)]
    chunk_size: u64,
    /// Let the server make the tables
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", hide_short_help = true, action = clap::ArgAction::Set)]
    server_print: bool,
    /// A subresource to show, as in `status`
    #[arg(long, value_name = "NAME")]
    subresource: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: &GetArgs) -> Result<(), Failure> {
    if let Some(path) = &args.raw {
        return raw(context, args, path).await;
    }
    let form = args.print.form(args.no_headers)?;
    if args.show_labels && !matches!(form, Form::Human { .. }) {
        let form = args.print.output.as_deref().unwrap_or_default();
        return Err(Failure::message(format!("--show-labels option cannot be used with {form} printer")));
    }
    if args.words.is_empty() && args.files.is_empty() {
        context.console.say(
            "You must specify the type of resource to get. Use \"kubectl api-resources\" for a complete list of \
             supported resources.\n\n",
        );
        return Err(Failure::usage(
            "get",
            "Required resource not specified.\nUse \"kubectl explain <resource>\" for a detailed description of that \
             resource (e.g. kubectl explain pods).",
        ));
    }
    let sort = args.sort_by.as_deref().filter(|s| !s.is_empty()).map(SortBy::parse).transpose()?;
    let targets = wanted(context, args).await?;
    if args.watch || args.watch_only {
        return watch(context, args, &form, &targets).await;
    }
    match form {
        Form::Human { wide } => tables(context, args, wide, sort.as_ref(), &targets).await,
        form => objects(context, args, &form, sort.as_ref(), &targets).await,
    }
}

async fn raw(context: &Context, args: &GetArgs, path: &str) -> Result<(), Failure> {
    if !args.words.is_empty() {
        return Err(Failure::message("arguments may not be passed when --raw is specified"));
    }
    let call = Call::get(path).accept("application/json, */*");
    if path.contains("watch=true") {
        let mut lines = context.session().await?.lines(&call).await?;
        while let Some(line) = lines.next().await {
            context.console.line(&String::from_utf8_lossy(&line))?;
        }
        return Ok(());
    }
    context.console.out(&context.session().await?.text(&call).await?)
}

async fn wanted(context: &Context, args: &GetArgs) -> Result<Vec<Target>, Failure> {
    if args.files.is_empty() {
        return targets(context, &args.words, &args.selectors).await;
    }
    let mut all = Vec::new();
    for document in args.files.read(context)? {
        let found = locate(context, document.object, Some(document.source)).await?;
        all.push(Target { resource: found.resource, namespace: found.namespace, name: Some(found.name) });
    }
    Ok(all)
}

fn call(args: &GetArgs, target: &Target) -> Call {
    let path = match &args.subresource {
        Some(subresource) => format!("{}/{subresource}", target.path()),
        None => target.path(),
    };
    let call = Call::get(path);
    if target.name.is_some() { call } else { args.selectors.add_to(call) }
}

/// Fetches a target; a list in as many pieces as it takes.
async fn fetch(context: &Context, args: &GetArgs, target: &Target, call: Call) -> Result<Vec<Value>, Failure> {
    let session = context.session().await?;
    if target.name.is_some() {
        return Ok(vec![session.json(&call).await?]);
    }
    let explain = |failure: Failure| args.selectors.explain(&target.resource, failure);
    let limited = if args.chunk_size > 0 { call.with("limit", args.chunk_size.to_string()) } else { call };
    let mut pieces = vec![session.json(&limited).await.map_err(explain)?];
    loop {
        let next = pieces.last().and_then(|p| p["metadata"]["continue"].as_str()).unwrap_or_default();
        if next.is_empty() {
            return Ok(pieces);
        }
        let next = session.json(&limited.clone().with("continue", next)).await?;
        pieces.push(next);
    }
}

fn is_wanted_failure(args: &GetArgs, failure: &Failure) -> bool {
    !(args.ignore_not_found && failure.is_not_found())
}

async fn tables(
    context: &Context,
    args: &GetArgs,
    wide: bool,
    sort: Option<&SortBy>,
    targets: &[Target],
) -> Result<(), Failure> {
    let options = table_options(args, wide);
    let mut failures = Vec::new();
    let mut fetched: Vec<(&Target, Vec<Value>)> = Vec::new();
    for target in targets {
        let call = call(args, target).accept(if args.server_print { TABLE } else { crate::session::JSON });
        let call = if sort.is_some() { call.with("includeObject", "Object") } else { call };
        match fetch(context, args, target, call).await {
            Ok(pieces) => fetched.push((target, pieces)),
            Err(failure) if is_wanted_failure(args, &failure) => failures.push(failure),
            Err(_) => {}
        }
    }
    let has_several = fetched.iter().any(|(target, _)| target.resource != fetched[0].0.resource);
    let mut printed = false;
    let mut current: Option<(&Target, TablePrinter)> = None;
    for (target, pieces) in &fetched {
        if current.as_ref().is_none_or(|(last, _)| last.resource != target.resource) {
            finish(context, &options, &mut printed, current.take())?;
            current = Some((target, printer(args, &options, target, has_several)));
        }
        let (_, printer) = current.as_mut().expect("set above");
        for piece in merged(pieces, sort.is_some()) {
            printer.add(&generic_table(&piece), sort, None)?;
        }
    }
    finish(context, &options, &mut printed, current)?;
    if !printed && !args.ignore_not_found && failures.is_empty() {
        let is_namespaced = targets.iter().all(|t| t.resource.is_namespaced) && !args.selectors.all_namespaces;
        context.console.say(&if is_namespaced {
            format!("No resources found in {} namespace.\n", context.namespace().await?)
        } else {
            "No resources found\n".to_owned()
        });
    }
    Failure::all(failures)
}

/// Rows can only be sorted together.
fn merged(pieces: &[Value], is_sorted: bool) -> Vec<Value> {
    let mut pieces = pieces.to_vec();
    if is_sorted && pieces.len() > 1 {
        let rest: Vec<Value> = pieces
            .drain(1..)
            .flat_map(|mut p| match p["rows"].take() {
                Value::Array(rows) => rows,
                _ => Vec::new(),
            })
            .collect();
        if let Some(rows) = pieces[0]["rows"].as_array_mut() {
            rows.extend(rest);
        }
    }
    pieces
}

fn finish(
    context: &Context,
    options: &TableOptions,
    printed: &mut bool,
    current: Option<(&Target, TablePrinter)>,
) -> Result<(), Failure> {
    let text = current.map(|(_, mut printer)| printer.flush()).unwrap_or_default();
    if !text.is_empty() {
        if *printed && !options.no_headers {
            context.console.out("\n")?;
        }
        *printed = true;
    }
    context.console.out(&text)
}

fn table_options(args: &GetArgs, wide: bool) -> TableOptions {
    TableOptions {
        wide,
        no_headers: args.no_headers,
        show_labels: args.show_labels,
        label_columns: args.label_columns.clone(),
    }
}

fn printer(args: &GetArgs, options: &TableOptions, target: &Target, has_several: bool) -> TablePrinter {
    let with_namespace = args.selectors.all_namespaces && target.resource.is_namespaced;
    let with_kind = (has_several || args.show_kind).then(|| target.resource.lower_kind());
    TablePrinter::new(options, with_namespace, with_kind)
}

async fn objects(
    context: &Context,
    args: &GetArgs,
    form: &Form,
    sort: Option<&SortBy>,
    targets: &[Target],
) -> Result<(), Failure> {
    let (mut all, mut failures) = (Vec::new(), Vec::new());
    for target in targets {
        match fetch(context, args, target, call(args, target)).await {
            Ok(mut pieces) if target.name.is_some() => all.append(&mut pieces),
            Ok(pieces) => all.extend(pieces.into_iter().flat_map(items)),
            Err(failure) if is_wanted_failure(args, &failure) => failures.push(failure),
            Err(_) => {}
        }
    }
    let is_single = targets.len() == 1 && targets[0].name.is_some();
    if is_single && all.is_empty() {
        return Failure::all(failures);
    }
    if let Some(sort) = sort {
        sort.sort(&mut all, |object| object)?;
    }
    all.iter_mut().for_each(|object| args.print.clean(object));
    let object = match all.pop() {
        Some(object) if is_single => object,
        last => {
            all.extend(last);
            json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": all})
        }
    };
    ObjectPrinter::new(form).print(context, &object)?;
    Failure::all(failures)
}

async fn watch(context: &Context, args: &GetArgs, form: &Form, targets: &[Target]) -> Result<(), Failure> {
    let [target] = targets else {
        return Err(Failure::message("you may only specify a single resource type"));
    };
    let wide = matches!(form, Form::Human { wide: true });
    let is_human = matches!(form, Form::Human { .. });
    let accept = if is_human { TABLE } else { crate::session::JSON };
    let session = context.session().await?;
    let mut table = printer(args, &table_options(args, wide), target, false);
    let mut printer = ObjectPrinter::new(form);
    let mut show = |change: Change, object: Value, is_list: bool| -> Result<(), Failure> {
        let event = args.output_watch_events.then(|| change.word());
        if is_human {
            table.add(&generic_table(&object), None, event)?;
            return context.console.out(&table.flush());
        }
        let all = if is_list { items(object) } else { vec![object] };
        for mut object in all {
            args.print.clean(&mut object);
            if matches!(form, Form::Name) && args.output_watch_events {
                context.console.line(&format!("{:<10} {}", change.word(), label(&object)))?;
            } else if args.output_watch_events {
                printer.print(context, &json!({"type": change.word(), "object": object}))?;
            } else {
                printer.print(context, &object)?;
            }
        }
        Ok(())
    };
    let is_list = target.name.is_none();
    let mut version = String::new();
    for piece in fetch(context, args, target, call(args, target).accept(accept)).await? {
        version = rdd_api::object::resource_version(&piece).to_owned();
        if version.is_empty() {
            // A table of one object carries the version in its row.
            version = rdd_api::object::resource_version(&piece["rows"][0]["object"]).to_owned();
        }
        if !args.watch_only {
            show(Change::Added, piece, is_list)?;
        }
    }
    let collection = Target { name: None, ..target.clone() };
    let call = Call::get(collection.path()).accept(accept);
    let call = match &target.name {
        Some(name) => call.with("fieldSelector", format!("metadata.name={name}")),
        None => args.selectors.add_to(call),
    };
    let mut events = Watch::start(session, call.with("resourceVersion", version)).await?;
    while let Some((change, object)) = events.next().await? {
        if change != Change::Bookmark {
            show(change, object, false)?;
        }
    }
    Ok(())
}
