//! `api-resources`: lists the kinds that the server serves.

use clap::Args;

use crate::context::Context;
use crate::discovery::Resource;
use crate::failure::Failure;
use crate::print::{align_rows, unknown_form};

/// List the kinds that the server serves
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  # What can be asked for, with short names\n  kubectl api-resources\n\n  # What one group has\n  kubectl api-resources --api-group=lima.rancherdesktop.io"
)]
pub(crate) struct ApiResourcesArgs {
    /// Kinds of this group only
    #[arg(long, value_name = "GROUP")]
    api_group: Option<String>,
    /// Kinds with namespaces (true) or without (false) only
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    namespaced: Option<bool>,
    /// Kinds with all of these verbs only
    #[arg(long, value_name = "VERB", value_delimiter = ',')]
    verbs: Vec<String>,
    /// Kinds of all these categories only
    #[arg(long, value_name = "CATEGORY", value_delimiter = ',')]
    categories: Vec<String>,
    /// Sort by name or kind
    #[arg(long, value_name = "FIELD")]
    sort_by: Option<String>,
    /// wide or name
    #[arg(short = 'o', long, value_name = "FORM", default_value = "")]
    output: String,
    /// Leave out the line of headers
    #[arg(long)]
    no_headers: bool,
    /// Accepted for kubectl's sake; nothing is cached on disk
    #[arg(long, hide = true)]
    cached: bool,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: &ApiResourcesArgs) -> Result<(), Failure> {
    match args.output.as_str() {
        "" | "wide" | "name" => {}
        form @ ("json" | "yaml" | "kyaml") => {
            let text = format!("output format \"{form}\" is not supported");
            let words = format!("api-resources -o {form}");
            return Err(Failure::Elsewhere { text, lead: "use -o wide, or ", words });
        }
        form => return Err(unknown_form(form, "json,kyaml,name,wide,yaml")),
    }
    let is_wanted = |r: &&Resource| {
        r.is_preferred
            && !r.verbs.is_empty()
            && args.api_group.as_ref().is_none_or(|g| r.group == *g)
            && args.namespaced.is_none_or(|n| r.is_namespaced == n)
            && args.verbs.iter().all(|v| r.verbs.contains(v))
            && args.categories.iter().all(|c| r.categories.contains(c))
    };
    let mut all: Vec<&Resource> = context.discovery().await?.resources.iter().filter(is_wanted).collect();
    match args.sort_by.as_deref() {
        Some("name") => all.sort_by(|a, b| a.name.cmp(&b.name)),
        Some("kind") => all.sort_by(|a, b| a.kind.cmp(&b.kind)),
        Some("") | None => all.sort_by(|a, b| (&a.group, &a.name).cmp(&(&b.group, &b.name))),
        Some(_) => {
            return Err(Failure::message("--sort-by accepts only name or kind"));
        }
    }
    if args.output == "name" {
        return context.console.out(&all.iter().map(|r| format!("{}\n", r.qualified())).collect::<String>());
    }
    let is_wide = args.output == "wide";
    let mut rows = Vec::new();
    if !args.no_headers {
        rows.push(["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"].map(str::to_owned).to_vec());
        if is_wide {
            rows[0].extend(["VERBS".to_owned(), "CATEGORIES".to_owned()]);
        }
    }
    for resource in all {
        let mut row = vec![
            resource.name.clone(),
            resource.short_names.join(","),
            resource.api_version(),
            resource.is_namespaced.to_string(),
            resource.kind.clone(),
        ];
        if is_wide {
            row.extend([resource.verbs.join(","), resource.categories.join(",")]);
        }
        rows.push(row);
    }
    context.console.out(&align_rows(&rows, &mut Vec::new()))
}
