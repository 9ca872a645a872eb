//! `create`: makes objects, from files or from flags.

use std::path::Path;

use base64::Engine as _;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::commands::apply::with_last_applied;
use crate::context::Context;
use crate::failure::Failure;
use crate::manifest::FileArgs;
use crate::print::{PrintArgs, go_io};
use crate::selection::locate;
use crate::session::Call;
use crate::writing::{DryRun, DryRunArgs, Report, ValidateArgs, write_call};

/// Make objects
#[derive(Args, Debug)]
#[command(
    args_conflicts_with_subcommands = false,
    after_help = "Examples:\n  \
    # What a file says; it must not be there yet\n  kubectl create -f demo.yaml\n\n  \
    # A ConfigMap with a template\n  kubectl create configmap demo --from-file=template=lima.yaml\n\n  \
    # The YAML of an object, without making it\n  kubectl create configmap demo --from-literal=a=b --dry-run=client -o yaml"
)]
pub(crate) struct CreateArgs {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    files: FileArgs,
    #[command(flatten)]
    write: WriteArgs,
    /// Only objects with these labels
    #[arg(short = 'l', long, value_name = "SELECTOR")]
    selector: Option<String>,
    /// Open the objects in an editor first; not there yet
    #[arg(long, hide = true)]
    edit: bool,
    /// POST the file to this path
    #[arg(long, value_name = "PATH")]
    raw: Option<String>,
}

#[derive(Args, Clone, Debug)]
struct WriteArgs {
    #[command(flatten)]
    dry_run: DryRunArgs,
    #[command(flatten)]
    validate: ValidateArgs,
    /// Name under which the server remembers who set which field
    #[arg(long, value_name = "NAME", default_value = "kubectl-create")]
    field_manager: String,
    /// Keep what is made in the annotation that `apply` looks at
    #[arg(long)]
    save_config: bool,
    #[command(flatten)]
    print: PrintArgs,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Make a namespace
    #[command(visible_alias = "ns")]
    Namespace {
        /// Its name
        name: Vec<String>,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// Make a ConfigMap from files and literals
    #[command(visible_alias = "cm")]
    Configmap {
        /// Its name
        name: Vec<String>,
        #[command(flatten)]
        data: DataArgs,
        #[command(flatten)]
        write: WriteArgs,
    },
    /// Make a secret
    #[command(subcommand)]
    Secret(SecretKind),
    /// Make a service account
    #[command(visible_alias = "sa")]
    Serviceaccount {
        /// Its name
        name: Vec<String>,
        #[command(flatten)]
        write: WriteArgs,
    },
}

#[derive(Debug, Subcommand)]
enum SecretKind {
    /// Make a secret from files and literals
    Generic {
        /// Its name
        name: Vec<String>,
        #[command(flatten)]
        data: DataArgs,
        /// The secret's type
        #[arg(long = "type", value_name = "TYPE")]
        kind: Option<String>,
        #[command(flatten)]
        write: WriteArgs,
    },
}

#[derive(Args, Clone, Debug)]
struct DataArgs {
    /// KEY=VALUE; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    from_literal: Vec<String>,
    /// FILE, KEY=FILE, or a directory whose files are keys; may be repeated
    #[arg(long, value_name = "[KEY=]FILE")]
    from_file: Vec<String>,
    /// A file with lines KEY=VALUE
    #[arg(long, value_name = "FILE")]
    from_env_file: Vec<String>,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: &CreateArgs) -> Result<(), Failure> {
    match &args.what {
        None => from_files(context, args).await,
        Some(What::Namespace { name, write }) => {
            let name = one_name("namespace", name)?;
            let object = json!({"apiVersion": "v1", "kind": "Namespace",
                "metadata": {"name": name}, "spec": {}, "status": {}});
            post(context, write, object).await
        }
        Some(What::Serviceaccount { name, write }) => {
            let name = one_name("serviceaccount", name)?;
            let object = json!({"apiVersion": "v1", "kind": "ServiceAccount",
                "metadata": {"name": name}});
            post(context, write, object).await
        }
        Some(What::Configmap { name, data, write }) => {
            let name = one_name("configmap", name)?;
            let mut object = json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": name}});
            for (key, bytes) in data.read("ConfigMap", name)? {
                match String::from_utf8(bytes) {
                    Ok(text) => object["data"][key] = text.into(),
                    Err(error) => object["binaryData"][key] = encode(error.as_bytes()).into(),
                }
            }
            post(context, write, object).await
        }
        Some(What::Secret(SecretKind::Generic { name, data, kind, write })) => {
            let name = one_name("secret generic", name)?;
            let mut object = json!({"apiVersion": "v1", "kind": "Secret",
                "metadata": {"name": name}});
            if let Some(kind) = kind {
                object["type"] = kind.as_str().into();
            }
            for (key, bytes) in data.read("Secret", name)? {
                object["data"][key] = encode(&bytes).into();
            }
            post(context, write, object).await
        }
    }
}

fn encode(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn one_name<'a>(command: &str, names: &'a [String]) -> Result<&'a str, Failure> {
    match names {
        [name] => Ok(name),
        names => {
            let text = format!("exactly one NAME is required, got {}", names.len());
            Err(Failure::usage(&format!("create {command}"), &text))
        }
    }
}

