//! `version`: what we are, and what the server is.

use clap::Args;
use rdd_schema::yaml;
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::print::pretty_json;
use crate::session::Call;

/// Show the versions of this program and of the server
#[derive(Args, Debug)]
pub(crate) struct VersionArgs {
    /// This program's only; asks no server
    #[arg(long)]
    client: bool,
    /// json or yaml
    #[arg(short = 'o', long, value_name = "FORM", default_value = "")]
    output: String,
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: &VersionArgs) -> Result<(), Failure> {
    let own = format!("v{}", env!("CARGO_PKG_VERSION"));
    let mut versions = json!({"clientVersion": {"gitVersion": own, "platform": platform()}});
    if !args.client {
        versions["serverVersion"] = context.session().await?.json(&Call::get("/version")).await?;
    }
    match args.output.as_str() {
        "" => {
            let mut text = format!("Client Version: {own} (rdd)\n");
            if let Some(server) = versions["serverVersion"]["gitVersion"].as_str() {
                text += &format!("Server Version: {server}\n");
            }
            context.console.out(&text)
        }
        "json" => {
            // Two spaces, unlike other JSON of kubectl.
            let text = serde_json::to_string_pretty(&versions).unwrap_or_else(|_| pretty_json(&Value::Null));
            context.console.line(&text)
        }
        "yaml" => context.console.out(&yaml::print(&versions)),
        _ => Err(Failure::message("--output must be 'yaml' or 'json'")),
    }
}

fn platform() -> String {
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{}/{arch}", std::env::consts::OS)
}
