//! `config`: looks at the kubeconfig, and chooses its context.

use clap::{Args, Subcommand};
use rdd_schema::yaml;
use serde_json::Value;

use crate::context::Context;
use crate::failure::Failure;
use crate::print::{Form, ObjectPrinter, PrintArgs, align_rows};

/// Look at the kubeconfig
#[derive(Args, Debug)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  # What is in it, secrets hidden\n  kubectl config view\n\n  # The address of the server\n  kubectl config view -o jsonpath='{.clusters[0].cluster.server}'"
)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Show the kubeconfig, secrets hidden
    View {
        /// Show secrets too
        #[arg(long)]
        raw: bool,
        /// Only what the current context uses
        #[arg(long)]
        minify: bool,
        /// Accepted for kubectl's sake
        #[arg(long, hide = true)]
        flatten: bool,
        #[command(flatten)]
        print: PrintArgs,
    },
    /// Show the name of the current context
    CurrentContext,
    /// List the contexts
    GetContexts {
        /// Only this one
        name: Option<String>,
        /// name
        #[arg(short = 'o', long, value_name = "FORM", default_value = "")]
        output: String,
        /// Leave out the line of headers
        #[arg(long)]
        no_headers: bool,
    },
    /// Choose the context to use
    #[command(visible_alias = "use")]
    UseContext {
        /// Its name
        name: Vec<String>,
    },
}

/// Runs the command.
pub(crate) fn run(context: &Context, args: &ConfigArgs) -> Result<(), Failure> {
    let mut config = read(context)?;
    let current = config["current-context"].as_str().unwrap_or_default().to_owned();
    match &args.command {
        ConfigCommand::View { raw, minify, print, .. } => {
            if *minify {
                minify_to(&mut config, context.flags.context.as_deref().unwrap_or(&current))?;
            }
            if !raw {
                redact(&mut config);
            }
            if let Some(config) = config.as_object_mut()
                && config.get("preferences").is_some_and(|p| p.as_object().is_some_and(serde_json::Map::is_empty))
            {
                config.remove("preferences");
            }
            let form = match print.form(false)? {
                Form::Human { .. } => Form::Yaml,
                form => form,
            };
            ObjectPrinter::new(&form).print(context, &config)
        }
        ConfigCommand::CurrentContext => match current.as_str() {
            "" => Err(Failure::message("current-context is not set")),
            current => context.console.line(current),
        },
        ConfigCommand::GetContexts { name, output, no_headers } => {
            contexts(context, &config, &current, name.as_deref(), output, *no_headers)
        }
        ConfigCommand::UseContext { name } => {
            let [name] = name.as_slice() else {
                let text = format!("accepts 1 arg(s), received {}", name.len());
                return Err(Failure::message(text));
            };
            if named(&config, "contexts", name).is_none() {
                return Err(Failure::message(format!("no context exists with the name: \"{name}\"")));
            }
            config["current-context"] = name.as_str().into();
            let path = context.kubeconfig();
            std::fs::write(path, yaml::print(&config))
                .map_err(|error| Failure::message(format!("write {}: {error}", path.display())))?;
            context.console.line(&format!("Switched to context \"{name}\"."))
        }
    }
}

fn read(context: &Context) -> Result<Value, Failure> {
    let path = context.kubeconfig();
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Failure::message(format!("read {}: {error}", path.display()))),
    };
    let mut config = yaml::parse(&text)
        .map_err(|error| Failure::message(format!("error loading config file \"{}\": {error}", path.display())))?;
    if config.is_null() {
        config = serde_json::json!({"apiVersion": "v1", "kind": "Config", "clusters": null, "contexts": null,
            "current-context": "", "users": null});
    }
    Ok(config)
}

fn named<'v>(config: &'v Value, list: &str, name: &str) -> Option<&'v Value> {
    config[list].as_array()?.iter().find(|entry| entry["name"] == name)
}

fn redact(config: &mut Value) {
    let hide = |entry: &mut Value, keys: &[&str], text: &str| {
        for key in keys {
            if entry.get(key).is_some_and(|v| !v.is_null()) {
                entry[*key] = text.into();
            }
        }
    };
    for user in config["users"].as_array_mut().into_iter().flatten() {
        hide(&mut user["user"], &["token", "password"], "REDACTED");
        hide(&mut user["user"], &["client-key-data", "client-certificate-data"], "DATA+OMITTED");
    }
    for cluster in config["clusters"].as_array_mut().into_iter().flatten() {
        hide(&mut cluster["cluster"], &["certificate-authority-data"], "DATA+OMITTED");
    }
}

fn minify_to(config: &mut Value, current: &str) -> Result<(), Failure> {
    let Some(chosen) = named(config, "contexts", current).cloned() else {
        return Err(Failure::message(format!("cannot locate context {current}")));
    };
    config["current-context"] = current.into();
    let keep = [
        ("contexts", chosen["name"].clone()),
        ("clusters", chosen["context"]["cluster"].clone()),
        ("users", chosen["context"]["user"].clone()),
    ];
    for (list, name) in keep {
        if let Some(entries) = config[list].as_array_mut() {
            entries.retain(|entry| entry["name"] == name);
        }
    }
    Ok(())
}

fn contexts(
    context: &Context,
    config: &Value,
    current: &str,
    name: Option<&str>,
    output: &str,
    no_headers: bool,
) -> Result<(), Failure> {
    if !matches!(output, "" | "name") {
        return Err(Failure::message(format!("output must be one of '' or 'name': {output}")));
    }
    let mut entries: Vec<&Value> = config["contexts"].as_array().into_iter().flatten().collect();
    entries.sort_by_key(|entry| entry["name"].as_str());
    if let Some(name) = name {
        entries.retain(|entry| entry["name"] == name);
        if entries.is_empty() {
            if output.is_empty() && !no_headers {
                context.console.line("CURRENT   NAME   CLUSTER   AUTHINFO   NAMESPACE")?;
            }
            return Err(Failure::message(format!("context {name} not found")));
        }
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if output == "name" {
        return context.console.out(&entries.iter().map(|e| text(&e["name"]) + "\n").collect::<String>());
    }
    let mut rows = Vec::new();
    if !no_headers {
        rows.push(["CURRENT", "NAME", "CLUSTER", "AUTHINFO", "NAMESPACE"].map(str::to_owned).to_vec());
    }
    for entry in entries {
        let mark = if entry["name"] == current { "*" } else { "" };
        let inner = &entry["context"];
        let cells = [&entry["name"], &inner["cluster"], &inner["user"], &inner["namespace"]].map(text);
        rows.push(std::iter::once(mark.to_owned()).chain(cells).collect());
    }
    context.console.out(&align_rows(&rows, &mut Vec::new()))
}