async fn from_files(context: &Context, args: &CreateArgs) -> Result<(), Failure> {
    if args.files.is_empty() && args.files.kustomize.is_none() {
        context.console.say("Error: must specify one of -f and -k\n\n");
        return Err(Failure::Exit(1));
    }
    if let Some(path) = &args.raw {
        let file = args.files.filename.first().map(String::as_str).unwrap_or_default();
        let text = match file {
            "-" => context.console.read_input(),
            file => std::fs::read_to_string(file),
        };
        let text = text.map_err(|error| Failure::message(go_io(&error, file)))?;
        let call = Call::new(http::Method::POST, path.as_str()).text("application/json", text);
        return context.console.out(&context.session().await?.text(&call).await?);
    }
    let dry_run = args.write.dry_run.mode(context)?;
    let validation = args.write.validate.parameter()?;
    let form = args.write.print.write_form()?;
    let mut report = Report::new(&form, &args.write.print, dry_run);
    let mut failures = Vec::new();
    let selector = args.selector.as_deref().map(rdd_schema::selector::LabelSelector::parse).transpose();
    let selector = selector.map_err(|error| Failure::message(error.to_string()))?;
    let mut count = 0;
    for document in args.files.read(context)? {
        if selector.as_ref().is_some_and(|s| !s.matches(document.object["metadata"]["labels"].as_object())) {
            continue;
        }
        count += 1;
        let made = async {
            let found = locate(context, document.object, Some(document.source.clone())).await?;
            let object = if args.write.save_config { with_last_applied(&found.object) } else { found.object.clone() };
            if dry_run == DryRun::Client {
                return Ok((found.label(), object));
            }
            let call = Call::new(http::Method::POST, found.collection());
            let call = write_call(call, &args.write.field_manager, validation, dry_run).body(&object);
            let made = context.session().await?.json(&call).await;
            let made = made.map_err(|failure| failure.when("creating", found.source.as_deref()))?;
            Ok((crate::print::label(&made), made))
        };
        match made.await {
            Ok((label, object)) => report.tell(context, &label, "created", &object)?,
            Err(failure) => failures.push(failure),
        }
    }
    if count == 0 {
        return Err(Failure::message("no objects passed to create"));
    }
    Failure::all(failures)
}

/// Makes the one object that flags describe.
async fn post(context: &Context, write: &WriteArgs, mut object: Value) -> Result<(), Failure> {
    let dry_run = write.dry_run.mode(context)?;
    let validation = write.validate.parameter()?;
    let form = write.print.write_form()?;
    let is_namespaced = object["kind"] != "Namespace";
    if let Some(namespace) = context.explicit_namespace().filter(|_| is_namespaced) {
        object["metadata"]["namespace"] = namespace.into();
    }
    if write.save_config {
        object = with_last_applied(&object);
    }
    if dry_run != DryRun::Client {
        let namespace = context.namespace().await?;
        let kind = object["kind"].as_str().unwrap_or_default().to_owned();
        let found = context.discovery().await?.kind("v1", &kind).cloned();
        let resource =
            found.ok_or_else(|| Failure::message(format!("the server doesn't have a resource type \"{kind}\"")))?;
        let call = Call::new(http::Method::POST, resource.path(Some(namespace), None));
        let call = write_call(call, &write.field_manager, validation, dry_run).body(&object);
        object = context.session().await?.json(&call).await.map_err(|failure| told(&kind, failure))?;
    }
    let label = crate::print::label(&object);
    Report::new(&form, &write.print, dry_run).tell(context, &label, "created", &object)
}

