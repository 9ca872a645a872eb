//! `describe`: an object for people, with what happened to it.
//!
//! ConfigMaps, secrets, namespaces and service accounts look as with kubectl; all else is printed
//! field by field, which is what kubectl does with kinds that it does not know.

use base64::Engine as _;
use clap::Args;
use serde_json::Value;

use crate::commands::events::seen;
use crate::context::Context;
use crate::failure::Failure;
use crate::manifest::FileArgs;
use crate::print::tabulate;
use crate::selection::{Fetch, Found, Query, SelectorArgs, find};
use crate::session::Call;

/// Show an object for people, with what happened to it
#[derive(Args, Debug)]
#[command(after_help = "Examples:\n  # Why does it not run?\n  kubectl describe limavm demo")]
pub(crate) struct DescribeArgs {
    /// TYPE, TYPE NAME... or TYPE/NAME...
    #[arg(value_name = "TYPE[/NAME]")]
    words: Vec<String>,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    selectors: SelectorArgs,
    /// Show what happened
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", default_value = "true", action = clap::ArgAction::Set)]
    show_events: bool,
    /// Accepted for kubectl's sake
    #[arg(long, hide = true, default_value_t = 500)]
    chunk_size: u64,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: &DescribeArgs) -> Result<(), Failure> {
    if args.words.is_empty() && args.files.is_empty() {
        return Err(Failure::message(
            "You must specify the type of resource to describe. Use \"kubectl api-resources\" for a complete list of \
             supported resources.",
        ));
    }
    let query =
        Query { files: &args.files, words: &args.words, selectors: &args.selectors, all: true, fetch: Fetch::Latest };
    let (all, failures) = find(context, &query).await?;
    let is_empty = all.is_empty() && failures.is_empty();
    for (index, found) in all.iter().enumerate() {
        let mut text = layout(found);
        if args.show_events {
            text += &events(context, found).await?;
        }
        let gap = if index > 0 { "\n\n" } else { "" };
        context.console.out(&format!("{gap}{}", tabulate(&text, 2)))?;
    }
    if is_empty {
        context.console.say(&if args.selectors.all_namespaces {
            "No resources found\n".to_owned()
        } else {
            format!("No resources found in {} namespace.\n", context.namespace().await?)
        });
    }
    Failure::all(failures)
}

fn layout(found: &Found) -> String {
    match (found.resource.group.as_str(), found.resource.kind.as_str()) {
        ("", "ConfigMap") => config_map(found),
        ("", "Secret") => secret(found),
        ("", "Namespace") => namespace(found),
        ("", "ServiceAccount") => service_account(found),
        _ => generic(found),
    }
}

/// `Labels:       a=b` and its like: one pair a line.
fn pairs(title: &str, value: &Value) -> String {
    let lines: Vec<String> = value
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, _)| *key != rdd_merge::LAST_APPLIED)
        .map(|(key, value)| (key, value.as_str().unwrap_or_default().trim_end_matches('\n')))
        .map(|(key, value)| match title {
            "Annotations" if value.contains('\n') || key.len() + value.len() + 2 > 140 => {
                let lines: String = value.lines().map(|l| format!("\n\t  {l}")).collect();
                format!("{key}:{lines}")
            }
            "Annotations" => format!("{key}: {value}"),
            _ => format!("{key}={value}"),
        })
        .collect();
    match lines.as_slice() {
        [] => format!("{title}:\t<none>\n"),
        lines => format!("{title}:\t{}\n", lines.join("\n\t")),
    }
}

fn head(found: &Found) -> String {
    let mut text = format!("Name:\t{}\n", found.name);
    if found.resource.is_namespaced {
        text += &format!("Namespace:\t{}\n", found.namespace.as_deref().unwrap_or_default());
    }
    let metadata = &found.object["metadata"];
    text + &pairs("Labels", &metadata["labels"]) + &pairs("Annotations", &metadata["annotations"])
}

fn config_map(found: &Found) -> String {
    let mut text = head(found) + "\nData\n====\n";
    for (key, value) in found.object["data"].as_object().into_iter().flatten() {
        text += &format!("{key}:\n----\n{}\n\n", value.as_str().unwrap_or_default());
    }
    text += "\nBinaryData\n====\n";
    for (key, value) in found.object["binaryData"].as_object().into_iter().flatten() {
        text += &format!("{key}: {} bytes\n", decoded_length(value));
    }
    text + "\n"
}

fn decoded_length(value: &Value) -> usize {
    let text = value.as_str().unwrap_or_default();
    base64::engine::general_purpose::STANDARD.decode(text).map(|bytes| bytes.len()).unwrap_or_default()
}

fn secret(found: &Found) -> String {
    let kind = found.object["type"].as_str().unwrap_or_default();
    let mut text = head(found) + &format!("\nType:\t{kind}\n\nData\n====\n");
    for (key, value) in found.object["data"].as_object().into_iter().flatten() {
        text += &format!("{key}:\t{} bytes\n", decoded_length(value));
    }
    text
}

