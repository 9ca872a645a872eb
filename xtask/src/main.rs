//! `cargo xtask`: everything a person or CI does with this repository.
//!
//! It installs what is missing, builds the guests, runs the gate and the tests, shows the demo and
//! measures the figures of PROMISES.md. It knows the repository and Debian; it uses no crate of ours,
//! so that it is built quickly and cannot be broken by what it checks.

mod bench;
mod check;
mod clients;
mod demo;
mod guest;
mod images;
mod kubectl;
mod packages;
mod shell;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Builds, tests and shows rdd.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Boots a real VM, runs a command in it, and cleans up: the whole product in a minute.
    Demo(demo::DemoArgs),
    /// Installs what is missing and runs every test, floor by floor.
    Test(test::TestArgs),
    /// Runs the gate: rooms and circles, format, clippy, docs.
    Check,
    /// Builds a guest image from Debian packages.
    Guest(guest::GuestArgs),
    /// Measures the figures of PROMISES.md, side by side in one run.
    Bench(bench::BenchArgs),
    /// Pins the public cloud images in `examples/` to their newest builds and digests.
    Images,
    /// Checks rooms, arrows and circles only.
    Tidy,
}

fn main() -> ExitCode {
    let outcome = match Args::parse().command {
        Command::Demo(args) => demo::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Check => check::run(),
        Command::Guest(args) => guest::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Images => images::run(),
        Command::Tidy => tidy::run(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