/// Not all kinds tell of a failure in the same way.
fn told(kind: &str, failure: Failure) -> Failure {
    match kind {
        "Namespace" => failure,
        "Secret" => Failure::message(format!("failed to create secret {failure}")),
        _ => Failure::message(format!("failed to create {}: {failure}", kind.to_lowercase())),
    }
}

impl DataArgs {
    /// Returns the keys with their values.
    fn read(&self, kind: &str, name: &str) -> Result<Vec<(String, Vec<u8>)>, Failure> {
        let mut all: Vec<(String, Vec<u8>)> = Vec::new();
        let mut add = |key: String, value: Vec<u8>| -> Result<(), Failure> {
            let is_valid = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if key.is_empty() || !key.chars().all(is_valid) || key == "." || key == ".." {
                return Err(Failure::message(format!(
                    "{} is not a valid key name for a ConfigMap: a valid config key must consist of alphanumeric \
                     characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for \
                     validation is '[-._a-zA-Z0-9]+')",
                    rdd_api::field::quote(&key)
                )));
            }
            if all.iter().any(|(k, _)| *k == key) {
                let text = match kind {
                    "Secret" => format!("cannot add key {key}, another key by that name already exists"),
                    _ => format!(
                        "cannot add key \"{key}\", another key by that name already exists in Data for {kind} \"{name}\""
                    ),
                };
                return Err(Failure::message(text));
            }
            all.push((key, value));
            Ok(())
        };
        for file in &self.from_file {
            let (key, path) = match file.split_once('=') {
                Some((key, path)) if !key.is_empty() && !path.is_empty() => (Some(key.to_owned()), path),
                Some(("", _)) => {
                    return Err(Failure::message(format!(
                        "key name for file path {} missing",
                        file.trim_start_matches('=')
                    )));
                }
                Some((key, _)) => return Err(Failure::message(format!("file path for key name {key} missing"))),
                None => (None, file.as_str()),
            };
            let refuse = |error: std::io::Error| {
                let text = match error.kind() {
                    std::io::ErrorKind::NotFound => format!("error reading {path}: no such file or directory"),
                    _ => format!("error reading {path}: {error}"),
                };
                Failure::message(text)
            };
            if !std::fs::metadata(path).map_err(refuse)?.is_dir() {
                add(key.unwrap_or_else(|| file_name(Path::new(path))), std::fs::read(path).map_err(refuse)?)?;
                continue;
            }
            if key.is_some() {
                return Err(Failure::message("cannot give a key name for a directory path"));
            }
            let mut entries: Vec<_> =
                std::fs::read_dir(path).map_err(refuse)?.filter_map(Result::ok).map(|e| e.path()).collect();
            entries.sort();
            for entry in entries.iter().filter(|e| e.is_file()) {
                add(file_name(entry), std::fs::read(entry).map_err(refuse)?)?;
            }
        }
        for literal in &self.from_literal {
            let Some((key, value)) = literal.split_once('=').filter(|(key, _)| !key.is_empty()) else {
                return Err(Failure::message(format!("invalid literal source {literal}, expected key=value")));
            };
            let bare = value.strip_prefix(['"', '\'']).and_then(|v| v.strip_suffix(['"', '\'']));
            add(key.to_owned(), bare.unwrap_or(value).as_bytes().to_vec())?;
        }
        for path in &self.from_env_file {
            let text = std::fs::read_to_string(path).map_err(|error| Failure::message(go_io(&error, path)))?;
            for line in text.lines().map(str::trim_start).filter(|l| !l.is_empty() && !l.starts_with('#')) {
                let (key, value) = match line.split_once('=') {
                    Some((key, value)) => (key, value.to_owned()),
                    // A key alone takes its value from the environment.
                    None => (line, std::env::var(line).unwrap_or_default()),
                };
                add(key.to_owned(), value.into_bytes())?;
            }
        }
        Ok(all)
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}
