//! `rdd service serve`: the control plane itself.

use std::sync::Arc;

use anyhow::Context as _;
use clap::Args;
use rdd_daemon::{MachineOptions, ServeOptions};

use super::parse_port;
use crate::context::{Context, own_program};
use crate::images;
use crate::logging::Level;
use crate::{drivers, output, version};

/// How many threads the service's tasks share. It waits far more than it works.
const WORKERS: usize = 2;

/// Arguments of `service serve`. Of a flag given several times, the last one counts.
#[derive(Args, Debug)]
#[command(args_override_self = true)]
pub(crate) struct ServeArgs {
    /// Controllers to run: names or groups, `*` for all, `-` in front to exclude
    #[arg(long, value_name = "SPEC", default_value = "*")]
    controllers: String,

    /// Port that the API prefers; any free one if it is taken
    #[arg(long, alias = "secure_port", value_name = "PORT", value_parser = parse_port)]
    secure_port: Option<u16>,

    /// How much to log: 0, 2 (debug) or 4 (trace)
    #[arg(short = 'v', long = "v", value_name = "LEVEL", default_value_t = 0)]
    verbosity: u8,

    /// Without effect; kept for programs that pass it
    #[arg(long, value_name = "PATH", hide = true)]
    authentication_admin_token_path: Option<String>,

    /// Without effect; what was saved for the service by other means
    #[arg(hide = true)]
    arguments: Vec<String>,
}

impl ServeArgs {
    /// Returns the level of the service's log.
    pub(crate) fn level(&self) -> Level {
        Level::of_verbosity(self.verbosity)
    }

    /// Returns whether the flags are asked for, and no service.
    pub(crate) fn only_helps(&self) -> bool {
        self.arguments == ["options"]
    }
}

/// Runs the control plane until it is asked to stop, or prints its flags.
pub(crate) fn run(args: &ServeArgs, context: &Context) -> anyhow::Result<()> {
    if args.only_helps() {
        let flags = ServeArgs::augment_args(clap::Command::new("rdd service serve")).render_help().to_string();
        return Ok(output::write(flags.as_bytes())?);
    }
    let instance = context.instance()?;
    let program = own_program()?;
    let options = ServeOptions {
        secure_port: args.secure_port,
        controllers: args.controllers.clone(),
        git_version: version::git_version(),
        machines: MachineOptions {
            drivers: drivers::all(&program),
            images: Arc::new(images::from_env()),
            hostagent: vec![program.into(), "hostagent".into()],
            debug: args.level() >= Level::Trace,
        },
    };
    if !args.arguments.is_empty() {
        tracing::debug!("arguments without effect: {:?}", args.arguments);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let served = runtime.block_on(rdd_daemon::serve(&instance, &options));
    // What still blocks a thread now (a stuck disk, say) must not keep a stopped service alive.
    runtime.shutdown_background();
    Ok(served?)
}
