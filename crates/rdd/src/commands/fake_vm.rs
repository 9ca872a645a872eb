//! `rdd fake-vm`: the process that stands for a VM of the fake driver. Run by that driver.

use std::ffi::OsString;

use clap::Args;

use crate::failure::Exit;

/// Arguments of `fake-vm`.
#[derive(Args, Debug)]
pub(crate) struct FakeVmArgs {
    /// What the driver says
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

/// Is a VM until it is off.
pub(crate) fn run(args: FakeVmArgs) -> anyhow::Result<()> {
    match rdd_driver_fake::process::main(args.args) {
        0 => Ok(()),
        code => Err(Exit(u8::try_from(code).unwrap_or(1)).into()),
    }
}
