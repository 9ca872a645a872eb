//! What commands that change objects share: dry runs, field validation, and telling what was done.

use clap::Args;
use serde_json::Value;

use crate::context::Context;
use crate::failure::Failure;
use crate::print::{Form, ObjectPrinter, PrintArgs};
use crate::session::Call;

/// Whether anything is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DryRun {
    No,
    /// Nothing is sent.
    Client,
    /// The server plays it through.
    Server,
}

/// The flag for dry runs.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct DryRunArgs {
    /// Change nothing: `client` only prints, `server` lets the server check
    #[arg(long, value_name = "MODE", num_args = 0..=1, require_equals = true, default_missing_value = "unchanged")]
    dry_run: Option<String>,
}

impl DryRunArgs {
    /// Reads the flag.
    pub(crate) fn mode(&self, context: &Context) -> Result<DryRun, Failure> {
        match self.dry_run.as_deref() {
            None | Some("none") => Ok(DryRun::No),
            Some("client") => Ok(DryRun::Client),
            Some("server") => Ok(DryRun::Server),
            Some("unchanged") => {
                context.console.say("--dry-run is deprecated and can be replaced with --dry-run=client.\n");
                Ok(DryRun::Client)
            }
            Some("true" | "false") => Err(Failure::message(format!(
                "Invalid dry-run value ({}). Must be \"none\", \"server\", or \"client\".",
                self.dry_run.as_deref().unwrap_or_default()
            ))),
            Some(other) => Err(Failure::message(format!(
                "Invalid dry-run value ({other}). Must be \"none\", \"server\", or \"client\"."
            ))),
        }
    }
}

/// The flag for the check of fields.
#[derive(Args, Clone, Debug)]
pub(crate) struct ValidateArgs {
    /// What unknown fields mean: strict (or true) is an error, warn a warning, ignore (or false) nothing
    #[arg(long, value_name = "MODE", num_args = 0..=1, require_equals = true, default_missing_value = "strict", default_value = "strict")]
    validate: String,
}

impl ValidateArgs {
    /// Returns the request's parameter.
    pub(crate) fn parameter(&self) -> Result<&'static str, Failure> {
        match self.validate.as_str() {
            "strict" | "true" => Ok("Strict"),
            "warn" => Ok("Warn"),
            "ignore" | "false" => Ok("Ignore"),
            other => Err(Failure::message(format!(
                "invalid - validate option \"{other}\"; must be one of: strict (or true), warn, ignore (or false)"
            ))),
        }
    }
}

/// Says what was done, or prints the object, as `-o` wants it.
pub(crate) struct Report<'a> {
    printer: ObjectPrinter<'a>,
    form: &'a Form,
    args: &'a PrintArgs,
    suffix: &'static str,
}

impl<'a> Report<'a> {
    /// Begins to tell.
    pub(crate) fn new(form: &'a Form, args: &'a PrintArgs, dry_run: DryRun) -> Self {
        let suffix = match dry_run {
            DryRun::No => "",
            DryRun::Client => " (dry run)",
            DryRun::Server => " (server dry run)",
        };
        Self { printer: ObjectPrinter::new(form), form, args, suffix }
    }

    /// Tells of one object. `label` is `kind.group/name`.
    pub(crate) fn tell(&mut self, context: &Context, label: &str, done: &str, object: &Value) -> Result<(), Failure> {
        if matches!(self.form, Form::Human { .. }) {
            return context.console.line(&format!("{label} {done}{}", self.suffix));
        }
        let mut object = object.clone();
        self.args.clean(&mut object);
        self.printer.print(context, &object)
    }
}

/// Adds the parameters of a write.
pub(crate) fn write_call(call: Call, manager: &str, validation: &str, dry_run: DryRun) -> Call {
    let call = call.with_some("fieldManager", manager).with_some("fieldValidation", validation);
    if dry_run == DryRun::Server { call.with("dryRun", "All") } else { call }
}
