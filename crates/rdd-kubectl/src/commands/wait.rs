//! `wait`: waits until something holds. Watches; never polls.

use std::time::Duration;

use clap::Args;
use rdd_schema::jsonpath::{JsonPath, MissingKeys, print_value};
use serde_json::Value;

use crate::commands::delete::until_gone;
use crate::context::Context;
use crate::failure::Failure;
use crate::manifest::FileArgs;
use crate::parse_go_duration;
use crate::print::{Form, ObjectPrinter, PrintArgs};
use crate::selection::{Fetch, Found, Query, SelectorArgs, find, locate, targets};
use crate::session::{Call, Session};
use crate::watch::{Change, Watch};

/// What a negative timeout means.
const A_WEEK: Duration = Duration::from_secs(168 * 3600);

/// Wait until something holds
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  \
    # Until a VM runs\n  kubectl wait --for=condition=Running limavm/demo --timeout=5m\n\n  \
    # Until it does not any more\n  kubectl wait --for=condition=Running=False limavm/demo\n\n  \
    # Until a field has a value, or is there at all\n  kubectl wait --for=jsonpath='{.status.restartCount}'=2 limavm/demo\n  kubectl wait --for=jsonpath='{.status}' limavm/demo\n\n  \
    # Until objects are there, or gone\n  kubectl wait --for=create configmap/demo\n  kubectl wait --for=delete limavms --all")]
pub(crate) struct WaitArgs {
    /// TYPE/NAME... or TYPE NAME...
    #[arg(value_name = "TYPE[/NAME]")]
    words: Vec<String>,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    selectors: SelectorArgs,
    /// condition=NAME[=VALUE], jsonpath=PATH[=VALUE], delete or create
    #[arg(long = "for", value_name = "WHAT", default_value = "")]
    wanted: String,
    /// How long to wait for each; 0 looks once, negative is a week
    #[arg(long, value_name = "DURATION", default_value = "30s", allow_hyphen_values = true)]
    timeout: String,
    /// All objects of the type in the namespace
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    print: PrintArgs,
}

/// What is waited for.
enum Wanted {
    Condition { name: String, status: String },
    Field { path: JsonPath, value: Option<String> },
    Gone,
    There,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: &WaitArgs) -> Result<(), Failure> {
    let limit = parse_go_duration(&args.timeout).map_err(|error| {
        Failure::message(format!(
            "invalid argument \"{}\" for \"--timeout\" flag: {error}\nSee 'kubectl wait --help' for usage.",
            args.timeout
        ))
    })?;
    let limit = if limit.is_negative { A_WEEK } else { limit.length };
    let wanted = parse(&args.wanted)?;
    let form = args.print.write_form()?;
    let mut printer = ObjectPrinter::new(&form);
    let (all, mut failures) = chosen(context, args, &wanted).await?;
    if all.is_empty() && failures.is_empty() {
        if matches!(wanted, Wanted::Gone) {
            return Ok(());
        }
        return Err(Failure::message("no matching resources found"));
    }
    let session = context.session().await?;
    for found in all {
        let held = until(session, &found, &wanted);
        // Each object gets the whole time, as with kubectl.
        let waited = match limit.is_zero() {
            true => once(session, &found, &wanted).await,
            false => tokio::time::timeout(limit, held).await.unwrap_or_else(|_| Err(timed_out(&found, &wanted))),
        };
        match waited {
            Ok(mut object) => {
                if matches!(form, Form::Human { .. }) {
                    context.console.line(&format!("{} condition met", found.label()))?;
                } else {
                    args.print.clean(&mut object);
                    printer.print(context, &object)?;
                }
            }
            Err(failure) => failures.push(failure),
        }
    }
    Failure::all(failures)
}

fn timed_out(found: &Found, wanted: &Wanted) -> Failure {
    if matches!(wanted, Wanted::There) {
        return Failure::message("timed out waiting for the condition");
    }
    Failure::message(format!("timed out waiting for the condition on {}/{}", found.resource.name, found.name))
}