fn namespace(found: &Found) -> String {
    let phase = found.object["status"]["phase"].as_str().unwrap_or_default();
    head(found) + &format!("Status:\t{phase}\n")
}

fn service_account(found: &Found) -> String {
    let names = |key: &str| {
        let list = found.object[key].as_array();
        let names: Vec<&str> = list.into_iter().flatten().filter_map(|s| s["name"].as_str()).collect();
        if names.is_empty() { "<none>".to_owned() } else { names.join("\n\t") }
    };
    head(found) + &format!("Image pull secrets:\t{}\n", names("imagePullSecrets"))
}

fn generic(found: &Found) -> String {
    let object = &found.object;
    let mut text = format!("Name:\t{}\nNamespace:\t{}\n", found.name, found.namespace.as_deref().unwrap_or_default());
    text += &pairs("Labels", &object["metadata"]["labels"]);
    text += &pairs("Annotations", &object["metadata"]["annotations"]);
    let mut shown = object.clone();
    if let Some(metadata) = shown["metadata"].as_object_mut() {
        for key in ["managedFields", "name", "namespace", "labels", "annotations"] {
            metadata.remove(key);
        }
    }
    fields(&shown, 0, &mut text);
    text
}

fn fields(value: &Value, level: usize, text: &mut String) {
    let indent = "  ".repeat(level);
    let mut entries: Vec<(String, &Value)> =
        value.as_object().into_iter().flatten().map(|(key, value)| (smart_label(key), value)).collect();
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    for (label, value) in entries {
        match value {
            Value::Object(_) => {
                *text += &format!("{indent}{label}:\n");
                fields(value, level + 1, text);
            }
            Value::Array(items) => {
                *text += &format!("{indent}{label}:\n");
                for item in items {
                    match item {
                        Value::Object(_) => fields(item, level + 1, text),
                        other => *text += &format!("{indent}  {}\n", plain(other)),
                    }
                }
            }
            Value::Null => *text += &format!("{indent}{label}:\t<nil>\n"),
            other => *text += &format!("{indent}{label}:\t{}\n", plain(other)),
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// `creationTimestamp` → `Creation Timestamp`.
fn smart_label(field: &str) -> String {
    if field.contains(['/', '.', '-', '_']) {
        return field.to_owned();
    }
    let mut words: Vec<String> = Vec::new();
    let chars: Vec<char> = field.chars().collect();
    for (index, c) in chars.iter().enumerate() {
        let before = index.checked_sub(1).map(|i| chars[i]);
        let next_is_lower = chars.get(index + 1).is_some_and(|n| n.is_lowercase());
        let begins = match before {
            None => true,
            Some(before) => c.is_uppercase() && (!before.is_uppercase() || next_is_lower),
        };
        if begins {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(*c);
        }
    }
    let all: Vec<String> = words.iter().map(|word| titled(word)).collect();
    all.join(" ")
}

fn titled(word: &str) -> String {
    match word.to_lowercase().as_str() {
        "api" | "url" | "uid" | "osb" | "guid" => word.to_uppercase(),
        _ => {
            let mut chars = word.chars();
            chars.next().map(|first| first.to_uppercase().collect::<String>() + chars.as_str()).unwrap_or_default()
        }
    }
}

async fn events(context: &Context, found: &Found) -> Result<String, Failure> {
    if matches!((found.resource.group.as_str(), found.resource.kind.as_str()), ("", "Secret" | "Namespace")) {
        return Ok(String::new());
    }
    let object = &found.object;
    let selector = [
        format!("involvedObject.name={}", found.name),
        format!("involvedObject.namespace={}", found.namespace.as_deref().unwrap_or_default()),
        format!("involvedObject.kind={}", found.resource.kind),
        format!("involvedObject.uid={}", rdd_api::object::uid(object)),
    ]
    .join(",");
    let path = match &found.namespace {
        Some(namespace) => format!("/api/v1/namespaces/{namespace}/events"),
        None => "/api/v1/events".to_owned(),
    };
    let list =
        context.session().await?.json(&Call::get(path).with("fieldSelector", selector).with("limit", "500")).await;
    let Ok(list) = list else { return Ok(String::new()) };
    let events = list["items"].as_array().cloned().unwrap_or_default();
    if events.is_empty() {
        return Ok("Events:\t<none>\n".to_owned());
    }
    let mut text = "Events:\n  Type\tReason\tAge\tFrom\tMessage\n  ----\t------\t----\t----\t-------\n".to_owned();
    for event in &events {
        let field = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let source = match field(&event["source"]["component"]) {
            source if source.is_empty() => field(&event["reportingComponent"]),
            source => source,
        };
        text += &format!(
            "  {}\t{}\t{}\t{source}\t{}\n",
            field(&event["type"]),
            field(&event["reason"]),
            seen(event),
            field(&event["message"]).trim()
        );
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_fields() {
        let check = |field: &str, expect: &str| assert_eq!(smart_label(field), expect);
        check("creationTimestamp", "Creation Timestamp");
        check("apiVersion", "API Version");
        check("uid", "UID");
        check("templateRef", "Template Ref");
        check("a.b/c", "a.b/c");
    }
}
