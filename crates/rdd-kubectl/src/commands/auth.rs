//! `auth`: who we are to the server, and what we may do.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::print::{Form, ObjectPrinter, PrintArgs, align_rows};
use crate::session::Call;

/// Ask the server who you are, and what you may do
#[derive(Args, Debug)]
#[command(arg_required_else_help = true)]
pub(crate) struct AuthArgs {
    #[command(subcommand)]
    command: AuthCommand,
}

#[derive(Debug, Subcommand)]
enum AuthCommand {
    /// Show who you are
    Whoami {
        #[command(flatten)]
        print: PrintArgs,
    },
    /// Ask whether you may do something: VERB TYPE[/NAME]
    CanI {
        /// VERB and TYPE, TYPE/NAME or /path
        words: Vec<String>,
        /// In all namespaces
        #[arg(short = 'A', long)]
        all_namespaces: bool,
        /// Print nothing; the exit code says it
        #[arg(short = 'q', long)]
        quiet: bool,
        /// A subresource, as in `status`
        #[arg(long, value_name = "NAME", default_value = "")]
        subresource: String,
    },
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: &AuthArgs) -> Result<(), Failure> {
    match &args.command {
        AuthCommand::Whoami { print } => whoami(context, print).await,
        AuthCommand::CanI { words, all_namespaces, quiet, subresource } => {
            can_i(context, words, *all_namespaces, *quiet, subresource).await
        }
    }
}

async fn whoami(context: &Context, print: &PrintArgs) -> Result<(), Failure> {
    let form = print.write_form()?;
    let session = context.session().await?;
    for version in ["v1", "v1beta1", "v1alpha1"] {
        let body = json!({"apiVersion": format!("authentication.k8s.io/{version}"), "kind": "SelfSubjectReview"});
        let path = format!("/apis/authentication.k8s.io/{version}/selfsubjectreviews");
        match session.json(&Call::new(http::Method::POST, path).body(&body)).await {
            Ok(review) => {
                if !matches!(form, Form::Human { .. }) {
                    return ObjectPrinter::new(&form).print(context, &review);
                }
                return context.console.out(&user_table(&review["status"]["userInfo"]));
            }
            Err(failure) if failure.is_not_found() => {}
            Err(failure) => return Err(failure),
        }
    }
    Err(Failure::message(
        "the selfsubjectreviews API is not enabled in the cluster\nenable APISelfSubjectReview feature gate and \
         authentication.k8s.io/v1beta1 or authentication.k8s.io/v1 API",
    ))
}

fn user_table(user: &Value) -> String {
    let mut rows = vec![vec!["ATTRIBUTE".to_owned(), "VALUE".to_owned()]];
    let mut add = |name: &str, text: String| rows.push(vec![name.to_owned(), text]);
    let list = |value: &Value| {
        let texts: Vec<&str> = value.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        format!("[{}]", texts.join(" "))
    };
    add("Username", user["username"].as_str().unwrap_or_default().to_owned());
    if let Some(uid) = user["uid"].as_str().filter(|u| !u.is_empty()) {
        add("UID", uid.to_owned());
    }
    if user["groups"].as_array().is_some_and(|g| !g.is_empty()) {
        add("Groups", list(&user["groups"]));
    }
    for (key, values) in user["extra"].as_object().into_iter().flatten() {
        add(&format!("Extra: {key}"), list(values));
    }
    align_rows(&rows, &mut Vec::new())
}

async fn can_i(
    context: &Context,
    words: &[String],
    all_namespaces: bool,
    quiet: bool,
    subresource: &str,
) -> Result<(), Failure> {
    let [verb, what] = words else {
        return Err(Failure::message(
            "you must specify two arguments: verb resource or verb resource/resourceName.\nSee 'kubectl auth can-i -h' \
             for help and examples.",
        ));
    };
    let spec = if what.starts_with('/') {
        json!({"nonResourceAttributes": {"verb": verb, "path": what}})
    } else {
        let (kind, name) = what.split_once('/').unwrap_or((what, ""));
        let mut attributes = json!({"verb": verb, "resource": kind, "name": name, "subresource": subresource});
        let mut is_namespaced = true;
        match context.discovery().await?.resource(kind) {
            Ok(resource) => {
                attributes["resource"] = resource.name.as_str().into();
                attributes["group"] = resource.group.as_str().into();
                attributes["version"] = resource.version.as_str().into();
                is_namespaced = resource.is_namespaced;
            }
            Err(_) if kind == "*" => {}
            Err(_) => context.console.say(&format!("Warning: the server doesn't have a resource type '{kind}'\n\n")),
        }
        if !is_namespaced {
            let text = format!("Warning: resource '{kind}' is not namespace scoped");
            let group = attributes["group"].as_str().filter(|g| !g.is_empty());
            context.console.say(&match group {
                Some(group) => format!("{text} in group '{group}'\n\n"),
                None => format!("{text}\n\n"),
            });
        } else if !all_namespaces {
            attributes["namespace"] = context.namespace().await?.into();
        }
        json!({"resourceAttributes": attributes})
    };
    let body = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": spec});
    let call = Call::new(http::Method::POST, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews").body(&body);
    let review = context.session().await?.json(&call).await?;
    let status = &review["status"];
    let is_allowed = status["allowed"] == true;
    let mut text = if is_allowed { "yes".to_owned() } else { "no".to_owned() };
    if let Some(reason) = status["reason"].as_str().filter(|r| !r.is_empty() && !is_allowed) {
        text += &format!(" - {reason}");
    }
    if !quiet {
        context.console.line(&text)?;
    }
    if is_allowed { Ok(()) } else { Err(Failure::Exit(1)) }
}