/// Finds the objects; for `create`, waits until there are some.
async fn chosen(context: &Context, args: &WaitArgs, wanted: &Wanted) -> Result<(Vec<Found>, Vec<Failure>), Failure> {
    let query = Query {
        files: &args.files,
        words: &args.words,
        selectors: &args.selectors,
        all: args.all,
        fetch: Fetch::Latest,
    };
    match wanted {
        Wanted::There => {
            let mut all = Vec::new();
            for target in targets(context, &args.words, &args.selectors).await? {
                let Some(name) = target.name else { return find(context, &query).await };
                let (resource, namespace) = (target.resource, target.namespace);
                all.push(Found { resource, namespace, name, object: Value::Null, source: None });
            }
            for document in args.files.read(context)? {
                all.push(locate(context, document.object, Some(document.source)).await?);
            }
            Ok((all, Vec::new()))
        }
        Wanted::Gone => {
            let (all, failures) = find(context, &query).await?;
            let (_, failures): (Vec<_>, Vec<_>) = failures.into_iter().partition(Failure::is_not_found);
            Ok((all, failures))
        }
        _ => find(context, &query).await,
    }
}

fn parse(text: &str) -> Result<Wanted, Failure> {
    match text.to_lowercase().as_str() {
        "delete" => return Ok(Wanted::Gone),
        "create" => return Ok(Wanted::There),
        _ => {}
    }
    if let Some(condition) = text.strip_prefix("condition=") {
        let (name, status) = condition.split_once('=').unwrap_or((condition, "true"));
        return Ok(Wanted::Condition { name: name.to_owned(), status: status.to_owned() });
    }
    if let Some(rest) = text.strip_prefix("jsonpath=") {
        return field(rest);
    }
    Err(Failure::message(format!("unrecognized condition: {}", rdd_api::field::quote(text))))
}

/// Reads `{.path}` or `{.path}=value`; an `=` inside the braces belongs to the path.
fn field(text: &str) -> Result<Wanted, Failure> {
    let format_error = "jsonpath wait format must be --for=jsonpath='{.status.readyReplicas}'=3 or \
                        --for=jsonpath='{.status.readyReplicas}'";
    let text = text.trim_matches(['\'', '"']);
    let (path, value) = match text.rfind('}') {
        Some(end) => match &text[end + 1..] {
            "" => (text, None),
            rest => match rest.trim_start_matches(['\'', '"']).strip_prefix('=') {
                Some(value) => (&text[..=end], Some(value)),
                None => return Err(Failure::message(format_error)),
            },
        },
        None => match text.split_once('=') {
            Some((path, value)) => (path, Some(value)),
            None => (text, None),
        },
    };
    if path.is_empty() {
        return Err(Failure::message("jsonpath expression cannot be empty"));
    }
    let value = match value.map(|v| v.trim_matches(['\'', '"'])) {
        Some("") => {
            return Err(Failure::message(
                "jsonpath wait has to have a value after equal sign, like --for=jsonpath='{.status.readyReplicas}'=3",
            ));
        }
        value => value.map(str::to_owned),
    };
    let path = JsonPath::parse_column(path).map_err(|error| Failure::message(error.to_string()))?;
    Ok(Wanted::Field { path, value })
}

impl Wanted {
    /// Returns whether an object is as wanted.
    fn holds(&self, object: &Value) -> Result<bool, Failure> {
        match self {
            Self::There => Ok(true),
            Self::Gone => Ok(false),
            Self::Condition { name, status } => Ok(condition_holds(object, name, status)),
            Self::Field { path, value } => {
                let found = path.try_find(object, MissingKeys::Allowed).map_err(|e| Failure::message(e.to_string()))?;
                match (found.as_slice(), value) {
                    ([], _) => Ok(false),
                    (_, None) => Ok(true),
                    ([Value::Array(_) | Value::Object(_)], Some(_)) => {
                        Err(Failure::message("jsonpath leads to a nested object or list which is not supported"))
                    }
                    ([one], Some(value)) => Ok(print_value(one).trim() == value.trim()),
                    (_, Some(_)) => Err(Failure::message("given jsonpath expression matches more than one value")),
                }
            }
        }
    }
}

