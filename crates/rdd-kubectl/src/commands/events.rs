//! `events`: what happened, oldest first.

use clap::Args;
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::print::{Form, ObjectPrinter, PrintArgs, age, align_rows, since};
use crate::selection::items;
use crate::session::Call;
use crate::watch::{Change, Watch};

/// Show what happened
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  # In the namespace, and to one VM\n  kubectl events\n  kubectl events --for limavm/demo\n\n  # From now on too\n  kubectl events -w"
)]
pub(crate) struct EventsArgs {
    /// Look into all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Events of one object: TYPE/NAME
    #[arg(long = "for", value_name = "TYPE/NAME")]
    about: Option<String>,
    /// Events of these types, as in Warning,Normal
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    types: Vec<String>,
    /// Go on and show every new event
    #[arg(short = 'w', long)]
    watch: bool,
    /// Leave out the line of headers
    #[arg(long)]
    no_headers: bool,
    /// Accepted for kubectl's sake
    #[arg(long, hide = true, default_value_t = 500)]
    chunk_size: u64,
    #[command(flatten)]
    print: PrintArgs,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: &EventsArgs) -> Result<(), Failure> {
    let form = args.print.write_form()?;
    if let Some(kind) =
        args.types.iter().find(|t| !t.eq_ignore_ascii_case("Normal") && !t.eq_ignore_ascii_case("Warning"))
    {
        return Err(Failure::message(format!(
            "valid --types are Normal or Warning; got {}",
            rdd_api::field::quote(kind)
        )));
    }
    let namespace = context.namespace().await?;
    let path = match args.all_namespaces {
        true => "/api/v1/events".to_owned(),
        false => format!("/api/v1/namespaces/{namespace}/events"),
    };
    let mut call = Call::get(&*path);
    if let Some(about) = &args.about {
        let Some((kind, name)) = about.split_once('/').filter(|(k, n)| !k.is_empty() && !n.is_empty()) else {
            return Err(Failure::message("--for must be in resource/name form"));
        };
        let resource = context.discovery().await?.resource(kind)?;
        let fields = [
            format!("involvedObject.kind={}", resource.kind),
            format!("involvedObject.apiVersion={}", resource.api_version()),
            format!("involvedObject.name={name}"),
        ];
        call = call.with("fieldSelector", fields.join(","));
    }
    let session = context.session().await?;
    let list = session.json(&call.clone().with("limit", "500")).await?;
    let version = rdd_api::object::resource_version(&list).to_owned();
    let is_wanted = |event: &Value| {
        args.types.is_empty()
            || args.types.iter().any(|t| event["type"].as_str().is_some_and(|e| e.eq_ignore_ascii_case(t)))
    };
    let mut all: Vec<Value> = items(list).into_iter().filter(is_wanted).collect();
    if !matches!(form, Form::Human { .. }) && !args.watch {
        let list = json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": all});
        return ObjectPrinter::new(&form).print(context, &list);
    }
    all.sort_by(|a, b| last_seen(a).cmp(last_seen(b)));
    if all.is_empty() && !args.watch {
        context.console.say(&match args.all_namespaces {
            true => "No events found.\n".to_owned(),
            false => format!("No events found in {namespace} namespace.\n"),
        });
        return Ok(());
    }
    let mut widths = Vec::new();
    let mut rows = Vec::new();
    if !args.no_headers {
        let headers = ["NAMESPACE", "LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"];
        rows.push(headers[usize::from(!args.all_namespaces)..].iter().map(|h| (*h).to_owned()).collect());
    }
    rows.extend(all.iter().map(|event| row(event, args.all_namespaces)));
    context.console.out(&align_rows(&rows, &mut widths))?;
    if !args.watch {
        return Ok(());
    }
    let mut watch = Watch::start(session, call.with("resourceVersion", version)).await?;
    while let Some((change, event)) = watch.next().await? {
        if matches!(change, Change::Added | Change::Modified) && is_wanted(&event) {
            context.console.out(&align_rows(&[row(&event, args.all_namespaces)], &mut widths))?;
        }
    }
    Ok(())
}

fn last_seen(event: &Value) -> &str {
    let times = [&event["series"]["lastObservedTime"], &event["lastTimestamp"], &event["eventTime"]];
    times.into_iter().find_map(Value::as_str).unwrap_or_default()
}

fn row(event: &Value, with_namespace: bool) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let object = &event["involvedObject"];
    let mut cells = Vec::new();
    if with_namespace {
        cells.push(text(&event["metadata"]["namespace"]));
    }
    cells.push(seen(event));
    cells.extend([text(&event["type"]), text(&event["reason"])]);
    cells.push(format!("{}/{}", text(&object["kind"]), text(&object["name"])));
    cells.push(text(&event["message"]).trim().to_owned());
    cells
}

/// Returns when an event was seen, and how often.
pub(crate) fn seen(event: &Value) -> String {
    let first = event["firstTimestamp"].as_str().or_else(|| event["eventTime"].as_str());
    let last = last_seen(event);
    let count = event["series"]["count"].as_i64().or_else(|| event["count"].as_i64()).unwrap_or(1);
    let ago = if last.is_empty() { age(event) } else { since(last) };
    match first {
        Some(first) if count > 1 => format!("{ago} (x{count} over {})", since(first)),
        _ => ago,
    }
}