/// Returns whether an object has a condition, of its current generation where that is told.
pub(crate) fn condition_holds(object: &Value, name: &str, status: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    let Some(condition) =
        conditions.into_iter().flatten().find(|c| c["type"].as_str().is_some_and(|t| t.eq_ignore_ascii_case(name)))
    else {
        return false;
    };
    let generation = object["metadata"]["generation"].as_i64();
    let observed = condition["observedGeneration"].as_i64().or_else(|| object["status"]["observedGeneration"].as_i64());
    if let (Some(generation), Some(observed)) = (generation, observed)
        && observed < generation
    {
        return false;
    }
    condition["status"].as_str().is_some_and(|s| s.eq_ignore_ascii_case(status))
}

async fn once(session: &Session, found: &Found, wanted: &Wanted) -> Result<Value, Failure> {
    match session.json(&Call::get(found.path())).await {
        Ok(object) if wanted.holds(&object)? => Ok(object),
        Ok(_) => Err(Failure::message(format!("condition not met for {}/{}", found.resource.name, found.name))),
        Err(failure) if failure.is_not_found() && matches!(wanted, Wanted::Gone) => Ok(found.object.clone()),
        Err(failure) => Err(failure),
    }
}

async fn until(session: &Session, found: &Found, wanted: &Wanted) -> Result<Value, Failure> {
    if matches!(wanted, Wanted::Gone) {
        until_gone(session, found, rdd_api::object::uid(&found.object)).await?;
        return Ok(found.object.clone());
    }
    loop {
        let selector = format!("metadata.name={}", found.name);
        let list_call = || Call::get(found.collection()).with("fieldSelector", selector.clone());
        let list = session.json(&list_call()).await?;
        match list["items"].as_array().and_then(|items| items.first()) {
            Some(object) => {
                let mut object = object.clone();
                object["apiVersion"] = found.resource.api_version().into();
                object["kind"] = found.resource.kind.clone().into();
                if wanted.holds(&object)? {
                    return Ok(object);
                }
            }
            None if matches!(wanted, Wanted::There) => {}
            None => {
                let resource = rdd_api::GroupResource::new(&*found.resource.group, &*found.resource.name);
                return Err(rdd_api::Status::not_found(&resource, &found.name).into());
            }
        }
        let version = rdd_api::object::resource_version(&list).to_owned();
        let call = list_call().with("allowWatchBookmarks", "true").with("resourceVersion", version);
        let mut watch = Watch::start(session, call).await?;
        // A watch that ends, and one that is too old, begin anew with a look.
        while let Ok(Some((change, object))) = watch.next().await {
            match change {
                Change::Deleted => break,
                Change::Bookmark => {}
                Change::Added | Change::Modified if wanted.holds(&object)? => return Ok(object),
                Change::Added | Change::Modified => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_wanted() {
        let object = json!({
            "metadata": {"generation": 2},
            "status": {"n": 3, "text": "a=b", "list": [1], "conditions": [
                {"type": "Running", "status": "True", "observedGeneration": 2},
                {"type": "Old", "status": "True", "observedGeneration": 1}]},
        });
        let check = |text: &str, expect: Result<bool, &str>| {
            let held = parse(text).and_then(|wanted| wanted.holds(&object)).map_err(|f| f.to_string());
            match expect {
                Ok(expect) => assert_eq!(held, Ok(expect), "{text}"),
                Err(expect) => assert!(held.expect_err(text).contains(expect), "{text}"),
            }
        };
        check("condition=Running", Ok(true));
        check("condition=running=True", Ok(true));
        check("condition=Running=False", Ok(false));
        check("condition=Old", Ok(false));
        check("condition=Missing", Ok(false));
        check("jsonpath={.status.n}=3", Ok(true));
        check("jsonpath='{.status.n}'=3", Ok(true));
        check("jsonpath={.status.n}=4", Ok(false));
        check("jsonpath={.status.n}", Ok(true));
        check("jsonpath={.status.x}", Ok(false));
        check("jsonpath={.status.text}=a=b", Ok(true));
        check("jsonpath={.status.conditions[?(@.type==\"Running\")].status}=True", Ok(true));
        check("jsonpath={.status.list}=1", Err("nested object or list"));
        check("jsonpath=", Err("cannot be empty"));
        check("jsonpath={.a}=", Err("has to have a value"));
        check("nonsense", Err("unrecognized condition: \"nonsense\""));
    }
}
